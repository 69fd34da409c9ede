"""ClusterIPs and nodePorts: who has which is derived from the stored objects, never stored apart.

``fill`` decides and writes into the new Service; ``changed`` learns what was stored. Both run in the same turn of
the event loop, so nothing can come between. Source: pkg/registry/core/service/storage/alloc.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from netkube.api.errors import FieldError, internal, invalid
from netkube.api.fielderrors import invalid as invalid_field
from netkube.api.meta import Key, Object, key_of
from netkube.api.resources import SERVICES
from netkube.api.strategies.service import (
    gets_node_ports,
    needs_cluster_ip,
    needs_health_check_node_port,
    needs_node_port,
)
from netkube.api.strategies.servicefamilies import init_ip_families
from netkube.apiserver.pools import Pool, address_range, port_range
from netkube.apiserver.servicecidrs import ServiceCIDRs

NODE_PORTS = (30000, 32767)
TAKEN = 'provided IP is already allocated'


class ServiceAllocator:
    """The addresses and ports of one cluster's Services; ``service_cidr`` has its families, the primary first."""

    def __init__(self, service_cidr: str, node_ports: tuple[int, int] = NODE_PORTS) -> None:
        self.cidrs = ServiceCIDRs(service_cidr)
        self.families = self.cidrs.families
        self._addresses = {family: Pool() for family in self.families}
        self._ports = Pool(port_range(*node_ports))
        self._set_ranges()

    def fill(self, new: Object, old: Object | None = None) -> None:
        """Give a Service what it lacks. ApiError 422: something is wrong, taken or out of range; 500: all is taken."""
        spec, before = new['spec'], old['spec'] if old else None
        errors = init_ip_families(spec, before, self.families)
        errors = errors or list(self._fill_addresses(new))
        errors = errors or list(self._fill_ports(new, before is None))
        if errors:
            raise invalid(SERVICES, new['metadata']['name'], errors)
        self._fill_health_check_port(new)

    def changed(self, old: Object | None, new: Object | None) -> None:
        """A Service was created (old None), replaced or deleted (new None)."""
        for service, act in ((old, 'release'), (new, 'take')):
            if service is None:
                continue
            owner = key_of(service)
            for address in cluster_ips(service):
                self._act(act, address, owner)
            for port in _node_ports(service):
                getattr(self._ports, act)(port, owner)

    def reserve(self, address: str, owner: Key) -> None:
        """An address that is somebody's who is no Service: an IPAddress object of its own."""
        self._act('take', address, owner)

    def unreserve(self, address: str, owner: Key) -> None:
        self._act('release', address, owner)

    def cidr_changed(self, old: Object | None, new: Object | None) -> None:
        """A ServiceCIDR was created, replaced or deleted."""
        self.cidrs.changed(old, new)
        self._set_ranges()

    def _set_ranges(self) -> None:
        for family, pool in self._addresses.items():
            pool.ranges = tuple(address_range(cidr) for cidr in self.cidrs.ready(family))

    def _act(self, act: str, address: str, owner: Key) -> None:
        parsed = ip_address(address)
        if pool := self._addresses.get(f'IPv{parsed.version}'):  # else of a family that the cluster had before
            getattr(pool, act)(int(parsed), owner)

    # addresses

    def _fill_addresses(self, service: Object) -> Iterator[FieldError]:
        spec = service['spec']
        if not needs_cluster_ip(spec) or spec.get('clusterIP') == 'None':
            return
        addresses = list(spec.get('clusterIPs') or ())
        families = spec['ipFamilies']
        addresses += [''] * (len(families) - len(addresses))
        for index, (family, wanted) in enumerate(zip(families, addresses, strict=True)):
            if not wanted:
                addresses[index] = self._next_address(family)
            elif why := self._address_fault(family, wanted, key_of(service)):
                yield invalid_field('spec.clusterIPs', spec['clusterIPs'], f'failed to allocate IP {wanted}: {why}')
                return
        spec['clusterIP'], spec['clusterIPs'] = addresses[0], addresses

    def _next_address(self, family: str) -> str:
        number = self._addresses[family].next_free()
        if number is None:
            raise internal('failed to allocate a serviceIP: range is full')
        return str(self.cidrs.address(family, number))

    def _address_fault(self, family: str, address: str, owner: Key) -> str:
        """What a Service has already, it keeps, even if its ServiceCIDR is being deleted."""
        pool, number = self._addresses[family], int(ip_address(address))
        holder = pool.owner(number)
        if holder == owner:
            return ''
        if number not in pool:
            ranges = ', '.join(map(str, self.cidrs.ready(family)))
            return f'the provided IP ({address}) is not in the valid range. The range of valid IPs is {ranges}'
        return TAKEN if holder is not None else ''

    # ports

    def _fill_ports(self, service: Object, is_new: bool) -> Iterator[FieldError]:
        """Ports of one Service may share a number when their protocols differ."""
        spec = service['spec']
        if not needs_node_port(spec):
            return
        ports = spec.get('ports') or ()
        taken = {port['nodePort'] for port in ports if port.get('nodePort')}
        for index, port in enumerate(ports):
            number = port.get('nodePort')
            if number and (why := self._port_fault(number, key_of(service))):
                yield invalid_field(f'spec.ports[{index}].nodePort', number, why)
                return
            if not number and gets_node_ports(spec):
                port['nodePort'] = (is_new and self._shared_port(ports, port)) or self._next_port(taken)
                taken.add(port['nodePort'])

    def _next_port(self, besides: set[int]) -> int:
        number = self._ports.next_free(besides)
        if number is None:
            raise internal('failed to allocate a nodePort: range is full')
        return number

    @staticmethod
    def _shared_port(ports: Sequence[Object], port: Object) -> int | None:
        """The nodePort of the same port number under another protocol: DNS, HTTP/3."""
        for other in ports:
            same = other.get('port') == port.get('port') and other.get('protocol') != port.get('protocol')
            if other is not port and same and other.get('nodePort'):
                return other['nodePort']
        return None

    def _fill_health_check_port(self, service: Object) -> None:
        spec = service['spec']
        if not needs_health_check_node_port(spec):
            return
        number = spec.get('healthCheckNodePort')
        besides = set(_node_ports(service)) - {number}
        if number and (why := self._port_fault(number, key_of(service))):
            raise internal(f'failed to allocate requested HealthCheck NodePort {number}: {why}')
        spec['healthCheckNodePort'] = number or self._next_port(besides)

    def _port_fault(self, number: int, owner: Key) -> str:
        holder = self._ports.owner(number)
        if holder == owner:
            return ''
        if number not in self._ports:
            (valid,) = self._ports.ranges
            return f'provided port is not in the valid range. The range of valid ports is {valid.first}-{valid.last}'
        return 'provided port is already allocated' if holder is not None else ''


def cluster_ips(service: Object) -> list[str]:
    """In the one way to write them, RFC 5952; the Service keeps what its author wrote."""
    spec = service['spec']
    found = spec.get('clusterIPs') or [spec.get('clusterIP')]
    return [ip if ':' not in ip else str(ip_address(ip)) for ip in found if ip and ip != 'None']


def _node_ports(service: Object) -> list[int]:
    spec = service['spec']
    numbers = [port.get('nodePort') for port in spec.get('ports') or ()] + [spec.get('healthCheckNodePort')]
    return [number for number in numbers if number]
