"""Conditions of a workload's status: a list with one entry a type."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from netkube.api.meta import Object, timestamp

Conditions = tuple[Object, ...]


def find_condition(conditions: Iterable[Object] | None, type: str) -> Object | None:
    return next((condition for condition in conditions or () if condition['type'] == type), None)


def without_condition(conditions: Iterable[Object], type: str) -> Conditions:
    return tuple(condition for condition in conditions if condition['type'] != type)


def with_condition(conditions: Sequence[Object], condition: Object) -> Conditions:
    """``conditions`` with this one in place of the one of its type.

    One that has the same status and reason stays as it is; the transition time moves only with the status.
    Source: SetDeploymentCondition and SetCondition of pkg/controller/{deployment,replicaset}.
    """
    current = find_condition(conditions, condition['type'])
    if current is not None and (current['status'], current.get('reason')) == (condition['status'], condition['reason']):
        return tuple(conditions)
    if current is not None and current['status'] == condition['status']:
        condition = condition | {'lastTransitionTime': current['lastTransitionTime']}
    return (*without_condition(conditions, condition['type']), condition)


def deployment_condition(type: str, status: str, reason: str, message: str, now: datetime) -> Object:
    at = timestamp(now)
    return {'type': type, 'status': status, 'lastUpdateTime': at, 'lastTransitionTime': at, 'reason': reason,
            'message': message}  # fmt: skip


def condition(type: str, status: str, reason: str, message: str, now: datetime) -> Object:
    return {'type': type, 'status': status, 'lastTransitionTime': timestamp(now), 'reason': reason, 'message': message}
