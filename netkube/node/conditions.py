"""The conditions of a Pod that the kubelet owns.

Source: kubernetes pkg/kubelet/status/generate.go; reasons and messages are its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from netkube.api.meta import Object, timestamp
from netkube.node.failure import Failure
from netkube.node.podspec import init_containers, is_sidecar, main_containers, may_restart_all

ENDED = {'Succeeded': 'PodCompleted', 'Failed': 'PodFailed'}


class Condition(msgspec.Struct, frozen=True):
    type: str
    status: bool
    reason: str = ''
    message: str = ''


def pod_conditions(
    pod: Object, phase: str, rows: Mapping[str, Object], init_rows: Mapping[str, Object], sandbox: bool
) -> list[Condition]:
    """``rows`` and ``init_rows`` are the new container statuses by name; ``sandbox``: it is there, with an address."""
    containers_ready = _containers_ready(pod, phase, rows, init_rows)
    return [
        Condition('PodReadyToStartContainers', sandbox),
        _initialized(pod, phase, rows, init_rows),
        _ready(pod, containers_ready),
        containers_ready,
    ]


def all_containers_restarting(pod: Object, phase: str, restarting: bool) -> list[Condition]:
    """Only a Pod with a rule RestartAllContainers has it (KEP-5532)."""
    if not may_restart_all(pod):
        return []
    if restarting and phase not in ENDED:
        message = 'container exited with restart policy rule'
        return [Condition('AllContainersRestarting', True, 'RestartAllContainersStarted', message)]
    return [Condition('AllContainersRestarting', False, ENDED.get(phase, ''))]


def disrupted(failure: Failure) -> list[Condition]:
    """It comes with the phase Failed."""
    return [Condition('DisruptionTarget', True, failure.disruption, failure.message)] if failure.disruption else []


def _containers_ready(
    pod: Object, phase: str, rows: Mapping[str, Object], init_rows: Mapping[str, Object]
) -> Condition:
    sidecars = [c['name'] for c in init_containers(pod) if is_sidecar(c)]
    states = [(name, init_rows.get(name)) for name in sidecars]
    states += [(c['name'], rows.get(c['name'])) for c in main_containers(pod)]
    unknown = [name for name, row in states if row is None]
    unready = [name for name, row in states if row is not None and not row['ready']]
    if phase == 'Succeeded' and not unknown:
        return Condition('ContainersReady', False, 'PodCompleted')
    if phase == 'Failed':
        return Condition('ContainersReady', False, 'PodFailed')
    message = _joined(('unknown', unknown), ('unready', unready))
    if message:
        return Condition('ContainersReady', False, 'ContainersNotReady', message)
    return Condition('ContainersReady', True)


def _ready(pod: Object, containers_ready: Condition) -> Condition:
    if not containers_ready.status:
        return Condition('Ready', False, containers_ready.reason, containers_ready.message)
    present = {c['type']: c for c in (pod.get('status') or {}).get('conditions') or ()}
    unmet = []
    for gate in pod['spec'].get('readinessGates') or ():
        name = gate['conditionType']
        if name not in present:
            unmet.append(f'corresponding condition of pod readiness gate "{name}" does not exist.')
        elif present[name]['status'] != 'True':
            unmet.append(f'the status of pod readiness gate "{name}" is not "True", but {present[name]["status"]}')
    if unmet:
        return Condition('Ready', False, 'ReadinessGatesNotReady', ', '.join(unmet))
    return Condition('Ready', True)


def _initialized(pod: Object, phase: str, rows: Mapping[str, Object], init_rows: Mapping[str, Object]) -> Condition:
    unknown = [c['name'] for c in init_containers(pod) if c['name'] not in init_rows]
    incomplete = [
        c['name']
        for c in init_containers(pod)
        if c['name'] in init_rows and not init_rows[c['name']]['started' if is_sidecar(c) else 'ready']
    ]
    if phase == 'Succeeded' and not unknown:
        return Condition('Initialized', True, 'PodCompleted')
    if any(row['state'].keys() & {'running', 'terminated'} or row['lastState'] for row in rows.values()):
        return Condition('Initialized', True)
    message = _joined(('unknown', unknown), ('incomplete', incomplete))
    if message:
        return Condition('Initialized', False, 'ContainersNotInitialized', message)
    return Condition('Initialized', True)


def _joined(*parts: tuple[str, list[str]]) -> str:
    return ', '.join(f'containers with {what} status: [{" ".join(names)}]' for what, names in parts if names)


def merge_conditions(
    old: Iterable[dict[str, Any]], new: Iterable[Condition], now: datetime, generation: int | None
) -> list[dict[str, Any]]:
    """``new`` over ``old``: other writers' conditions stay, and a transition is timed only when the status changes."""
    merged = {condition['type']: condition for condition in old}
    own, transition = [], timestamp(now)
    for condition in new:
        before = merged.pop(condition.type, None)
        status = 'True' if condition.status else 'False'
        row: dict[str, Any] = {'type': condition.type}
        if generation is not None:
            row['observedGeneration'] = generation
        row['status'] = status
        unchanged = before is not None and before['status'] == status
        row['lastTransitionTime'] = before['lastTransitionTime'] if before and unchanged else transition
        if condition.reason:
            row['reason'] = condition.reason
        if condition.message:
            row['message'] = condition.message
        own.append(row)
    return own + list(merged.values())
