"""Validation of PodDisruptionBudgets, PriorityClasses, ResourceQuotas and LimitRanges.

pkg/apis/{policy,scheduling,core}/validation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import duplicate, forbidden, invalid, invalid_each, not_supported, required
from netkube.api.meta import Object
from netkube.api.names import is_percent, is_qualified_name
from netkube.api.quantity import parse_quantity
from netkube.api.validation.labels import validate_label_selector
from netkube.api.validation.metadata import validate_immutable
from netkube.api.validation.values import nonnegative, nonnegative_fields, one_of

_HIGHEST_PRIORITY = 1_000_000_000
_SYSTEM = {'system-node-critical': 2_000_001_000, 'system-cluster-critical': 2_000_000_000}
_SCOPES = ('BestEffort', 'CrossNamespacePodAffinity', 'NotBestEffort', 'NotTerminating', 'PriorityClass',
           'Terminating', 'VolumeAttributesClass')  # fmt: skip
_LIMIT_TYPES = ('Container', 'PersistentVolumeClaim', 'Pod')


def validate_budget(budget: Object) -> Iterator[FieldError]:
    spec = budget.get('spec') or {}
    if 'minAvailable' in spec and 'maxUnavailable' in spec:
        yield invalid('spec', spec, 'minAvailable and maxUnavailable cannot be both set')
    for name in ('minAvailable', 'maxUnavailable'):
        if name in spec:
            yield from _validate_count_or_percent(spec[name], f'spec.{name}')
    if spec.get('selector'):
        yield from validate_label_selector(spec['selector'], 'spec.selector')
    if 'unhealthyPodEvictionPolicy' in spec:
        policies = ('AlwaysAllow', 'IfHealthyBudget')
        yield from one_of(spec['unhealthyPodEvictionPolicy'], policies, 'spec.unhealthyPodEvictionPolicy')


def validate_budget_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_budget(new)


def validate_budget_status(new: Object, old: Object) -> Iterator[FieldError]:
    names = ('disruptionsAllowed', 'currentHealthy', 'desiredHealthy', 'expectedPods')
    yield from nonnegative_fields(new.get('status') or {}, names, 'status')


def _validate_count_or_percent(value: int | str, path: str) -> Iterator[FieldError]:
    if isinstance(value, int):
        yield from nonnegative(value, path)
        return
    yield from invalid_each(path, value, is_percent(value))
    if not is_percent(value) and int(value[:-1]) > 100:
        yield invalid(path, value, 'must not be greater than 100%')


def validate_priorityclass(priority_class: Object) -> Iterator[FieldError]:
    name, value = priority_class['metadata'].get('name', ''), priority_class.get('value', 0)
    if name.startswith('system-'):
        if _SYSTEM.get(name) != value:
            message = 'priority class names with \'system-\' prefix are reserved for system use only. error: '
            yield forbidden('metadata.name', f'{message}{name} is not a known system priority class')
    elif value > _HIGHEST_PRIORITY:
        message = f'maximum allowed value of a user defined priority is {_HIGHEST_PRIORITY}'
        yield forbidden('value', message)
    if 'preemptionPolicy' in priority_class:
        policies = ('Never', 'PreemptLowerPriority')
        yield from one_of(priority_class['preemptionPolicy'], policies, 'preemptionPolicy')


def validate_priorityclass_update(new: Object, old: Object) -> Iterator[FieldError]:
    if new.get('value', 0) != old.get('value', 0):
        yield forbidden('value', 'may not be changed in an update.')
    yield from validate_immutable(new.get('preemptionPolicy'), old.get('preemptionPolicy'), 'preemptionPolicy')


def validate_quota(quota: Object) -> Iterator[FieldError]:
    spec = quota.get('spec') or {}
    for name, amount in sorted((spec.get('hard') or {}).items()):
        path = f'spec.hard[{name}]'
        yield from invalid_each(path, name, is_qualified_name(name))
        if parse_quantity(amount) < 0:
            yield invalid(path, amount, 'must be greater than or equal to 0')
    for scope in spec.get('scopes') or ():
        if scope not in _SCOPES:
            yield invalid('spec.scopes', spec['scopes'], 'unsupported scope')
    if {'BestEffort', 'NotBestEffort'} <= set(spec.get('scopes') or ()):
        yield invalid('spec.scopes', spec['scopes'], 'conflicting scopes')


def validate_quota_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_quota(new)
    scopes, before = (sorted((each.get('spec') or {}).get('scopes') or ()) for each in (new, old))
    if scopes != before:
        yield invalid('spec.scopes', scopes, 'field is immutable')


def validate_limitrange(limit_range: Object) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, item in enumerate((limit_range.get('spec') or {}).get('limits') or ()):
        path, kind = f'spec.limits[{index}]', item.get('type', '')
        if not kind:
            yield required(f'{path}.type')
        elif '/' not in kind and kind not in _LIMIT_TYPES:
            yield not_supported(f'{path}.type', kind, _LIMIT_TYPES)
        if kind in seen:
            yield duplicate(f'{path}.type', kind)
        seen.add(kind)
        yield from _validate_limits(item, kind, path)


def validate_limitrange_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_limitrange(new)


def _validate_limits(item: dict[str, Any], kind: str, path: str) -> Iterator[FieldError]:
    if kind == 'Pod':
        for name in ('default', 'defaultRequest'):
            if item.get(name):
                yield forbidden(f'{path}.{name}', 'may not be specified when `type` is \'Pod\'')
    if kind == 'PersistentVolumeClaim' and 'storage' not in {**item.get('min', {}), **item.get('max', {})}:
        message = 'either minimum or maximum storage value is required, but neither was provided'
        yield required(f'{path}.limits', message)
    order = [name for name in ('min', 'defaultRequest', 'default', 'max') if item.get(name)]
    for position, smaller in enumerate(order):
        for larger in order[position + 1 :]:
            yield from _validate_order(item, smaller, larger, path)


def _validate_order(item: dict[str, Any], smaller: str, larger: str, path: str) -> Iterator[FieldError]:
    words = {'defaultRequest': 'default request', 'default': 'default'}
    for name in sorted(item[smaller].keys() & item[larger].keys()):
        low, high = item[smaller][name], item[larger][name]
        if parse_quantity(low) > parse_quantity(high):
            shown = words.get(larger, larger)
            message = f'{words.get(smaller, smaller)} value {low} is greater than {shown} value {high}'
            yield invalid(f'{path}.{smaller}[{name}]', low, message)
