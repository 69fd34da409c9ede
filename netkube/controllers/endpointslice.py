"""EndpointSlice: the addresses behind each Service that has a selector. Source: pkg/controller/endpointslice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from netkube.api.errors import ApiError
from netkube.api.meta import Key, Object, is_deleting, key_of, owner_reference, utc_now
from netkube.api.resources import ENDPOINTSLICES, NODES, PODS, SERVICES
from netkube.client.controller import Controller
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.controllers.expectations import Expectations
from netkube.controllers.nodezones import NodeZones
from netkube.controllers.pace import Pace
from netkube.controllers.podgc import bound_node
from netkube.controllers.servicepods import ServicePods, families, is_headless, selects
from netkube.controllers.sliceowner import MANAGED_BY, SERVICE_NAME, owner_of
from netkube.controllers.slices import Ports, SlicePlan, desired_endpoints, plan_slices
from netkube.controllers.triggertime import TriggerTimes, stamped

HEADLESS = 'service.kubernetes.io/headless'
REST_SECONDS = 0.0002  # for each endpoint of a slice that was written
MANAGER = 'endpointslice-controller.k8s.io'
MANAGED = 'managed-service'  # an index
TOPOLOGY = ('service.kubernetes.io/topology-aware-hints', 'service.kubernetes.io/topology-mode')
NOT_HONOURED = (
    '{} is not honoured: hints in proportion to the CPUs of zones need several of them. '
    'spec.trafficDistribution is what gives hints here'
)


def slice_labels(service: Object) -> dict[str, str]:
    """The Service's own labels, and those that tell whose the slice is."""
    reserved = (SERVICE_NAME, MANAGED_BY, HEADLESS)
    own = {label: value for label, value in (service['metadata'].get('labels') or {}).items() if label not in reserved}
    headless = {HEADLESS: ''} if is_headless(service) else {}
    return own | headless | {SERVICE_NAME: service['metadata']['name'], MANAGED_BY: MANAGER}


def render_slice(service: Object, family: str, ports: Ports, endpoints: Sequence[Object]) -> Object:
    metadata = service['metadata']
    return {
        'apiVersion': ENDPOINTSLICES.api_version,
        'kind': ENDPOINTSLICES.kind,
        'metadata': {
            'namespace': metadata['namespace'],
            'generateName': f'{metadata["name"]}-',
            'labels': slice_labels(service),
            'ownerReferences': [owner_reference(SERVICES.api_version, SERVICES.kind, service)],
        },
        'addressType': family,
        'ports': [port.render() for port in ports],
        'endpoints': list(endpoints),
    }


class EndpointSliceController:
    component = 'endpoint-slice-controller'

    def __init__(self, informers: Informers, recorder: EventRecorder, now: Callable[[], datetime] = utc_now) -> None:
        self._client = informers.client
        self._recorder = recorder
        self._services = informers[SERVICES]
        self._slices = informers[ENDPOINTSLICES]
        self._slices.add_index(MANAGED, owner_of(MANAGER))
        self._pods = informers[PODS]
        self._pods.add_index('node', bound_node)
        self._selection = ServicePods(informers)
        self._triggers = TriggerTimes()
        self._refused: set[Key] = set()
        self._expectations = Expectations(self._slices)
        self._pace = Pace(REST_SECONDS)
        self._controller = Controller('endpointslice', informers, self._sync, workers=5)
        self._controller.watch(SERVICES)
        self._controller.watch(ENDPOINTSLICES, owner_of(MANAGER))
        self._controller.watch(PODS, self._selection.services)
        self._controller.watch(NODES, lambda node: ())  # to start with them; the rest is NodeZones'
        self._nodes = NodeZones(informers, self._enqueue_services_on)

    async def run(self) -> None:
        await self._controller.run()

    def _enqueue_services_on(self, node: str) -> None:
        for pod in self._pods.by_index('node', node):
            for key in self._selection.services(pod):
                self._controller.queue.add(key)

    async def _sync(self, key: Key) -> None:
        service = self._services.get(key)
        if service is None or is_deleting(service):
            self._expectations.forget(key)  # its slices go by their ownerReference
            self._triggers.forget(key)
            self._refused.discard(key)
            return
        if not selects(service) or not self._expectations.satisfied(key):
            return
        if rest := self._pace.rests(key):
            self._controller.queue.add_after(key, rest)
            return
        self._refuse_topology(key, service)
        pods = self._selection.pods(service)
        trigger = self._triggers.observe(service, pods)
        existing = self._slices.by_index(MANAGED, key)
        wanted = families(service)
        for family in wanted:
            slices = [each for each in existing if each['addressType'] == family and not is_deleting(each)]
            desired = desired_endpoints(service, pods, family, self._nodes.zones)
            plan = plan_slices(desired, slices, slice_labels(service))
            await self._carry_out(service, family, plan, trigger)
        others = [each for each in existing if each['addressType'] not in wanted]
        await asyncio.gather(*(self._delete(service, each) for each in others))

    def _refuse_topology(self, key: Key, service: Object) -> None:
        """Say once that an annotation is not honoured."""
        asked = _asked_topology(service)
        if not asked:
            self._refused.discard(key)
        elif key not in self._refused:
            self._refused.add(key)
            self._recorder.event(service, 'Warning', 'TopologyAwareHintsDisabled', NOT_HONOURED.format(asked))

    async def _carry_out(self, service: Object, family: str, plan: SlicePlan, trigger: str) -> None:
        """New addresses are announced before old ones go."""
        creates = [render_slice(service, family, ports, endpoints) for ports, endpoints in plan.create]
        await self._each(service, [self._create(service, stamped(each, trigger)) for each in creates])
        await self._each(service, [self._update(service, stamped(each, trigger)) for each in plan.update])
        await self._each(service, [self._delete(service, each) for each in plan.delete])

    async def _each(self, service: Object, writes: Sequence[Awaitable[None]]) -> None:
        try:
            await asyncio.gather(*writes)
        except ApiError as error:
            if error.code != 409:
                text = f'Error updating Endpoint Slices for Service {"/".join(key_of(service))}: {error}'
                self._recorder.event(service, 'Warning', 'FailedToUpdateEndpointSlices', text)
            raise

    async def _create(self, service: Object, each: Object) -> None:
        self._wrote(key_of(service), await self._client.create(ENDPOINTSLICES, each))

    async def _update(self, service: Object, each: Object) -> None:
        self._wrote(key_of(service), await self._client.update(ENDPOINTSLICES, each))

    def _wrote(self, key: Key, each: Object) -> None:
        self._expectations.wrote(key, each)
        self._pace.worked(key, len(each.get('endpoints') or ()))

    async def _delete(self, service: Object, each: Object) -> None:
        try:
            await self._client.delete(ENDPOINTSLICES, *key_of(each), uid=each['metadata']['uid'])
        except ApiError as error:
            if error.code != 404:
                raise


def _asked_topology(service: Object) -> str:
    """The annotation that asks for topology aware routing; '' without one."""
    annotations = service['metadata'].get('annotations') or {}
    return next((name for name in TOPOLOGY if annotations.get(name, '').lower() == 'auto'), '')
