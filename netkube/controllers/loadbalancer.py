"""An address for each Service of type LoadBalancer, out of a range of the cluster's own.

What a cloud's load balancer is elsewhere, the Node is here: the range is routed to it, and its proxy serves the
address. So there is nothing to make and nothing to clean up, and no finalizer: the address is in the status within
one event, and free again with the Service. Who has which is read from the status of all Services.

Served are Services without spec.loadBalancerClass and those of class ``netkube``; other classes are somebody else's.

Source: cloud-provider's controllers/service (its events and their words), KEP-1860.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

import msgspec

from netkube.api.errors import ApiError
from netkube.api.meta import Key, Object, is_deleting, key_of
from netkube.api.resources import SERVICES
from netkube.client.controller import Controller
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers

CLASSES = (None, '', 'netkube')
Network = IPv4Network | IPv6Network


class Refusal(Exception):
    """Why a Service gets no address, for its event."""


class Pool(msgspec.Struct):
    """The ranges, one for each IP family of the cluster, and who has which of their addresses."""

    ranges: dict[str, Network]
    _owners: dict[str, Key] = msgspec.field(default_factory=dict)
    _addresses: dict[Key, tuple[str, ...]] = msgspec.field(default_factory=dict)
    _full_below: dict[str, int] = msgspec.field(default_factory=dict)

    def assign(self, key: Key, families: Iterable[str], wanted: str, present: Sequence[str]) -> tuple[str, ...]:
        """One address of each family: ``wanted`` if it is of that, else the present one, else the first free one.

        Refusal, and then nothing has changed.
        """
        chosen = tuple(
            self._choose(key, self.ranges[family], wanted, present) for family in families if family in self.ranges
        )
        if not chosen:
            raise Refusal(f'the cluster has no load balancer addresses of {" or ".join(families) or "no family"}')
        self.release(key)
        self.take(key, chosen)
        return chosen

    def take(self, key: Key, addresses: Iterable[str]) -> None:
        """``key`` has these, as far as they are of the ranges and free."""
        own = tuple(a for a in addresses if self._range_of(a) and self._owners.setdefault(a, key) == key)
        if own:
            self._addresses[key] = own

    def release(self, key: Key) -> bool:
        """Whether it had any."""
        addresses = self._addresses.pop(key, ())
        for address in addresses:
            del self._owners[address]
            self._full_below.clear()
        return bool(addresses)

    def _choose(self, key: Key, network: Network, wanted: str, present: Sequence[str]) -> str:
        if wanted and ip_address(wanted).version == network.version:
            address = str(ip_address(wanted))
            if self._range_of(address) is None:
                raise Refusal(f'spec.loadBalancerIP {address} is not in the range {network}')
            if (owner := self._owners.get(address, key)) != key:
                raise Refusal(f'spec.loadBalancerIP {address} is that of Service {"/".join(owner)}')
            return address
        for address in present:
            if self._range_of(address) == network and self._owners.get(address, key) == key:
                return address
        return self._first_free(network)

    def _first_free(self, network: Network) -> str:
        for number in range(self._full_below.get(str(network), 1), network.num_addresses - 1):
            if (address := str(network[number])) not in self._owners:
                self._full_below[str(network)] = number
                return address
        raise Refusal(f'no free address is left in {network}')

    def _range_of(self, text: str) -> Network | None:
        address = ip_address(text)
        return next((network for network in self.ranges.values() if address in network), None)


class LoadBalancerController:
    component = 'service-controller'

    def __init__(self, informers: Informers, recorder: EventRecorder, cidrs: Iterable[Network]) -> None:
        self._client = informers.client
        self._recorder = recorder
        self._services = informers[SERVICES]
        self._pool = Pool({f'IPv{network.version}': network for network in cidrs})
        self._refused: set[Key] = set()
        self._controller = Controller('loadbalancer', informers, self._sync)
        self._controller.watch(SERVICES)

    async def run(self) -> None:
        await self._services.synced.wait()
        for service in sorted(self._services.list(), key=_age):
            if is_ours(service):
                self._pool.take(key_of(service), ingress_addresses(service))
        await self._controller.run()

    async def _sync(self, key: Key) -> None:
        service = self._services.get(key)
        if service is None or is_deleting(service) or not is_ours(service):
            self._release(key)
            if service is not None and service['spec'].get('type') != 'LoadBalancer' and ingress_of(service):
                await self._clear(service)
            return
        try:
            addresses = self._pool.assign(
                key,
                service['spec'].get('ipFamilies') or (),
                service['spec'].get('loadBalancerIP') or '',
                ingress_addresses(service),
            )
        except Refusal as refusal:
            await self._refuse(service, str(refusal))
            return
        self._refused.discard(key)
        await self._publish(service, [{'ip': address, 'ipMode': 'VIP'} for address in addresses])

    async def _publish(self, service: Object, ingress: list[Object]) -> None:
        if [{'ip': each.get('ip'), 'ipMode': each.get('ipMode')} for each in ingress_of(service)] == ingress:
            return
        self._recorder.event(service, 'Normal', 'EnsuringLoadBalancer', 'Ensuring load balancer')
        await self._write(service, {'ingress': ingress})
        self._recorder.event(service, 'Normal', 'EnsuredLoadBalancer', 'Ensured load balancer')

    async def _refuse(self, service: Object, why: str) -> None:
        """What it had of other addresses it keeps no longer: they are not what it asks for."""
        key = key_of(service)
        self._release(key)
        self._refused.add(key)
        message = f'Error syncing load balancer: failed to ensure load balancer: {why}'
        self._recorder.event(service, 'Warning', 'SyncLoadBalancerFailed', message)
        if ingress_of(service):
            await self._write(service, {})

    async def _clear(self, service: Object) -> None:
        self._recorder.event(service, 'Normal', 'DeletingLoadBalancer', 'Deleting load balancer')
        await self._write(service, {})
        self._recorder.event(service, 'Normal', 'DeletedLoadBalancer', 'Deleted load balancer')

    async def _write(self, service: Object, load_balancer: Object) -> None:
        """A Service that has gone meanwhile needs none."""
        status = {**(service.get('status') or {}), 'loadBalancer': load_balancer}
        try:
            await self._client.update(SERVICES, {**service, 'status': status}, 'status')
        except ApiError as error:
            if error.code != 404:
                raise

    def _release(self, key: Key) -> None:
        """Somebody may be waiting for what is free now."""
        self._refused.discard(key)
        if self._pool.release(key):
            for waiting in self._refused:
                self._controller.queue.add(waiting)


def is_ours(service: Object) -> bool:
    spec = service['spec']
    return spec.get('type') == 'LoadBalancer' and spec.get('loadBalancerClass') in CLASSES


def ingress_of(service: Object) -> list[Object]:
    return ((service.get('status') or {}).get('loadBalancer') or {}).get('ingress') or []


def ingress_addresses(service: Object) -> list[str]:
    return [each['ip'] for each in ingress_of(service) if each.get('ip')]


def _age(service: Object) -> tuple[str, Key]:
    return service['metadata'].get('creationTimestamp') or '', key_of(service)
