"""Endpoints: the older form of a Service's addresses, one object a Service. Source: pkg/controller/endpoint."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime

from netkube.api.errors import ApiError
from netkube.api.meta import Key, Object, is_deleting, key_of, utc_now
from netkube.api.resources import ENDPOINTS, PODS, SERVICES
from netkube.client.controller import Controller
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.controllers.overcapacity import OVER_CAPACITY, truncated
from netkube.controllers.pace import Pace
from netkube.controllers.pods import is_ready
from netkube.controllers.servicepods import (
    Port,
    ServicePods,
    addresses_of,
    families,
    has_endpoint,
    hostname,
    is_headless,
    resolve_ports,
    selects,
    target_ref,
)
from netkube.controllers.triggertime import TriggerTimes, stamped

MANAGED_BY = 'endpoints.kubernetes.io/managed-by'
HEADLESS = 'service.kubernetes.io/headless'
MANAGER = 'endpoint-controller'
REST_SECONDS = 0.002  # for each address written: whoever is in a hurry reads EndpointSlices

Addresses = tuple[Object, ...]


def plan_subsets(service: Object, pods: Iterable[Object]) -> list[Object]:
    """Ports that exactly the same addresses offer share a subset."""
    offers: dict[Port | None, tuple[list[Object], list[Object]]] = defaultdict(lambda: ([], []))
    publish_all = bool(service['spec'].get('publishNotReadyAddresses'))
    for pod in pods:
        ips = addresses_of(pod, families(service)[0]) if has_endpoint(pod) else []
        if not ips or (is_deleting(pod) and not publish_all):
            continue
        ready = publish_all or is_ready(pod)
        for port in _ports(service, pod):
            offers[port][0 if ready else 1].append(render_address(service, pod, ips[0]))
    return _pack(offers)


def render_address(service: Object, pod: Object, ip: str) -> Object:
    address: Object = {'ip': ip, 'targetRef': target_ref(pod)}
    if pod['spec'].get('nodeName'):
        address['nodeName'] = pod['spec']['nodeName']
    name = hostname(service, pod)
    return address | ({'hostname': name} if name else {})


def _ports(service: Object, pod: Object) -> tuple[Port | None, ...]:
    """None stands for a headless Service without ports: addresses alone."""
    if not service['spec'].get('ports') and is_headless(service):
        return (None,)
    return resolve_ports(service, pod)


def _pack(offers: dict[Port | None, tuple[list[Object], list[Object]]]) -> list[Object]:
    subsets: list[Object] = []
    for port in sorted(offers, key=lambda port: (port is not None, port)):
        ready, not_ready = offers[port]
        addresses = {'addresses': ready} if ready else {}
        addresses |= {'notReadyAddresses': not_ready} if not_ready else {}
        rendered = [_render_port(port)] if port is not None else []
        same = next((subset for subset in subsets if _addresses(subset) == addresses), None)
        if same is not None:
            same['ports'] += rendered
        else:
            subsets.append(addresses | ({'ports': rendered} if rendered else {}))
    return subsets


def _addresses(subset: Object) -> Object:
    return {field: value for field, value in subset.items() if field != 'ports'}


def _render_port(port: Port) -> Object:
    return {field: value for field, value in port.render().items() if value}


def _size(subsets: Iterable[Object]) -> int:
    return sum(len(each.get(part, ())) for each in subsets for part in ('addresses', 'notReadyAddresses'))


def endpoints_labels(service: Object) -> dict[str, str]:
    own = {label: value for label, value in (service['metadata'].get('labels') or {}).items() if label != HEADLESS}
    return own | ({HEADLESS: ''} if is_headless(service) else {}) | {MANAGED_BY: MANAGER}


def _with_content(service: Object, current: Object | None, subsets: list[Object], over_capacity: bool) -> Object:
    """``current``, or a new one, as it should be."""
    own = current or {'metadata': {key: service['metadata'][key] for key in ('namespace', 'name')}}
    annotations = {key: value for key, value in _annotations(own).items() if key != OVER_CAPACITY}
    annotations |= {OVER_CAPACITY: 'truncated'} if over_capacity else {}
    metadata = own['metadata'] | {'labels': endpoints_labels(service), 'annotations': annotations}
    return {'apiVersion': 'v1', 'kind': 'Endpoints', **own, 'metadata': metadata, 'subsets': subsets}


def _annotations(endpoints: Object) -> dict[str, str]:
    return endpoints['metadata'].get('annotations') or {}


def _content(endpoints: Object) -> tuple[object, ...]:
    """What is kept as it should be."""
    labels = endpoints['metadata'].get('labels') or {}
    return endpoints.get('subsets') or [], labels, _annotations(endpoints).get(OVER_CAPACITY)


class EndpointsController:
    component = 'endpoint-controller'

    def __init__(self, informers: Informers, recorder: EventRecorder, now: Callable[[], datetime] = utc_now) -> None:
        self._client = informers.client
        self._recorder = recorder
        self._services = informers[SERVICES]
        self._endpoints = informers[ENDPOINTS]
        self._selection = ServicePods(informers)
        self._triggers = TriggerTimes()
        self._pace = Pace(REST_SECONDS)
        self._controller = Controller('endpoints', informers, self._sync, workers=5)
        self._controller.watch(SERVICES)
        self._controller.watch(ENDPOINTS, _managed_key)
        self._controller.watch(PODS, self._selection.services)

    async def run(self) -> None:
        await self._controller.run()

    async def _sync(self, key: Key) -> None:
        service, current = self._services.get(key), self._endpoints.get(key)
        if service is None:
            self._triggers.forget(key)
            await self._delete(key)
        elif selects(service) and (rest := self._pace.rests(key)):
            self._controller.queue.add_after(key, rest)
        elif selects(service):
            pods = self._selection.pods(service)
            trigger = self._triggers.observe(service, pods)
            planned = plan_subsets(service, pods)
            subsets = truncated(planned)
            await self._write(service, current, _with_content(service, current, subsets, subsets != planned), trigger)

    async def _write(self, service: Object, current: Object | None, wanted: Object, trigger: str) -> None:
        try:
            if current is None:
                await self._client.create(ENDPOINTS, stamped(wanted, trigger))
            elif _content(wanted) != _content(current):
                await self._client.update(ENDPOINTS, stamped(wanted, trigger))
                self._pace.worked(key_of(service), _size(wanted['subsets']))
        except ApiError as error:
            if error.code != 409:
                name = '/'.join(key_of(service))
                reason = 'FailedToCreateEndpoint' if current is None else 'FailedToUpdateEndpoint'
                self._recorder.event(service, 'Warning', reason, f'Failed to write endpoint {name}: {error.message}')
            raise

    async def _delete(self, key: Key) -> None:
        """The Service has gone, and its Endpoints with it, whoever wrote them."""
        if self._endpoints.get(key) is None:
            return
        try:
            await self._client.delete(ENDPOINTS, *key)
        except ApiError as error:
            if error.code != 404:
                raise


def _managed_key(endpoints: Object) -> Iterable[Key]:
    managed = (endpoints['metadata'].get('labels') or {}).get(MANAGED_BY) == MANAGER
    return (key_of(endpoints),) if managed else ()
