"""Which address is what in a cluster: one plan for each of its IP families.

The Pod CIDR, say 10.244.0.0/16 or fd00:10:244::/56, is cut into 16 equal parts:

====================  ===========================================================================
part 0                the Pod range of Node 1, 10.244.0.0/20 or fd00:10:244::/60; its first address,
                      10.244.0.1 or fd00:10:244::1, is the Pods' gateway
parts 1 to 13         other Nodes' Pod ranges
part 14               addresses of load balancers, which the machine reaches as it reaches Pods
part 15               the link between machine and Node: 10.244.240.1 or fd00:10:244:f0::1 is the
                      machine's end, the next address the Node's, which is the Node's InternalIP
====================  ===========================================================================

Of the service CIDR, say 10.96.0.0/16 or fd00:10:96::/112, the first address, 10.96.0.1, is Service ``kubernetes``,
and the tenth, 10.96.0.10, is cluster DNS, as everywhere in Kubernetes.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network

import msgspec

from netkube.api.families import Address, Network, family_of

PARTS_BITS = 4
LOAD_BALANCERS, LINK = 14, 15
SMALLEST_POD_CIDR = {4: 24, 6: 120}
SMALLEST_SERVICE_CIDR = {4: 28, 6: 124}
LARGEST_SERVICE_CIDR = {4: 0, 6: 64}  # Kubernetes' own limit (pkg/registry/core/service/ipallocator)


class AddressPlan(msgspec.Struct, frozen=True):
    """The addresses of one family; make it with ``of``. A cluster has a tuple of them, its primary family first."""

    pod_cidr: Network
    service_cidr: Network
    node_pod_cidr: Network
    gateway: Address
    machine_address: Address
    node_address: Address
    dns_vip: Address
    kubernetes_vip: Address
    load_balancer_cidr: Network

    @classmethod
    def of(cls, pod_cidr: str | Network, service_cidr: str | Network) -> AddressPlan:
        """ValueError, with the words for the user, if the CIDRs cannot be used."""
        pods, services = _network(pod_cidr, 'pod CIDR'), _network(service_cidr, 'service CIDR')
        _check_size(pods, 'pod CIDR', SMALLEST_POD_CIDR)
        _check_size(services, 'service CIDR', SMALLEST_SERVICE_CIDR)
        if pods.version != services.version:
            raise ValueError(
                f'pod CIDR {pods} is {family_of(pods)}, but service CIDR {services} is {family_of(services)}'
            )
        if services.prefixlen < (largest := LARGEST_SERVICE_CIDR[services.version]):
            raise ValueError(f'service CIDR {services} is too large: at most a /{largest} can be used')
        if pods.overlaps(services):
            raise ValueError(f'pod CIDR {pods} and service CIDR {services} overlap')
        parts: list[Network] = list(pods.subnets(prefixlen_diff=PARTS_BITS))  # type: ignore[arg-type]
        return cls(
            pod_cidr=pods,
            service_cidr=services,
            node_pod_cidr=parts[0],
            gateway=parts[0][1],
            machine_address=parts[LINK][1],
            node_address=parts[LINK][2],
            dns_vip=services[10],
            kubernetes_vip=services[1],
            load_balancer_cidr=parts[LOAD_BALANCERS],
        )

    @property
    def family(self) -> str:
        """``IPv4`` or ``IPv6``."""
        return family_of(self.pod_cidr)

    def overlaps(self, networks: Iterable[Network]) -> list[Network]:
        """Those of the networks that share an address with this plan."""
        return [n for n in networks if n.overlaps(self.pod_cidr) or n.overlaps(self.service_cidr)]


AddressPlans = tuple[AddressPlan, ...]
"""A cluster's: one or two, of different families, the primary first."""


def _network(text: str | Network, what: str) -> Network:
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ValueError(f'invalid {what} {text}: {error}') from error
    if network.is_multicast or network.is_loopback or network.is_link_local or not network.network_address.packed[0]:
        raise ValueError(f'{what} {network} is not of addresses that can be routed')
    return network


def _check_size(network: Network, what: str, smallest: dict[int, int]) -> None:
    if network.prefixlen > (bits := smallest[network.version]):
        raise ValueError(f'{what} {network} is too small: at least a /{bits} is needed')
