"""What a Pod asks a Node for: resources and host ports. Source: PodRequests of k8s.io/component-helpers/resource."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING

import msgspec

from netkube.api.meta import Object
from netkube.api.quantity import parse_quantity

Amounts = Mapping[str, int]  # thousandths of a core for cpu, whole units (bytes, pieces) for the others
HostPort = tuple[str, str, int]  # (address, protocol, port); 0.0.0.0 is every address

# What a container without a request counts for in scores, so that such Pods spread, too.
DEFAULT_CPU, DEFAULT_MEMORY = 100, 200 * 1024 * 1024


class Demand(msgspec.Struct, frozen=True):
    """``score_*``: with the defaults for containers that request nothing."""

    requests: Amounts
    host_ports: frozenset[HostPort]
    score_cpu: int
    score_memory: int


def parse_demand(pod: Object) -> Demand:
    return Demand(
        pod_requests(pod, {}),
        frozenset(_host_ports(pod)),
        pod_requests(pod, {'cpu': DEFAULT_CPU})['cpu'],
        pod_requests(pod, {'memory': DEFAULT_MEMORY})['memory'],
    )


def parse_amounts(quantities: Mapping[str, str | int] | None) -> dict[str, int]:
    return {name: parse_amount(name, quantity) for name, quantity in (quantities or {}).items()}


def parse_amount(name: str, quantity: str | int) -> int:
    """Rounded up, as Quantity.MilliValue and Value do."""
    value = parse_quantity(quantity)
    return int((value * 1000 if name == 'cpu' else value).to_integral_value(ROUND_CEILING))


def pod_requests(pod: Object, defaults: Amounts) -> dict[str, int]:
    """The most it may need at one time: all containers together, or while an init container runs; and its overhead.

    Sidecars (init containers that always restart) run beside what comes after them.
    """
    spec = pod['spec']
    running = _sum(_requests(container, defaults) for container in spec['containers'])
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get('initContainers') or ():
        requests = _requests(container, defaults)
        if container.get('restartPolicy') == 'Always':
            sidecars = _sum((sidecars, requests))
            peak = _most(peak, sidecars)
        else:
            peak = _most(peak, _sum((sidecars, requests)))
    needed = _most(_sum((running, sidecars)), peak)
    needed |= parse_amounts((spec.get('resources') or {}).get('requests'))
    return _sum((needed, parse_amounts(spec.get('overhead'))))


def _requests(container: Object, defaults: Amounts) -> Amounts:
    return {**defaults, **parse_amounts((container.get('resources') or {}).get('requests'))}


def _sum(amounts: Iterable[Amounts]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in amounts:
        for name, amount in each.items():
            total[name] = total.get(name, 0) + amount
    return total


def _most(one: Amounts, other: Amounts) -> dict[str, int]:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in one.keys() | other.keys()}


def _host_ports(pod: Object) -> Iterable[HostPort]:
    sidecars = (c for c in pod['spec'].get('initContainers') or () if c.get('restartPolicy') == 'Always')
    for container in (*pod['spec']['containers'], *sidecars):
        for port in container.get('ports') or ():
            if port.get('hostPort'):
                yield port.get('hostIP') or '0.0.0.0', port.get('protocol', 'TCP'), port['hostPort']
