"""The quality-of-service class of a Pod (pkg/apis/core/helper/qos)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from netkube.api.quantity import parse_quantity

_ZERO = Decimal(0)
_RESOURCES = ('cpu', 'memory')


def qos_class(spec: dict[str, Any]) -> str:
    """Guaranteed when every container's limits of CPU and memory are its requests, BestEffort when none are set."""
    containers = [*(spec.get('initContainers') or ()), *(spec.get('containers') or ())]
    resources = [spec['resources']] if spec.get('resources') else [c.get('resources') or {} for c in containers]
    limits = [_set_quantities(one.get('limits')) for one in resources]
    requests = [_set_quantities(one.get('requests')) for one in resources]
    if not any(limits) and not any(requests):
        return 'BestEffort'
    complete = all(set(limit) == set(_RESOURCES) for limit in limits)
    return 'Guaranteed' if complete and _total(limits) == _total(requests) else 'Burstable'


def _set_quantities(quantities: dict[str, Any] | None) -> dict[str, Decimal]:
    """CPU and memory, where they are given and not zero."""
    parsed = {name: parse_quantity(value) for name, value in (quantities or {}).items() if name in _RESOURCES}
    return {name: value for name, value in parsed.items() if value > 0}


def _total(quantities: list[dict[str, Decimal]]) -> dict[str, Decimal]:
    return {name: sum((one.get(name, _ZERO) for one in quantities), _ZERO) for name in _RESOURCES}
