"""Nodes as the scheduler sees them: what they offer, and what is placed on them already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from netkube.api.meta import Object
from netkube.api.podresources import Amounts, parse_amounts
from netkube.api.taints import Taint, parse_taints
from netkube.scheduler.requests import Demand, HostPort, parse_demand

Labels = Mapping[str, str]


class Node(msgspec.Struct, frozen=True):
    name: str
    labels: Labels
    taints: tuple[Taint, ...]
    unschedulable: bool
    allocatable: Amounts


def parse_node(node: Object) -> Node:
    status = node.get('status') or {}
    return Node(
        node['metadata']['name'],
        node['metadata'].get('labels') or {},
        parse_taints(node),
        bool(node['spec'].get('unschedulable')),
        parse_amounts(status.get('allocatable') or status.get('capacity')),
    )


class Load(msgspec.Struct):
    """What the Pods of one Node use together."""

    pods: int = 0
    requested: Counter[str] = msgspec.field(default_factory=Counter)
    score_cpu: int = 0
    score_memory: int = 0
    host_ports: Counter[HostPort] = msgspec.field(default_factory=Counter)

    def add(self, demand: Demand, sign: int = 1) -> None:
        """``sign`` -1 takes it away again."""
        self.pods += sign
        for name, amount in demand.requests.items():
            self.requested[name] += sign * amount
        self.score_cpu += sign * demand.score_cpu
        self.score_memory += sign * demand.score_memory
        for port in demand.host_ports:
            self.host_ports[port] += sign


class Placed(msgspec.Struct, frozen=True):
    """A Pod that a Node holds, or soon will."""

    pod: Object
    node: str
    demand: Demand
    has_anti_affinity: bool = False
    has_affinity: bool = False  # of either kind


class Placements:
    """Every Pod that has a Node, by uid; the loads are kept up to date as Pods come and go.

    The scheduler places a Pod here before it binds it, so that the next decision counts it although no cache shows
    it yet; the informer's event later finds it placed already.
    """

    def __init__(self) -> None:
        self._placed: dict[str, Placed] = {}
        self._loads: dict[str, Load] = {}
        self._with_anti_affinity = 0
        self._with_affinity = 0

    def load(self, node: str) -> Load:
        return self._loads.setdefault(node, Load())

    def pods(self) -> Sequence[Placed]:
        return tuple(self._placed.values())

    @property
    def any_anti_affinity(self) -> bool:
        """Some Pod wants to keep others away."""
        return self._with_anti_affinity > 0

    @property
    def any_affinity(self) -> bool:
        """Some Pod wants to be with others, or not."""
        return self._with_affinity > 0

    def place(self, pod: Object, node: str) -> None:
        uid = pod['metadata']['uid']
        known = self._placed.get(uid)
        if known is not None and known.node == node and known.pod['spec']['containers'] == pod['spec']['containers']:
            return
        self.remove(uid)
        placed = self._placed[uid] = Placed(
            pod, node, parse_demand(pod), _has(pod, 'podAntiAffinity'), _has(pod, 'podAffinity', 'podAntiAffinity')
        )
        self.load(node).add(placed.demand)
        self._with_anti_affinity += placed.has_anti_affinity
        self._with_affinity += placed.has_affinity

    def remove(self, uid: str) -> None:
        placed = self._placed.pop(uid, None)
        if placed is not None:
            self.load(placed.node).add(placed.demand, -1)
            self._with_anti_affinity -= placed.has_anti_affinity
            self._with_affinity -= placed.has_affinity


def _has(pod: Object, *kinds: str) -> bool:
    affinity = pod['spec'].get('affinity') or {}
    return any(affinity.get(kind) for kind in kinds)
