"""The row of a HorizontalPodAutoscaler."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netkube.api.durations import age
from netkube.api.meta import Object

_SHOWN = 2  # metrics in a cell, before '+ N more...'


def print_autoscaler(autoscaler: Object, now: datetime) -> list[Any]:
    spec, status = autoscaler['spec'], autoscaler.get('status') or {}
    target = spec.get('scaleTargetRef') or {}
    return [
        autoscaler['metadata']['name'],
        f'{target.get("kind", "")}/{target.get("name", "")}',
        _targets(spec.get('metrics') or [], status.get('currentMetrics') or []),
        str(spec['minReplicas']) if 'minReplicas' in spec else '<unset>',
        spec.get('maxReplicas', 0),
        status.get('currentReplicas', 0),
        age(autoscaler['metadata'].get('creationTimestamp'), now),
    ]


def _targets(metrics: list[dict[str, Any]], current: list[dict[str, Any]]) -> str:
    if not metrics:
        return '<none>'
    shown = [_target(metric, current[index] if index < len(current) else {}) for index, metric in enumerate(metrics)]
    more = f' + {len(shown) - _SHOWN} more...' if len(shown) > _SHOWN else ''
    return ', '.join(shown[:_SHOWN]) + more


def _target(metric: dict[str, Any], current: dict[str, Any]) -> str:
    field = metric.get('type', '')[:1].lower() + metric.get('type', '')[1:]
    source = metric.get(field) or {}
    wanted, seen = source.get('target') or {}, (current.get(field) or {}).get('current') or {}
    if field not in ('resource', 'containerResource'):
        value = 'averageValue' if 'averageValue' in wanted else 'value'
        suffix = ' (avg)' if value == 'averageValue' and field in ('external', 'object') else ''
        return f'{seen.get(value, "<unknown>")}/{wanted.get(value, "<auto>")}{suffix}'
    if 'averageValue' in wanted:
        return f'{source.get("name", "")}: {seen.get("averageValue", "<unknown>")}/{wanted["averageValue"]}'
    percent = f'{seen["averageUtilization"]}%' if 'averageUtilization' in seen else '<unknown>'
    goal = f'{wanted["averageUtilization"]}%' if 'averageUtilization' in wanted else '<auto>'
    return f'{source.get("name", "")}: {percent}/{goal}'
