"""What a Pod requests, and what it is limited to, all its containers together.

Source: PodRequests, PodLimits of k8s.io/component-helpers/resource.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING

from netkube.api.meta import Object
from netkube.api.quantity import canonical_quantity, parse_quantity

Amounts = Mapping[str, int]  # thousandths of a core for cpu, whole units (bytes, pieces) for the others


def parse_amounts(quantities: Mapping[str, str | int] | None) -> dict[str, int]:
    return {name: parse_amount(name, quantity) for name, quantity in (quantities or {}).items()}


def parse_amount(name: str, quantity: str | int) -> int:
    """Rounded up, as Quantity.MilliValue and Value do."""
    value = parse_quantity(quantity)
    return int((value * 1000 if name == 'cpu' else value).to_integral_value(ROUND_CEILING))


def pod_requests(pod: Object, defaults: Amounts) -> dict[str, int]:
    """The most it may need at one time, and its overhead. ``defaults`` are of a container that does not say."""
    return _of_pod(pod, 'requests', aggregate(pod, 'requests', defaults))


def pod_limits(pod: Object) -> dict[str, int]:
    """As ``pod_requests``; of a resource for which nothing has a limit there is none."""
    return _of_pod(pod, 'limits', aggregate(pod, 'limits', {}))


def _of_pod(pod: Object, kind: str, total: dict[str, int]) -> dict[str, int]:
    """What the Pod says itself counts instead of its containers' sum (KEP-2837)."""
    total |= parse_amounts((pod['spec'].get('resources') or {}).get(kind))
    overhead = parse_amounts(pod['spec'].get('overhead'))
    if kind == 'limits':
        overhead = {name: amount for name, amount in overhead.items() if total.get(name)}
    return _sum((total, overhead)) if overhead else total


def aggregate(pod: Object, kind: str, defaults: Amounts) -> dict[str, int]:
    """All containers together, or while an init container runs, whichever is more.

    Sidecars (init containers that always restart) run beside what comes after them.
    """
    spec = pod['spec']
    running = _sum(_of_container(container, kind, defaults) for container in spec['containers'])
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.get('initContainers') or ():
        amounts = _of_container(container, kind, defaults)
        if container.get('restartPolicy') == 'Always':
            sidecars = _sum((sidecars, amounts))
            peak = _most(peak, sidecars)
        else:
            peak = _most(peak, _sum((sidecars, amounts)))
    return _most(_sum((running, sidecars)), peak)


def aggregate_quantities(spec: Object) -> dict[str, str]:
    """The requests of all containers as the API writes them."""
    amounts = aggregate({'spec': {'containers': [], **spec}}, 'requests', {})
    return {name: _quantity(name, amount) for name, amount in amounts.items()}


def _quantity(name: str, amount: int) -> str:
    if name == 'cpu':
        return canonical_quantity(f'{amount}m')
    return canonical_quantity(f'{amount // 1024}Ki' if amount % 1024 == 0 else amount)


def _of_container(container: Object, kind: str, defaults: Amounts) -> Amounts:
    return {**defaults, **parse_amounts((container.get('resources') or {}).get(kind))}


def _sum(amounts: Iterable[Amounts]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in amounts:
        for name, amount in each.items():
            total[name] = total.get(name, 0) + amount
    return total


def _most(one: Amounts, other: Amounts) -> dict[str, int]:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in one.keys() | other.keys()}
