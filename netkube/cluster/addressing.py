"""Which address is what in a cluster.

The Pod CIDR, say 10.244.0.0/16, is cut into 16 equal parts:

====================  ===========================================================================
part 0                the Pod range of Node 1, 10.244.0.0/20; its first address, 10.244.0.1, is the
                      Pods' gateway
parts 1 to 14         other Nodes' Pod ranges
part 15               the link between machine and Node: 10.244.240.1 is the machine's end,
                      10.244.240.2 the Node's, which is the Node's InternalIP
====================  ===========================================================================

Of the service CIDR, say 10.96.0.0/16, the first address, 10.96.0.1, is Service ``kubernetes``, and the tenth,
10.96.0.10, is cluster DNS, as everywhere in Kubernetes.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

import msgspec

PARTS_BITS = 4
SMALLEST_POD_CIDR = 24
SMALLEST_SERVICE_CIDR = 28


class AddressPlan(msgspec.Struct, frozen=True):
    """The addresses of one cluster; make it with ``of``."""

    pod_cidr: IPv4Network
    service_cidr: IPv4Network
    node_pod_cidr: IPv4Network
    gateway: IPv4Address
    machine_address: IPv4Address
    node_address: IPv4Address
    dns_vip: IPv4Address
    kubernetes_vip: IPv4Address

    @classmethod
    def of(cls, pod_cidr: str | IPv4Network, service_cidr: str | IPv4Network) -> AddressPlan:
        """ValueError, with the words for the user, if the CIDRs cannot be used."""
        pods = _network(pod_cidr, 'pod CIDR', SMALLEST_POD_CIDR)
        services = _network(service_cidr, 'service CIDR', SMALLEST_SERVICE_CIDR)
        if pods.overlaps(services):
            raise ValueError(f'pod CIDR {pods} and service CIDR {services} overlap')
        parts = list(pods.subnets(prefixlen_diff=PARTS_BITS))
        return cls(
            pod_cidr=pods,
            service_cidr=services,
            node_pod_cidr=parts[0],
            gateway=parts[0][1],
            machine_address=parts[-1][1],
            node_address=parts[-1][2],
            dns_vip=services[10],
            kubernetes_vip=services[1],
        )

    def overlaps(self, networks: Iterable[IPv4Network]) -> list[IPv4Network]:
        """Those of the networks that share an address with this cluster."""
        return [n for n in networks if n.overlaps(self.pod_cidr) or n.overlaps(self.service_cidr)]


def free_plan(used: Iterable[IPv4Network]) -> AddressPlan:
    """The first plan of our own that overlaps no network of ``used``, which is not to hold the default route.

    10.244.0.0/16 with 10.96.0.0/16, then 10.245 with 10.97 and so on. ValueError if all 32 are taken.
    """
    taken = list(used)
    for plan in _candidates():
        if not plan.overlaps(taken):
            return plan
    raise ValueError('no free pod and service CIDR found; choose them yourself, with --pod-cidr and --service-cidr')


def _candidates() -> Iterable[AddressPlan]:
    pods = (*range(244, 256), *range(243, 223, -1))
    for pod, service in zip(pods, range(96, 128), strict=True):
        yield AddressPlan.of(f'10.{pod}.0.0/16', f'10.{service}.0.0/16')


def _network(text: str | IPv4Network, what: str, smallest: int) -> IPv4Network:
    try:
        network = IPv4Network(text)
    except ValueError as error:
        raise ValueError(f'invalid {what} {text}: {error}') from error
    if network.prefixlen > smallest:
        raise ValueError(f'{what} {network} is too small: at least a /{smallest} is needed')
    if network.is_multicast or network.is_loopback or network.is_link_local or not network.network_address.packed[0]:
        raise ValueError(f'{what} {network} is not of addresses that can be routed')
    return network
