"""The row of a Pod (printPod): how the states of its containers become one word."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from netkube.api.durations import age
from netkube.api.meta import Object

_COMPLETIONS = {
    'Succeeded': ('Succeeded', 'The pod has completed successfully.'),
    'Failed': ('Failed', 'The pod failed.'),
}


class _Summary(msgspec.Struct):
    """What the walk over the container statuses gathers."""

    reason: str
    ready: int = 0
    restarts: int = 0
    last_restart: str = ''  # a timestamp; '' when none

    def count_restarts(self, status: dict[str, Any]) -> None:
        self.restarts += status.get('restartCount', 0)
        ended = (status.get('lastState') or {}).get('terminated') or {}
        self.last_restart = max(self.last_restart, ended.get('finishedAt') or '')


def print_pod(pod: Object, now: datetime) -> list[Any]:
    spec, status = pod.get('spec', {}), pod.get('status', {})
    summary = _summarize(pod)
    total = len(spec.get('containers') or ()) + len(_restartable(spec))
    addresses = status.get('podIPs') or ([{'ip': status['podIP']}] if status.get('podIP') else [])
    return [
        pod['metadata']['name'],
        f'{summary.ready}/{total}',
        summary.reason,
        _restarts(summary, now),
        age(pod['metadata'].get('creationTimestamp'), now),
        addresses[0]['ip'] if addresses else '<none>',
        spec.get('nodeName') or '<none>',
        status.get('nominatedNodeName') or '<none>',
        _readiness_gates(spec, status),
    ]


def completion(pod: Object) -> list[dict[str, str]]:
    """The conditions of a finished Pod's row."""
    phase = pod.get('status', {}).get('phase', '')
    if phase not in _COMPLETIONS:
        return []
    reason, message = _COMPLETIONS[phase]
    return [{'type': 'Completed', 'status': 'True', 'reason': reason, 'message': message}]


def _restartable(spec: dict[str, Any]) -> set[str]:
    """Names of the sidecars: init containers that keep running."""
    return {one['name'] for one in spec.get('initContainers') or () if one.get('restartPolicy') == 'Always'}


def _summarize(pod: Object) -> _Summary:
    spec, status = pod.get('spec', {}), pod.get('status', {})
    summary = _Summary(_phase_reason(status))
    sidecars = _restartable(spec)
    initializing = _walk_init_containers(summary, spec, status, sidecars)
    if not initializing or _condition(status, 'Initialized') == 'True':
        _restart_count_from(summary, [one for one in _init_statuses(status) if one['name'] in sidecars])
        _walk_containers(summary, status)
    if 'deletionTimestamp' in pod['metadata']:
        _mark_deleting(summary, status)
    return summary


def _phase_reason(status: dict[str, Any]) -> str:
    for condition in status.get('conditions') or ():
        if condition['type'] == 'PodScheduled' and condition.get('reason') == 'SchedulingGated':
            return 'SchedulingGated'
    return status.get('reason') or status.get('phase', '')


def _init_statuses(status: dict[str, Any]) -> list[dict[str, Any]]:
    return status.get('initContainerStatuses') or []


def _walk_init_containers(
    summary: _Summary, spec: dict[str, Any], status: dict[str, Any], sidecars: set[str]
) -> bool:
    """True when an init container is what the Pod waits for."""
    for index, container in enumerate(_init_statuses(status)):
        summary.count_restarts(container)
        ended = _state(container, 'terminated')
        if ended is not None and ended.get('exitCode', 0) == 0:
            continue
        if container['name'] in sidecars and container.get('started'):
            summary.ready += bool(container.get('ready'))
            continue
        summary.reason = 'Init:' + _init_reason(container, index, len(spec.get('initContainers') or ()))
        return True
    return False


def _init_reason(container: dict[str, Any], index: int, total: int) -> str:
    ended, waiting = _state(container, 'terminated'), _state(container, 'waiting')
    if ended is not None:
        return _ended_reason(ended)
    if waiting and waiting.get('reason') not in (None, '', 'PodInitializing'):
        return waiting['reason']
    return f'{index}/{total}'


def _restart_count_from(summary: _Summary, statuses: list[dict[str, Any]]) -> None:
    summary.restarts, summary.last_restart = 0, ''
    for container in statuses:
        summary.count_restarts(container)


def _walk_containers(summary: _Summary, status: dict[str, Any]) -> None:
    """From the last to the first: the first container with a reason has the last word."""
    running = False
    for container in reversed(status.get('containerStatuses') or ()):
        summary.count_restarts(container)
        waiting, ended = _state(container, 'waiting'), _state(container, 'terminated')
        if waiting and waiting.get('reason'):
            summary.reason = waiting['reason']
        elif ended is not None:
            summary.reason = _ended_reason(ended)
        elif container.get('ready') and _state(container, 'running') is not None:
            running = True
            summary.ready += 1
    if summary.reason == 'Completed' and running:
        summary.reason = 'Running' if _condition(status, 'Ready') == 'True' else 'NotReady'


def _mark_deleting(summary: _Summary, status: dict[str, Any]) -> None:
    if status.get('reason') == 'NodeLost':
        summary.reason = 'Unknown'
    elif status.get('phase') not in ('Succeeded', 'Failed'):
        summary.reason = 'Terminating'


def _state(container: dict[str, Any], name: str) -> dict[str, Any] | None:
    return (container.get('state') or {}).get(name)


def _ended_reason(ended: dict[str, Any]) -> str:
    if ended.get('reason'):
        return ended['reason']
    return f'Signal:{ended["signal"]}' if ended.get('signal') else f'ExitCode:{ended.get("exitCode", 0)}'


def _condition(status: dict[str, Any], type_: str) -> str:
    return next((one['status'] for one in status.get('conditions') or () if one['type'] == type_), '')


def _restarts(summary: _Summary, now: datetime) -> str:
    if summary.restarts and summary.last_restart:
        return f'{summary.restarts} ({age(summary.last_restart, now)} ago)'
    return str(summary.restarts)


def _readiness_gates(spec: dict[str, Any], status: dict[str, Any]) -> str:
    gates = spec.get('readinessGates') or []
    if not gates:
        return '<none>'
    passed = sum(_condition(status, gate['conditionType']) == 'True' for gate in gates)
    return f'{passed}/{len(gates)}'
