"""Node lifecycle: a Node that has gone silent is not ready, and a Node's conditions are its taints.

A kubelet renews its Lease; what counts is when a renewal is seen here, by this clock, so that a controller
which was away itself does not blame the Nodes. Source: pkg/controller/nodelifecycle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from netkube.api.errors import ApiError
from netkube.api.meta import Key, Object, key_of, timestamp, utc_now
from netkube.api.resources import LEASES, NODES, PODS
from netkube.client.controller import Controller
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.client.interface import STRATEGIC_MERGE_PATCH
from netkube.controllers.conditions import find_condition
from netkube.controllers.podgc import bound_node
from netkube.controllers.pods import is_ready

GRACE = timedelta(seconds=50)  # --node-monitor-grace-period
LEASE_NAMESPACE = 'kube-node-lease'
WATCHED_CONDITIONS = ('Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure')
# (condition, its status) -> (taint, effects)
TAINTS: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    ('Ready', 'False'): ('node.kubernetes.io/not-ready', ('NoSchedule', 'NoExecute')),
    ('Ready', 'Unknown'): ('node.kubernetes.io/unreachable', ('NoSchedule', 'NoExecute')),
    ('MemoryPressure', 'True'): ('node.kubernetes.io/memory-pressure', ('NoSchedule',)),
    ('DiskPressure', 'True'): ('node.kubernetes.io/disk-pressure', ('NoSchedule',)),
    ('PIDPressure', 'True'): ('node.kubernetes.io/pid-pressure', ('NoSchedule',)),
    ('NetworkUnavailable', 'True'): ('node.kubernetes.io/network-unavailable', ('NoSchedule',)),
}
UNSCHEDULABLE = 'node.kubernetes.io/unschedulable'
OWN_TAINTS = frozenset({UNSCHEDULABLE, *(key for key, _ in TAINTS.values())})


class Heartbeat(msgspec.Struct, frozen=True):
    """The last sign of life of a Node, and when it was seen here."""

    sign: tuple[str, str]  # the Lease's renewTime, the Ready condition's lastHeartbeatTime
    seen: datetime


def plan_taints(node: Object, now: datetime) -> list[Object]:
    """The Node's taints as its conditions want them; foreign ones stay, and so does the time of one that stays."""
    current = node['spec'].get('taints') or []
    conditions = _conditions(node)
    if find_condition(conditions, 'Ready') is None:
        return current  # it has not reported yet
    wanted = [(UNSCHEDULABLE, 'NoSchedule')] if node['spec'].get('unschedulable') else []
    for each in conditions:
        key, effects = TAINTS.get((each['type'], each['status']), ('', ()))
        wanted += [(key, effect) for effect in effects]
    known = {(taint['key'], taint['effect']): taint for taint in current}
    foreign = [taint for taint in current if taint['key'] not in OWN_TAINTS]
    new = {'timeAdded': timestamp(now)}
    return foreign + [known.get(pair, {'key': pair[0], 'effect': pair[1], **new}) for pair in wanted]


def plan_unknown(node: Object, now: datetime) -> list[Object]:
    """The conditions of a silent Node that are not Unknown yet, made so."""
    changed = []
    for type in WATCHED_CONDITIONS:
        current = find_condition(_conditions(node), type)
        if current is None:
            changed.append({
                'type': type, 'status': 'Unknown', 'reason': 'NodeStatusNeverUpdated',
                'message': 'Kubelet never posted node status.', 'lastTransitionTime': timestamp(now),
                'lastHeartbeatTime': node['metadata']['creationTimestamp'],
            })  # fmt: skip
        elif current['status'] != 'Unknown':
            changed.append(current | {
                'status': 'Unknown', 'reason': 'NodeStatusUnknown', 'lastTransitionTime': timestamp(now),
                'message': 'Kubelet stopped posting node status.',
            })  # fmt: skip
    return changed


def _conditions(node: Object) -> Sequence[Object]:
    return (node.get('status') or {}).get('conditions') or ()


class NodeLifecycleController:
    component = 'node-controller'

    def __init__(self, informers: Informers, recorder: EventRecorder, now: Callable[[], datetime] = utc_now) -> None:
        self._client = informers.client
        self._recorder = recorder
        self._now = now
        self._heartbeats: dict[str, Heartbeat] = {}
        self._nodes = informers[NODES]
        self._leases = informers[LEASES]
        self._pods = informers[PODS]
        self._pods.add_index('node', bound_node)
        self._controller = Controller('nodelifecycle', informers, self._sync)
        self._controller.watch(NODES)
        self._controller.watch(LEASES, _node_of)

    async def run(self) -> None:
        await self._controller.run()

    async def _sync(self, key: Key) -> None:
        node = self._nodes.get(key)
        if node is None:
            self._heartbeats.pop(key[1], None)
            return
        silent = self._now() - self._heartbeat(node).seen
        if silent < GRACE:
            self._controller.queue.add_after(key, (GRACE - silent).total_seconds())
        else:
            node = await self._write_unknown(node)
        taints = plan_taints(node, self._now())
        if taints != (node['spec'].get('taints') or []):
            await self._client.update(NODES, node | {'spec': node['spec'] | {'taints': taints}})
        ready = find_condition(_conditions(node), 'Ready')
        if ready is not None and ready['status'] != 'True':
            await self._mark_pods_not_ready(node)

    def _heartbeat(self, node: Object) -> Heartbeat:
        """The newest sign of life; a new one is seen now."""
        name = node['metadata']['name']
        lease = self._leases.get((LEASE_NAMESPACE, name)) or {'spec': {}}
        ready = find_condition(_conditions(node), 'Ready') or {}
        sign = lease['spec'].get('renewTime') or '', ready.get('lastHeartbeatTime') or ''
        known = self._heartbeats.get(name)
        if known is None or known.sign != sign:
            known = self._heartbeats[name] = Heartbeat(sign, self._now())
        return known

    async def _write_unknown(self, node: Object) -> Object:
        changed = plan_unknown(node, self._now())
        if not changed:
            return node
        if any(each['type'] == 'Ready' for each in changed):
            text = f'Node {node["metadata"]["name"]} status is now: NodeNotReady'
            self._recorder.event(node, 'Normal', 'NodeNotReady', text)
        patch = {'status': {'conditions': changed}}
        return await self._client.patch(NODES, *key_of(node), patch, STRATEGIC_MERGE_PATCH, 'status')

    async def _mark_pods_not_ready(self, node: Object) -> None:
        """Nobody there can say any more that they are."""
        pods = self._pods.by_index('node', node['metadata']['name'])
        await asyncio.gather(*(self._mark_not_ready(pod) for pod in pods if is_ready(pod)))

    async def _mark_not_ready(self, pod: Object) -> None:
        not_ready = {'type': 'Ready', 'status': 'False', 'lastTransitionTime': timestamp(self._now())}
        patch = {'status': {'conditions': [not_ready]}}
        try:
            await self._client.patch(PODS, *key_of(pod), patch, STRATEGIC_MERGE_PATCH, 'status')
        except ApiError as error:
            if error.code != 404:
                raise
        else:
            self._recorder.event(pod, 'Warning', 'NodeNotReady', 'Node is not ready')


def _node_of(lease: Object) -> Iterable[Key]:
    metadata = lease['metadata']
    return (('', metadata['name']),) if metadata['namespace'] == LEASE_NAMESPACE else ()
