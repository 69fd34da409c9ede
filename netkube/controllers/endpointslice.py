"""EndpointSlice: the addresses behind each Service that has a selector. Source: pkg/controller/endpointslice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime

from netkube.api.errors import ApiError
from netkube.api.meta import Key, Object, is_deleting, key_of, owner_reference, utc_now
from netkube.api.resources import ENDPOINTSLICES, PODS, SERVICES
from netkube.client.controller import Controller
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.controllers.expectations import Expectations
from netkube.controllers.pace import Pace
from netkube.controllers.servicepods import ServicePods, families, is_headless, selects
from netkube.controllers.slices import Ports, SlicePlan, desired_endpoints, plan_slices

SERVICE_NAME = 'kubernetes.io/service-name'
MANAGED_BY = 'endpointslice.kubernetes.io/managed-by'
HEADLESS = 'service.kubernetes.io/headless'
REST_SECONDS = 0.0002  # for each endpoint of a slice that was written
MANAGER = 'endpointslice-controller.k8s.io'


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


def managed_service(each: Object) -> Iterable[Key]:
    """The Service of a slice that this controller manages."""
    labels = each['metadata'].get('labels') or {}
    if labels.get(MANAGED_BY) == MANAGER and labels.get(SERVICE_NAME):
        return ((each['metadata']['namespace'], labels[SERVICE_NAME]),)
    return ()


class EndpointSliceController:
    component = 'endpoint-slice-controller'

    def __init__(self, informers: Informers, recorder: EventRecorder, now: Callable[[], datetime] = utc_now) -> None:
        self._client = informers.client
        self._recorder = recorder
        self._services = informers[SERVICES]
        self._slices = informers[ENDPOINTSLICES]
        self._slices.add_index('managed-service', managed_service)
        self._selection = ServicePods(informers)
        self._expectations = Expectations(self._slices)
        self._pace = Pace(REST_SECONDS)
        self._controller = Controller('endpointslice', informers, self._sync, workers=5)
        self._controller.watch(SERVICES)
        self._controller.watch(ENDPOINTSLICES, managed_service)
        self._controller.watch(PODS, self._selection.services)

    async def run(self) -> None:
        await self._controller.run()

    async def _sync(self, key: Key) -> None:
        service = self._services.get(key)
        if service is None or is_deleting(service):
            self._expectations.forget(key)  # its slices go by their ownerReference
            return
        if not selects(service) or not self._expectations.satisfied(key):
            return
        if rest := self._pace.rests(key):
            self._controller.queue.add_after(key, rest)
            return
        pods = self._selection.pods(service)
        existing = self._slices.by_index('managed-service', key)
        wanted = families(service)
        for family in wanted:
            slices = [each for each in existing if each['addressType'] == family and not is_deleting(each)]
            plan = plan_slices(desired_endpoints(service, pods, family), slices, slice_labels(service))
            await self._carry_out(service, family, plan)
        others = [each for each in existing if each['addressType'] not in wanted]
        await asyncio.gather(*(self._delete(service, each) for each in others))

    async def _carry_out(self, service: Object, family: str, plan: SlicePlan) -> None:
        """New addresses are announced before old ones go."""
        creates = [render_slice(service, family, ports, endpoints) for ports, endpoints in plan.create]
        await self._each('Create', service, [self._create(service, each) for each in creates])
        await self._each('Update', service, [self._update(service, each) for each in plan.update])
        await self._each('Delete', service, [self._delete(service, each) for each in plan.delete])

    async def _each(self, verb: str, service: Object, writes: Sequence[Awaitable[None]]) -> None:
        try:
            await asyncio.gather(*writes)
        except ApiError as error:
            if error.code != 409:
                text = f'Failed to {verb.lower()} EndpointSlices for Service {"/".join(key_of(service))}: {error}'
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
