"""The scheduler: gives each Pod that has none a Node. Source: pkg/scheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from netkube.api.errors import ApiError
from netkube.api.meta import Key, Object, is_deleting, timestamp, utc_now
from netkube.api.resources import NAMESPACES, NODES, PODS
from netkube.client.controller import Controller
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.client.interface import STRATEGIC_MERGE_PATCH
from netkube.scheduler import podaffinity, topologyspread
from netkube.scheduler.filters import ANYWHERE, Candidate, Surroundings, check, failure_message, is_shunned
from netkube.scheduler.nodes import Labels, Node, Placements, parse_node
from netkube.scheduler.preferences import Preferences, has_affinity, has_soft_spread, prefer
from netkube.scheduler.requests import parse_demand
from netkube.scheduler.scores import best

NAME = 'default-scheduler'
GATED = 'Scheduling is blocked due to non-empty scheduling gates'


def wants_node(pod: Object) -> bool:
    """It is this scheduler's, it waits for a Node, and it is not on its way out."""
    spec, phase = pod['spec'], (pod.get('status') or {}).get('phase', 'Pending')
    ours = spec.get('schedulerName', NAME) == NAME and not spec.get('nodeName')
    return ours and not is_deleting(pod) and phase == 'Pending'


def holds_node(pod: Object) -> bool:
    """It uses up a part of the Node it is bound to."""
    ended = (pod.get('status') or {}).get('phase') in ('Succeeded', 'Failed')
    return bool(pod['spec'].get('nodeName')) and not ended


def binding_of(pod: Object, node: str) -> Object:
    metadata = {name: pod['metadata'][name] for name in ('namespace', 'name', 'uid')}
    target = {'apiVersion': 'v1', 'kind': 'Node', 'name': node}
    return {'apiVersion': 'v1', 'kind': 'Binding', 'metadata': metadata, 'target': target}


