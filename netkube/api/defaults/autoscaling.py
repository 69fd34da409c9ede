"""Defaults of HorizontalPodAutoscaler (pkg/apis/autoscaling/v2/defaults.go)."""

from __future__ import annotations

from typing import Any

from netkube.api.meta import Object

_SCALE_UP = [{'type': 'Pods', 'value': 4, 'periodSeconds': 15}, {'type': 'Percent', 'value': 100, 'periodSeconds': 15}]
_SCALE_DOWN = [{'type': 'Percent', 'value': 100, 'periodSeconds': 15}]


def default_autoscaler(autoscaler: Object) -> None:
    spec = autoscaler.setdefault('spec', {})
    if not spec.get('minReplicas') and 'minReplicas' not in spec:
        spec['minReplicas'] = 1
    if not spec.get('metrics'):
        target = {'type': 'Utilization', 'averageUtilization': 80}
        spec['metrics'] = [{'type': 'Resource', 'resource': {'name': 'cpu', 'target': target}}]
    behavior = spec.get('behavior')
    if behavior is not None:
        _default_rules(behavior.setdefault('scaleUp', {}), _SCALE_UP, 0)
        _default_rules(behavior.setdefault('scaleDown', {}), _SCALE_DOWN, None)


def _default_rules(rules: dict[str, Any], policies: list[dict[str, Any]], window: int | None) -> None:
    rules.setdefault('selectPolicy', 'Max')
    rules.setdefault('policies', [dict(policy) for policy in policies])
    if window is not None:
        rules.setdefault('stabilizationWindowSeconds', window)
