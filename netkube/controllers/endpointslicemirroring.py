"""EndpointSlices for Endpoints that someone writes by hand, behind a Service without a selector.

Whoever routes or resolves reads slices only; the older Endpoints work because they are mirrored here.
Source: pkg/controller/endpointslicemirroring.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from ipaddress import ip_address

import msgspec

from netkube.api.errors import ApiError
from netkube.api.meta import Key, Object, is_deleting, key_of, owner_reference, utc_now
from netkube.api.resources import ENDPOINTS, ENDPOINTSLICES, SERVICES
from netkube.client.controller import Controller
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.controllers.expectations import Expectations
from netkube.controllers.servicepods import Port
from netkube.controllers.sliceowner import MANAGED_BY, SERVICE_NAME, owner_of
from netkube.controllers.triggertime import TRIGGER_TIME

MANAGER = 'endpointslicemirroring-controller.k8s.io'
SKIP = 'endpointslice.kubernetes.io/skip-mirror'
LEADER = 'control-plane.alpha.kubernetes.io/leader'  # an annotation: the Endpoints are somebody's lock
NOT_MIRRORED = (TRIGGER_TIME, 'kubectl.kubernetes.io/last-applied-configuration')  # annotations
TOO_MANY = (
    'A max of {} addresses can be mirrored to EndpointSlices per Endpoints subset. {} addresses were skipped'
)
MIRRORED = 'mirrored-endpoints'  # an index
MAX_ENDPOINTS = 1000  # in a slice, and of a subset: what is beyond is not mirrored

Shape = tuple[str, tuple[Port, ...]]  # what all endpoints of a slice share: the address type and the ports


class MirrorPlan(msgspec.Struct, frozen=True):
    """``create``: whole slices; ``update``: slices as they should be; ``delete``: slices."""

    create: tuple[Object, ...] = ()
    update: tuple[Object, ...] = ()
    delete: tuple[Object, ...] = ()


def is_mirrored(endpoints: Object, service: Object | None) -> bool:
    """A Service with a selector has slices of its own."""
    metadata = endpoints['metadata']
    if (metadata.get('labels') or {}).get(SKIP) == 'true' or LEADER in (metadata.get('annotations') or {}):
        return False
    return service is not None and not service['spec'].get('selector') and not is_deleting(endpoints)


def plan_mirror(endpoints: Object, existing: Iterable[Object]) -> MirrorPlan:
    """One slice for each address type and set of ports; a slice that has them already is kept."""
    free: dict[Shape, list[Object]] = defaultdict(list)
    for each in sorted(existing, key=lambda obj: obj['metadata']['name']):
        free[_shape_of(each)].append(each)
    create, update = [], []
    for shape, content in _grouped(endpoints).items():
        wanted = _render_slice(endpoints, shape, content[:MAX_ENDPOINTS])
        if not free[shape]:
            create.append(wanted)
        elif changed := _rewritten(free[shape].pop(0), wanted):
            update.append(changed)
    return MirrorPlan(tuple(create), tuple(update), tuple(each for slices in free.values() for each in slices))


def _grouped(endpoints: Object) -> dict[Shape, list[Object]]:
    grouped: dict[Shape, list[Object]] = defaultdict(list)
    for subset in endpoints.get('subsets') or ():
        ports = tuple(sorted(map(_port, subset.get('ports') or ())))
        for endpoint, family in _endpoints(subset):
            grouped[family, ports].append(endpoint)
    return {shape: _without_repeated(content) for shape, content in grouped.items()}


def _without_repeated(content: list[Object]) -> list[Object]:
    """An address counts once, and as ready if it is so anywhere."""
    found: dict[str, Object] = {}
    for endpoint in sorted(content, key=lambda each: not each['conditions']['ready']):
        found.setdefault(endpoint['addresses'][0], endpoint)
    return list(found.values())


def count_skipped(endpoints: Object) -> int:
    """The addresses beyond what a slice holds."""
    return sum(max(0, len(content) - MAX_ENDPOINTS) for content in _grouped(endpoints).values())


def _endpoints(subset: Object) -> Iterator[tuple[Object, str]]:
    for part, ready in (('addresses', True), ('notReadyAddresses', False)):
        for address in subset.get(part) or ():
            endpoint: Object = {'addresses': [address['ip']], 'conditions': {'ready': ready}}
            endpoint |= {key: address[key] for key in ('hostname', 'nodeName', 'targetRef') if address.get(key)}
            yield endpoint, f'IPv{ip_address(address["ip"]).version}'


def _port(port: Object) -> Port:
    return Port(port.get('name') or '', port['port'], port.get('protocol') or 'TCP', port.get('appProtocol') or '')


def _shape_of(each: Object) -> Shape:
    return each['addressType'], tuple(sorted(map(_port, each.get('ports') or ())))


def _render_slice(endpoints: Object, shape: Shape, content: list[Object]) -> Object:
    metadata, (family, ports) = endpoints['metadata'], shape
    labels = {**(metadata.get('labels') or {}), SERVICE_NAME: metadata['name'], MANAGED_BY: MANAGER}
    annotations = {key: value for key, value in (metadata.get('annotations') or {}).items() if key not in NOT_MIRRORED}
    return {
        'apiVersion': ENDPOINTSLICES.api_version,
        'kind': ENDPOINTSLICES.kind,
        'metadata': {
            'namespace': metadata['namespace'],
            'generateName': f'{metadata["name"]}-',
            'labels': labels,
            'annotations': annotations,
            'ownerReferences': [owner_reference(ENDPOINTS.api_version, ENDPOINTS.kind, endpoints)],
        },
        'addressType': family,
        'ports': [port.render() for port in ports],
        'endpoints': content,
    }


def _rewritten(current: Object, wanted: Object) -> Object | None:
    """None when it is as it should be."""
    metadata = {key: wanted['metadata'][key] for key in ('labels', 'annotations', 'ownerReferences')}
    same = all((current['metadata'].get(key) or type(value)()) == value for key, value in metadata.items())
    if same and (current.get('endpoints') or []) == wanted['endpoints']:
        return None
    return current | {'metadata': current['metadata'] | metadata, 'endpoints': wanted['endpoints']}


class EndpointSliceMirroringController:
    component = 'endpointslice-mirroring-controller'

    def __init__(self, informers: Informers, recorder: EventRecorder, now: Callable[[], datetime] = utc_now) -> None:
        self._client = informers.client
        self._recorder = recorder
        self._services = informers[SERVICES]
        self._endpoints = informers[ENDPOINTS]
        self._slices = informers[ENDPOINTSLICES]
        self._slices.add_index(MIRRORED, owner_of(MANAGER))
        self._expectations = Expectations(self._slices)
        self._controller = Controller('endpointslicemirroring', informers, self._sync)
        self._controller.watch(ENDPOINTS)
        self._controller.watch(SERVICES)
        self._controller.watch(ENDPOINTSLICES, owner_of(MANAGER))

    async def run(self) -> None:
        await self._controller.run()

    async def _sync(self, key: Key) -> None:
        if not self._expectations.satisfied(key):
            return
        endpoints, existing = self._endpoints.get(key), self._slices.by_index(MIRRORED, key)
        if endpoints is None or not is_mirrored(endpoints, self._services.get(key)):
            plan = MirrorPlan(delete=tuple(existing))
        else:
            plan = plan_mirror(endpoints, existing)
            if (plan.create or plan.update) and (skipped := count_skipped(endpoints)):
                text = TOO_MANY.format(MAX_ENDPOINTS, skipped)
                self._recorder.event(endpoints, 'Warning', 'TooManyAddressesToMirror', text)
        for each in plan.create:
            self._expectations.wrote(key, await self._client.create(ENDPOINTSLICES, each))
        for each in plan.update:
            self._expectations.wrote(key, await self._client.update(ENDPOINTSLICES, each))
        for each in plan.delete:
            await self._delete(each)

    async def _delete(self, each: Object) -> None:
        try:
            await self._client.delete(ENDPOINTSLICES, *key_of(each), uid=each['metadata']['uid'])
        except ApiError as error:
            if error.code not in (404, 409):
                raise
