"""Which Nodes can take a Pod: pure functions, each with Kubernetes' own words for its refusal.

Source: pkg/scheduler/framework/plugins, in the order of their default configuration; the first plugin that
refuses a Node is the one that is reported for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec

from netkube.api.meta import Object
from netkube.api.taints import UNSCHEDULABLE, Taint, find_untolerated, tolerates
from netkube.scheduler.nodeaffinity import matches_required
from netkube.scheduler.nodes import Load, Node
from netkube.scheduler.podaffinity import AFFINITY, Neighbourhood
from netkube.scheduler.requests import Demand, HostPort
from netkube.scheduler.topologyspread import UNLABELED, Spread

NO_NODES = 'no nodes available to schedule pods'
NO_CLAIMS = 'no new claims to deallocate'  # of resource claims, whose plugin speaks before preemption does
HARD_EFFECTS = ('NoSchedule', 'NoExecute')


class Refusal(msgspec.Struct, frozen=True):
    """Why a Node cannot take a Pod. ``final``: not even if other Pods left it."""

    reasons: tuple[str, ...]
    final: bool = True


class Surroundings(msgspec.Struct, frozen=True):
    """What the Pods that are placed already mean for one Pod."""

    spreads: tuple[Spread, ...] = ()
    neighbourhood: Neighbourhood | None = None


ANYWHERE = Surroundings()


class Candidate(msgspec.Struct, frozen=True):
    """One Node with its load, for one Pod."""

    node: Node
    load: Load
    surroundings: Surroundings = ANYWHERE


Filter = Callable[[Object, Demand, Candidate], Refusal | None]


def node_unschedulable(pod: Object, demand: Demand, candidate: Candidate) -> Refusal | None:
    cordon = Taint(UNSCHEDULABLE, '', 'NoSchedule')
    tolerated = any(tolerates(each, cordon) for each in pod['spec'].get('tolerations') or ())
    if candidate.node.unschedulable and not tolerated:
        return Refusal(('node(s) were unschedulable',))
    return None


def taint_toleration(pod: Object, demand: Demand, candidate: Candidate) -> Refusal | None:
    return Refusal(('node(s) had untolerated taint(s)',)) if is_shunned(pod, candidate.node) else None


def is_shunned(pod: Object, node: Node) -> bool:
    """A taint of the Node keeps the Pod away."""
    return find_untolerated(node.taints, pod['spec'].get('tolerations') or (), HARD_EFFECTS) is not None


def node_affinity(pod: Object, demand: Demand, candidate: Candidate) -> Refusal | None:
    if not matches_required(pod, candidate.node.labels, candidate.node.name):
        return Refusal(("node(s) didn't match Pod's node affinity/selector",))
    return None


def node_ports(pod: Object, demand: Demand, candidate: Candidate) -> Refusal | None:
    used = [port for port, count in candidate.load.host_ports.items() if count > 0]
    if any(_conflict(one, other) for one in demand.host_ports for other in used):
        return Refusal(("node(s) didn't have free ports for the requested pod ports",), final=False)
    return None


def node_resources_fit(pod: Object, demand: Demand, candidate: Candidate) -> Refusal | None:
    allocatable, load = candidate.node.allocatable, candidate.load
    reasons, final = [], False
    if load.pods + 1 > allocatable.get('pods', 0):
        reasons.append('Too many pods')
    for name, amount in sorted(demand.requests.items(), key=_resource_order):
        if amount > 0 and amount > allocatable.get(name, 0) - load.requested[name]:
            reasons.append(f'Insufficient {name}')
            final = final or amount > allocatable.get(name, 0)
    return Refusal(tuple(reasons), final) if reasons else None


def pod_topology_spread(pod: Object, demand: Demand, candidate: Candidate) -> Refusal | None:
    for spread in candidate.surroundings.spreads:
        reason = spread.refusal(candidate.node.labels)
        if reason:
            return Refusal((reason,), final=reason == UNLABELED)
    return None


def inter_pod_affinity(pod: Object, demand: Demand, candidate: Candidate) -> Refusal | None:
    neighbourhood = candidate.surroundings.neighbourhood
    reason = neighbourhood.refusal(candidate.node.labels) if neighbourhood is not None else ''
    return Refusal((reason,), final=reason == AFFINITY) if reason else None


FILTERS: tuple[Filter, ...] = (
    node_unschedulable,
    taint_toleration,
    node_affinity,
    node_ports,
    node_resources_fit,
    pod_topology_spread,
    inter_pod_affinity,
)


def check(pod: Object, demand: Demand, candidate: Candidate) -> Refusal | None:
    """The first refusal; None when the Node can take the Pod."""
    return next((refusal for each in FILTERS if (refusal := each(pod, demand, candidate)) is not None), None)


def failure_message(refusals: Sequence[Refusal]) -> str:
    """Of all Nodes, in the words of kube-scheduler's FitError; ``refusals`` has one for each Node."""
    if not refusals:
        return NO_NODES
    preemption = Counter(
        'Preemption is not helpful for scheduling' if refusal.final
        else 'No preemption victims found for incoming pod'
        for refusal in refusals
    )  # fmt: skip
    reasons = Counter(reason for refusal in refusals for reason in refusal.reasons)
    available = f'0/{len(refusals)} nodes are available: '
    return f'{available}{_histogram(reasons)}. {NO_CLAIMS}, preemption: {available}{_histogram(preemption)}.'


def _histogram(counts: Mapping[str, int]) -> str:
    return ', '.join(sorted(f'{count} {reason}' for reason, count in counts.items()))


def _conflict(one: HostPort, other: HostPort) -> bool:
    return one[1:] == other[1:] and (one[0] == other[0] or '0.0.0.0' in (one[0], other[0]))


def _resource_order(item: tuple[str, int]) -> tuple[int, str]:
    known = ('cpu', 'memory', 'ephemeral-storage')
    return (known.index(item[0]) if item[0] in known else len(known), item[0])
