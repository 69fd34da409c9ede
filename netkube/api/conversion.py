"""Kinds that are served in two versions and stored in one: Events and HorizontalPodAutoscalers.

``to_stored`` and ``from_stored`` leave every other built-in kind as it is; the versions of a defined kind differ in no
more than their apiVersion. pkg/apis/events/v1/conversion.go,
pkg/apis/autoscaling/v1/conversion.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netkube.api.meta import Object
from netkube.api.resources import EVENTS_V1, HORIZONTALPODAUTOSCALERS_V1, STORED_AS, CustomResource, Resource

# core/v1 Event -> events.k8s.io/v1 Event
_EVENT_FIELDS = {
    'involvedObject': 'regarding', 'message': 'note', 'source': 'deprecatedSource', 'count': 'deprecatedCount',
    'firstTimestamp': 'deprecatedFirstTimestamp', 'lastTimestamp': 'deprecatedLastTimestamp',
    'reportingComponent': 'reportingController',
}  # fmt: skip
_CPU = 'Resource'


def is_converted(resource: Resource) -> bool:
    """Whether what is shown may differ from what is stored."""
    return isinstance(resource, CustomResource) or resource in STORED_AS


def to_stored(resource: Resource, obj: Object) -> tuple[Resource, Object]:
    """The resource that keeps it, and the object in that resource's form."""
    stored = STORED_AS.get(resource)
    if stored is None:
        return resource, obj
    converted = _TO_STORED[resource](obj)
    return stored, {**converted, 'apiVersion': stored.api_version, 'kind': stored.kind}


def from_stored(resource: Resource, obj: Object) -> Object:
    """The object as ``resource`` shows it: a new one where they differ."""
    if isinstance(resource, CustomResource):
        shown: Object = resource.definition.shown(obj)
        return shown
    if resource not in STORED_AS:
        return obj
    return {**_FROM_STORED[resource](obj), 'apiVersion': resource.api_version, 'kind': resource.kind}


def _renamed(obj: Object, names: dict[str, str]) -> Object:
    return {names.get(key, key): value for key, value in obj.items()}


def _event_to_stored(event: Object) -> Object:
    renamed = _renamed(event, {new: old for old, new in _EVENT_FIELDS.items()})
    return {'involvedObject': {}, **renamed}


def _event_from_stored(event: Object) -> Object:
    return {'eventTime': None, **_renamed(event, _EVENT_FIELDS)}


def _autoscaler_to_stored(autoscaler: Object) -> Object:
    spec, status = dict(autoscaler.get('spec') or {}), dict(autoscaler.get('status') or {})
    utilization = spec.pop('targetCPUUtilizationPercentage', None)
    if utilization is not None:
        spec['metrics'] = [_cpu_metric('target', utilization)]
    shown = status.pop('currentCPUUtilizationPercentage', None)
    if shown is not None:
        status['currentMetrics'] = [_cpu_metric('current', shown)]
    return {**autoscaler, 'spec': spec, **({'status': status} if status else {})}


def _cpu_metric(word: str, percent: int) -> dict[str, Any]:
    value: dict[str, Any] = {'averageUtilization': percent}
    if word == 'target':
        value = {'type': 'Utilization', **value}
    return {'type': _CPU, 'resource': {'name': 'cpu', word: value}}


def _autoscaler_from_stored(autoscaler: Object) -> Object:
    """Only a target of CPU utilization can be said in v1; upstream puts the others into an annotation."""
    spec, status = dict(autoscaler.get('spec') or {}), dict(autoscaler.get('status') or {})
    target = _cpu_percent(spec.pop('metrics', None), 'target')
    spec.pop('behavior', None)
    if target is not None:
        spec['targetCPUUtilizationPercentage'] = target
    current = _cpu_percent(status.pop('currentMetrics', None), 'current')
    if current is not None:
        status['currentCPUUtilizationPercentage'] = current
    status.pop('conditions', None)
    return {**autoscaler, 'spec': spec, 'status': {'currentReplicas': 0, **status}}


def _cpu_percent(metrics: list[dict[str, Any]] | None, word: str) -> int | None:
    for metric in metrics or ():
        resource = metric.get('resource') or {}
        if metric.get('type') == _CPU and resource.get('name') == 'cpu':
            percent: int | None = (resource.get(word) or {}).get('averageUtilization')
            return percent
    return None


_Convert = Callable[[Object], Object]
_TO_STORED: dict[Resource, _Convert] = {
    EVENTS_V1: _event_to_stored, HORIZONTALPODAUTOSCALERS_V1: _autoscaler_to_stored,
}  # fmt: skip
_FROM_STORED: dict[Resource, _Convert] = {
    EVENTS_V1: _event_from_stored, HORIZONTALPODAUTOSCALERS_V1: _autoscaler_from_stored,
}  # fmt: skip
