"""ServiceCIDRs are ready, and stay while Services have their addresses. Source: pkg/controller/servicecidrs.

An address that another ServiceCIDR has, too, holds nothing back. The finalizer goes at once when nothing does:
the API server stops giving out addresses of a ServiceCIDR in the moment of its deletion, so there is no grace period
to wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from ipaddress import ip_address, ip_network
from typing import Any

from netkube.api.errors import ApiError
from netkube.api.meta import Key, Object, is_deleting, key_of, timestamp, utc_now
from netkube.api.resources import SERVICECIDRS, SERVICES
from netkube.client.controller import Controller
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers

FINALIZER = 'networking.k8s.io/service-cidr-finalizer'
READY_MESSAGE = 'Kubernetes Service CIDR is ready'
IN_USE_MESSAGE = (
    'There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR'
)


class ServiceCIDRController:
    component = 'service-cidr-controller'

    def __init__(self, informers: Informers, recorder: EventRecorder, now: Callable[[], datetime] = utc_now) -> None:
        self._client, self._now = informers.client, now
        self._cidrs = informers[SERVICECIDRS]
        self._services = informers[SERVICES]
        self._controller = Controller('servicecidrs', informers, self._sync)
        self._controller.watch(SERVICECIDRS, lambda _: map(key_of, self._cidrs.list()))
        self._controller.watch(SERVICES, lambda _: self._deleted())

    async def run(self) -> None:
        await self._controller.run()

    def _deleted(self) -> Iterable[Key]:
        return [key_of(one) for one in self._cidrs.list() if is_deleting(one)]

    async def _sync(self, key: Key) -> None:
        found = self._cidrs.get(key)
        if found is None:
            return
        try:
            if not is_deleting(found):
                await self._set_finalizers(found, [*_finalizers(found), FINALIZER])
                await self._set_ready(found, True, '', READY_MESSAGE)
            elif self._is_needed(found):
                await self._set_ready(found, False, 'Terminating', IN_USE_MESSAGE)
            else:
                await self._set_finalizers(found, _finalizers(found))
        except ApiError as error:
            if error.reason != 'NotFound':
                raise

    def _is_needed(self, service_cidr: Object) -> bool:
        """Whether a Service has an address that would be of no ServiceCIDR any more."""
        others = [network for one in self._cidrs.list() if one is not service_cidr for network in _networks(one)]
        own = [one for one in _networks(service_cidr) if not any(_contains(other, one) for other in others)]
        return bool(own) and any(
            any(address in network for network in own) and not any(address in other for other in others)
            for service in self._services.list()
            for address in map(ip_address, _cluster_ips(service))
        )

    async def _set_finalizers(self, service_cidr: Object, wanted: list[str]) -> None:
        if wanted != (service_cidr['metadata'].get('finalizers') or []):
            patch = {'metadata': {'finalizers': wanted, 'resourceVersion': service_cidr['metadata']['resourceVersion']}}
            await self._client.patch(SERVICECIDRS, '', service_cidr['metadata']['name'], patch)

    async def _set_ready(self, service_cidr: Object, ready: bool, reason: str, message: str) -> None:
        wanted = {'type': 'Ready', 'status': 'True' if ready else 'False', 'reason': reason, 'message': message}
        before = (service_cidr.get('status') or {}).get('conditions') or []
        if any(wanted.items() <= condition.items() for condition in before):
            return
        others = [condition for condition in before if condition['type'] != 'Ready']
        conditions = [*others, wanted | {'lastTransitionTime': timestamp(self._now())}]
        name = service_cidr['metadata']['name']
        await self._client.patch(SERVICECIDRS, '', name, {'status': {'conditions': conditions}}, subresource='status')


def _finalizers(service_cidr: Object) -> list[str]:
    """Those of others."""
    return [one for one in service_cidr['metadata'].get('finalizers') or () if one != FINALIZER]


def _networks(service_cidr: Object) -> list[Any]:
    return [ip_network(cidr) for cidr in service_cidr['spec'].get('cidrs') or ()]


def _contains(outer: Any, inner: Any) -> bool:
    return outer.version == inner.version and inner.subnet_of(outer)


def _cluster_ips(service: Object) -> list[str]:
    return [address for address in service['spec'].get('clusterIPs') or () if address != 'None']
