"""The addresses of a new cluster: what was asked for, and of the rest what nobody uses.

What each address is for says ``netkube.network.plan``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_network

from netkube.api.families import FAMILIES, IPV4, IPV6, Network, family_of
from netkube.network.plan import AddressPlan, AddressPlans

__all__ = ['AddressPlan', 'AddressPlans', 'families_asked_for', 'free_plan', 'parse_cidrs', 'plans_of']

IP_FAMILIES = {'ipv4': (IPV4,), 'ipv6': (IPV6,), 'dual': (IPV4, IPV6)}
"""What ``--ip-family`` may be, in kind's words; of two families the CIDRs say which is the primary one."""

CANDIDATES = {
    IPV4: ('10.{pod}.0.0/16', '10.{service}.0.0/16'),
    IPV6: ('fd00:10:{pod}::/56', 'fd00:10:{service}::/112'),
}


def plans_of(pod_cidrs: str, service_cidrs: str) -> AddressPlans:
    """The plans of a cluster whose CIDRs are known, each one CIDR or two with a comma between. ValueError."""
    pods, services = parse_cidrs(pod_cidrs), parse_cidrs(service_cidrs)
    return tuple(AddressPlan.of(pod, service) for pod, service in zip(pods, services, strict=True))


def parse_cidrs(text: str) -> tuple[Network, ...]:
    """One CIDR, or two of different families with a comma between. ValueError says what is wrong with them."""
    networks = tuple(ip_network(part.strip()) for part in text.split(',')) if text.strip() else ()
    if len(networks) != len({network.version for network in networks}):
        raise ValueError('there may be one CIDR, or one of IPv4 and one of IPv6')
    return networks


def families_asked_for(ip_family: str, cidrs: Mapping[str, Sequence[Network]]) -> tuple[str, ...]:
    """The families of a cluster, the primary first; ``cidrs`` by option. ValueError if the options contradict.

    Without ``ip_family`` it is the CIDRs that say it, and without those it is IPv4.
    """
    orders = {option: tuple(map(family_of, networks)) for option, networks in cidrs.items() if networks}
    if len(set(orders.values())) > 1:
        shown = ' and '.join(f'{option} {",".join(map(str, cidrs[option]))}' for option in orders)
        raise ValueError(f'{shown} do not agree: both must be of the same IP families, in the same order')
    order = next(iter(orders.values()), None)
    if not ip_family:
        return order or IP_FAMILIES['ipv4']
    wanted = IP_FAMILIES[ip_family]
    if order and set(order) != set(wanted):
        option = next(iter(orders))
        needs = ' and '.join(f'an {family}' for family in wanted)
        shown = ','.join(map(str, cidrs[option]))
        raise ValueError(f'--ip-family {ip_family} and {option} {shown} do not agree: it needs {needs} CIDR')
    return order or wanted


def ip_family_of(families: Sequence[str]) -> str:
    """The ``--ip-family`` that a cluster of these families has."""
    return next(name for name, named in IP_FAMILIES.items() if set(named) == set(families))


def free_plan(used: Iterable[Network], family: str = IPV4) -> AddressPlan:
    """The first plan of our own that overlaps no network of ``used``, which is not to hold the default route.

    10.244.0.0/16 with 10.96.0.0/16, then 10.245 with 10.97 and so on; fd00:10:244::/56 with fd00:10:96::/112 and so
    on. ValueError if all 32 are taken.
    """
    taken = [network for network in used if family_of(network) == family]
    for plan in _candidates(family):
        if not plan.overlaps(taken):
            return plan
    raise ValueError('no free pod and service CIDR found; choose them yourself, with --pod-cidr and --service-cidr')


def _candidates(family: str) -> Iterator[AddressPlan]:
    assert family in FAMILIES
    pod_cidr, service_cidr = CANDIDATES[family]
    pods = (*range(244, 256), *range(243, 223, -1))
    for pod, service in zip(pods, range(96, 128), strict=True):
        yield AddressPlan.of(pod_cidr.format(pod=pod), service_cidr.format(service=service))
