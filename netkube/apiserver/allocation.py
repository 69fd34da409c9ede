"""ClusterIPs and nodePorts: who has which is derived from the stored Services, never stored apart.

``fill`` decides and writes into the new Service; ``changed`` learns what was stored. Both run in the same turn of
the event loop, so nothing can come between. The lower part of each range is for addresses that users choose, as
in Kubernetes (KEP-3070, KEP-3668): automatic ones come from the upper part first.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network

from netkube.api import fielderrors
from netkube.api.errors import FieldError, internal, invalid
from netkube.api.meta import Key, Object, key_of
from netkube.api.resources import SERVICES
from netkube.api.strategies.service import needs_cluster_ip, needs_node_port

NODE_PORTS = (30000, 32767)


class Pool:
    """Numbers of a range, each with at most one owner."""

    def __init__(self, first: int, last: int, band: int) -> None:
        """``band``: how many at the start are left for explicit requests."""
        self.first, self.last = first, last
        self._dynamic = min(first + band, last)
        self._owners: dict[int, Key] = {}

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last

    def owner(self, number: int) -> Key | None:
        return self._owners.get(number)

    def take(self, number: int, owner: Key) -> None:
        self._owners[number] = owner

    def release(self, number: int, owner: Key) -> None:
        if self._owners.get(number) == owner:
            del self._owners[number]

    def next_free(self, besides: Iterable[int] = ()) -> int | None:
        """A random free number of the upper band; of the lower one when that is full; None when all are taken."""
        taken = self._owners.keys() | set(besides)
        for low, high in ((self._dynamic, self.last), (self.first, self._dynamic - 1)):
            for number in _from_random(low, high):
                if number not in taken:
                    return number
        return None


def _from_random(low: int, high: int) -> Iterator[int]:
    """Every number from ``low`` to ``high``, from a random one on."""
    if low > high:
        return
    start = random.randint(low, high)
    yield from range(start, high + 1)
    yield from range(low, start)


def address_pool(cidr: IPv4Network) -> Pool:
    """The network address and the broadcast address are not given out."""
    size = cidr.num_addresses
    band = min(max(16, size // 16), 256) if size > 32 else 0
    return Pool(int(cidr.network_address) + 1, int(cidr.broadcast_address) - 1, band)


def port_pool(first: int, last: int) -> Pool:
    size = last - first + 1
    return Pool(first, last, min(max(16, size // 32), 128) if size > 32 else 0)


class ServiceAllocator:
    """The addresses and ports of one cluster's Services."""

    def __init__(self, service_cidr: str, node_ports: tuple[int, int] = NODE_PORTS) -> None:
        self.cidr = IPv4Network(service_cidr)
        self._addresses = address_pool(self.cidr)
        self._ports = port_pool(*node_ports)

    def fill(self, new: Object) -> None:
        """Give a valid Service what it lacks. ApiError 422 for what is taken or out of range, 500 when all is."""
        errors = [*self._fill_address(new), *self._fill_ports(new)]
        if errors:
            raise invalid(SERVICES, new['metadata']['name'], errors)

    def changed(self, old: Object | None, new: Object | None) -> None:
        """A Service was created (old None), replaced or deleted (new None)."""
        for service, act in ((old, 'release'), (new, 'take')):
            if service is None:
                continue
            owner = key_of(service)
            for address in _cluster_ips(service):
                getattr(self._addresses, act)(int(IPv4Address(address)), owner)
            for port in _node_ports(service):
                getattr(self._ports, act)(port, owner)

    def _fill_address(self, service: Object) -> list[FieldError]:
        spec = service['spec']
        if not needs_cluster_ip(spec) or spec.get('clusterIP') == 'None':
            return []
        wanted = spec.get('clusterIP')
        if not wanted:
            number = self._addresses.next_free()
            if number is None:
                raise internal('failed to allocate a serviceIP: range is full')
            wanted = str(IPv4Address(number))
        elif why := self._address_fault(wanted, key_of(service)):
            return [fielderrors.invalid('spec.clusterIPs', [wanted], f'failed to allocate IP {wanted}: {why}')]
        spec['clusterIP'], spec['clusterIPs'] = wanted, [wanted]
        return []

    def _address_fault(self, address: str, owner: Key) -> str:
        number = int(IPv4Address(address))
        if number not in self._addresses:
            return (
                f'the provided IP ({address}) is not in the valid range. '
                f'The range of valid IPs is {self.cidr}'
            )  # fmt: skip
        return 'provided IP is already allocated' if self._addresses.owner(number) not in (None, owner) else ''

    def _fill_ports(self, service: Object) -> list[FieldError]:
        """Ports of one Service may share a number when their protocols differ."""
        spec = service['spec']
        if not needs_node_port(spec):
            return self._port_faults(service)
        wanted = {port['nodePort'] for port in spec.get('ports') or () if port.get('nodePort')}
        for port in spec.get('ports') or ():
            if not port.get('nodePort'):
                number = self._shared_port(spec['ports'], port) or self._ports.next_free(wanted)
                if number is None:
                    raise internal('failed to allocate a nodePort: range is full')
                port['nodePort'] = number
                wanted.add(number)
        return self._port_faults(service)

    @staticmethod
    def _shared_port(ports: list[Object], port: Object) -> int | None:
        """The nodePort of the same port number under another protocol."""
        for other in ports:
            if other is not port and other['port'] == port['port'] and other.get('protocol') != port.get('protocol'):
                return other.get('nodePort')
        return None

    def _port_faults(self, service: Object) -> list[FieldError]:
        owner = key_of(service)
        errors = []
        for index, port in enumerate(service['spec'].get('ports') or ()):
            number = port.get('nodePort')
            if number and (why := self._port_fault(number, owner)):
                errors.append(fielderrors.invalid(f'spec.ports[{index}].nodePort', number, why))
        return errors

    def _port_fault(self, number: int, owner: Key) -> str:
        if number not in self._ports:
            first, last = self._ports.first, self._ports.last
            return f'provided port is not in the valid range. The range of valid ports is {first}-{last}'
        return 'provided port is already allocated' if self._ports.owner(number) not in (None, owner) else ''


def _cluster_ips(service: Object) -> list[str]:
    return [ip for ip in service['spec'].get('clusterIPs') or [service['spec'].get('clusterIP')] if ip and ip != 'None']


def _node_ports(service: Object) -> list[int]:
    return [port['nodePort'] for port in service['spec'].get('ports') or () if port.get('nodePort')]
