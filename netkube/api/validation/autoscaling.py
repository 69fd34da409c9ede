"""Validation of HorizontalPodAutoscalers (pkg/apis/autoscaling/validation)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import invalid, not_supported, required
from netkube.api.meta import Object
from netkube.api.quantity import parse_quantity
from netkube.api.validation.values import one_of

_SOURCES = {'Object': 'object', 'Pods': 'pods', 'Resource': 'resource', 'External': 'external',
            'ContainerResource': 'containerResource'}  # fmt: skip
_MAX_WINDOW, _MAX_PERIOD = 3600, 1800


def validate_autoscaler(autoscaler: Object) -> Iterator[FieldError]:
    spec = autoscaler.get('spec', {})
    low, high = spec.get('minReplicas', 1), spec.get('maxReplicas', 0)
    if low < 1:
        yield invalid('spec.minReplicas', low, 'must be greater than or equal to 1')
    if high < 1:
        yield invalid('spec.maxReplicas', high, 'must be greater than 0')
    if high < low:
        yield invalid('spec.maxReplicas', high, 'must be greater than or equal to `minReplicas`')
    target = spec.get('scaleTargetRef') or {}
    for name in ('kind', 'name'):
        if not target.get(name):
            yield required(f'spec.scaleTargetRef.{name}')
    for index, metric in enumerate(spec.get('metrics') or ()):
        yield from _validate_metric(metric, f'spec.metrics[{index}]')
    behavior = spec.get('behavior') or {}
    for name in ('scaleUp', 'scaleDown'):
        yield from _validate_rules(behavior.get(name) or {}, f'spec.behavior.{name}')


def validate_autoscaler_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_autoscaler(new)


def _validate_metric(metric: dict[str, Any], path: str) -> Iterator[FieldError]:
    kind = metric.get('type', '')
    if not kind:
        yield required(f'{path}.type', 'must specify a metric source type')
        return
    if kind not in _SOURCES:
        yield not_supported(f'{path}.type', kind, sorted(_SOURCES))
        return
    source = metric.get(_SOURCES[kind])
    if source is None:
        yield required(f'{path}.{_SOURCES[kind]}', 'must populate information for the given metric source')
        return
    here = f'{path}.{_SOURCES[kind]}'
    if kind in ('Resource', 'ContainerResource') and not source.get('name'):
        yield required(f'{here}.name', 'must specify a resource name')
    yield from _validate_target(source.get('target') or {}, kind, f'{here}.target')


def _validate_target(target: dict[str, Any], kind: str, path: str) -> Iterator[FieldError]:
    if not target.get('type'):
        yield required(f'{path}.type', 'must specify a metric target type')
    elif target['type'] not in ('Utilization', 'Value', 'AverageValue'):
        yield invalid(f'{path}.type', target['type'], 'must be either Utilization, Value, or AverageValue')
    if target.get('averageUtilization', 1) < 1:
        yield invalid(f'{path}.averageUtilization', target['averageUtilization'], 'must be greater than 0')
    for name in ('value', 'averageValue'):
        if name in target and parse_quantity(target[name]) <= 0:
            yield invalid(f'{path}.{name}', target[name], 'must be positive')
    if kind in ('Resource', 'ContainerResource') and not {'averageUtilization', 'averageValue'} & target.keys():
        message = 'must set either a target raw value or a target utilization'
        yield required(f'{path}.averageUtilization', message)


def _validate_rules(rules: dict[str, Any], path: str) -> Iterator[FieldError]:
    window = rules.get('stabilizationWindowSeconds', 0)
    if window < 0:
        yield invalid(f'{path}.stabilizationWindowSeconds', window, 'must be greater than or equal to zero')
    if window > _MAX_WINDOW:
        yield invalid(f'{path}.stabilizationWindowSeconds', window, f'must be less than or equal to {_MAX_WINDOW}')
    if 'selectPolicy' in rules:
        yield from one_of(rules['selectPolicy'], ('Max', 'Min', 'Disabled'), f'{path}.selectPolicy')
    for index, policy in enumerate(rules.get('policies') or ()):
        here = f'{path}.policies[{index}]'
        yield from one_of(policy.get('type'), ('Pods', 'Percent'), f'{here}.type')
        for name in ('value', 'periodSeconds'):
            if policy.get(name, 0) <= 0:
                yield invalid(f'{here}.{name}', policy.get(name, 0), 'must be greater than zero')
        if policy.get('periodSeconds', 0) > _MAX_PERIOD:
            yield invalid(f'{here}.periodSeconds', policy['periodSeconds'],
                          f'must be less than or equal to {_MAX_PERIOD}')  # fmt: skip