class Scheduler:
    component = NAME

    def __init__(self, informers: Informers, recorder: EventRecorder, now: Callable[[], datetime] = utc_now) -> None:
        self._client = informers.client
        self._recorder = recorder
        self._now = now
        self._nodes: dict[str, Node] = {}
        self._placements = Placements()
        self._refused: set[Key] = set()
        self._namespaces = informers[NAMESPACES]
        self._pods = informers[PODS]
        self._pods.subscribe(self._follow_pod)
        informers[NODES].subscribe(self._follow_node)
        self._controller = Controller('scheduler', informers, self._sync, workers=4)
        self._controller.watch(NODES, self._waiting)
        self._controller.watch(PODS, self._pod_keys)

    async def run(self) -> None:
        await self._controller.run()

    def _follow_node(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._nodes[new['metadata']['name']] = parse_node(new)
        elif old is not None:
            self._nodes.pop(old['metadata']['name'], None)

    def _follow_pod(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or old['metadata']['uid'] != new['metadata']['uid']):
            self._placements.remove(old['metadata']['uid'])
        if new is not None and holds_node(new):
            self._placements.place(new, new['spec']['nodeName'])
        elif new is not None and new['spec'].get('nodeName'):
            self._placements.remove(new['metadata']['uid'])

    def _waiting(self, _: Object) -> Iterable[Key]:
        return tuple(self._refused)

    def _pod_keys(self, pod: Object) -> Iterable[Key]:
        """A Pod that wants a Node; all that were refused when one gives a Node up."""
        key = pod['metadata']['namespace'], pod['metadata']['name']
        if wants_node(pod):
            return (key,)
        current = self._pods.get(key)
        gone = current is None or current['metadata']['uid'] != pod['metadata']['uid']
        return self._waiting(pod) if pod['spec'].get('nodeName') and (gone or not holds_node(pod)) else ()

    async def _sync(self, key: Key) -> None:
        self._refused.discard(key)
        pod = self._pods.get(key)
        if pod is None or not wants_node(pod):
            return
        if pod['spec'].get('schedulingGates'):
            await self._write_condition(pod, 'SchedulingGated', GATED)
            return
        await self._schedule(key, pod)

    async def _schedule(self, key: Key, pod: Object) -> None:
        demand = parse_demand(pod)
        around = self._survey(pod)
        every = [Candidate(node, self._placements.load(node.name), around) for node in self._nodes.values()]
        refusals = [check(pod, demand, candidate) for candidate in every]
        fitting = [candidate for candidate, refusal in zip(every, refusals, strict=True) if refusal is None]
        if fitting:
            await self._bind(pod, best(pod, demand, fitting, self._prefer(pod, fitting)).node.name)
            return
        message = failure_message([refusal for refusal in refusals if refusal is not None])
        self._refused.add(key)
        self._recorder.event(pod, 'Warning', 'FailedScheduling', message)
        await self._write_condition(pod, 'Unschedulable', message)

    def _prefer(self, pod: Object, fitting: Sequence[Candidate]) -> Preferences | None:
        """Only where there is a choice, and somebody cares."""
        if len(fitting) < 2 or not (has_soft_spread(pod) or has_affinity(pod) or self._placements.any_affinity):
            return None
        labels, names = self._labels(), [candidate.node.name for candidate in fitting]
        return prefer(pod, self._placements.pods(), labels, names, self._namespace_labels)

    def _labels(self) -> dict[str, Labels]:
        return {name: node.labels for name, node in self._nodes.items()}

    def _survey(self, pod: Object) -> Surroundings:
        """Only where a Pod cares about others, or one of them about it: it looks at all that are placed."""
        spec = pod['spec']
        affinity = spec.get('affinity') or {}
        cares = 'podAffinity' in affinity or 'podAntiAffinity' in affinity or self._placements.any_anti_affinity
        if not cares and not spec.get('topologySpreadConstraints'):
            return ANYWHERE
        placed, labels = self._placements.pods(), self._labels()
        neighbourhood = podaffinity.survey(pod, placed, labels, self._namespace_labels) if cares else None
        return Surroundings(topologyspread.survey(pod, placed, labels, self._shunned(pod)), neighbourhood)

    def _shunned(self, pod: Object) -> frozenset[str]:
        """The Nodes whose taints keep the Pod away, where a constraint asks."""
        constraints = pod['spec'].get('topologySpreadConstraints') or ()
        if not any(each.get('nodeTaintsPolicy') == 'Honor' for each in constraints):
            return frozenset()
        return frozenset(node.name for node in self._nodes.values() if is_shunned(pod, node))

    def _namespace_labels(self, name: str) -> Labels:
        namespace = self._namespaces.get(('', name))
        return (namespace['metadata'].get('labels') or {}) if namespace is not None else {}

    async def _bind(self, pod: Object, node: str) -> None:
        """The placement counts from now on; it is taken back when the API refuses it."""
        metadata = pod['metadata']
        self._placements.place(pod, node)
        try:
            await self._client.create(PODS, binding_of(pod, node), 'binding')
        except ApiError as error:
            self._placements.remove(metadata['uid'])
            if error.code == 404:
                return
            raise
        text = f'Successfully assigned {metadata["namespace"]}/{metadata["name"]} to {node}'
        self._recorder.event(pod, 'Normal', 'Scheduled', text)

    async def _write_condition(self, pod: Object, reason: str, message: str) -> None:
        """PodScheduled=False, if it does not say so already."""
        conditions = (pod.get('status') or {}).get('conditions') or ()
        current: Object = next((each for each in conditions if each['type'] == 'PodScheduled'), {})
        if (current.get('status'), current.get('reason'), current.get('message')) == ('False', reason, message):
            return
        condition = {'type': 'PodScheduled', 'status': 'False', 'reason': reason, 'message': message}
        if generation := pod['metadata'].get('generation'):
            condition['observedGeneration'] = generation
        if current.get('status') != 'False':
            condition['lastTransitionTime'] = timestamp(self._now())
        patch = {'status': {'conditions': [condition]}}
        namespace, name = pod['metadata']['namespace'], pod['metadata']['name']
        try:
            await self._client.patch(PODS, namespace, name, patch, STRATEGIC_MERGE_PATCH, 'status')
        except ApiError as error:
            if error.code != 404:
                raise
