"""The PodStatus that the kubelet writes: pure, from the Pod, what runs, and why the rest does not.

Source: kubernetes pkg/kubelet/kubelet_pods.go (getPhase, generateAPIPodStatus, convertToAPIContainerStatuses).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from netkube.api.meta import Object, parse_timestamp, timestamp
from netkube.node.allocated import allocated_fields, mount_fields, pod_fields, user_fields
from netkube.node.conditions import all_containers_restarting, disrupted, merge_conditions, pod_conditions
from netkube.node.failure import Failure
from netkube.node.plan import Waiting
from netkube.node.podspec import (
    IMAGE_ANNOTATION,
    MACHINE_SCHEME,
    ROOT_ANNOTATION,
    SCHEME,
    TERMINAL_PHASES,
    current_round,
    init_containers,
    is_restarting_all,
    is_sidecar,
    latest,
    main_containers,
    previous,
    restarts_after,
    round_of,
)
from netkube.runtime.cri import EXITED, RUNNING, ContainerStatus

EPOCH = '1970-01-01T00:00:00Z'
KEPT = ('qosClass', 'nominatedNodeName', 'resize', 'resourceClaimStatuses', 'ephemeralContainerStatuses')


class Facts(msgspec.Struct, frozen=True):
    """What a status is made of."""

    host_ips: tuple[str, ...]
    pod_ips: tuple[str, ...] = ()
    sandbox: bool = False
    containers: tuple[ContainerStatus, ...] = ()
    waiting: Mapping[str, Waiting] = msgspec.field(default_factory=dict)
    ready: frozenset[str] = frozenset()  # ids whose readiness probe (if any) has succeeded
    started: frozenset[str] = frozenset()  # ids whose startup probe (if any) has succeeded
    ended: bool = False  # all of it was stopped, and none of it starts again
    failure: Failure | None = None  # of a Pod the Node gave up


def pod_status(pod: Object, facts: Facts, now: datetime) -> Object:
    """The whole new status; what others own in the old one stays."""
    old = pod.get('status') or {}
    init_rows = [_container_status(pod, c, facts, init=True) for c in init_containers(pod)]
    rows = [_container_status(pod, c, facts, init=False) for c in main_containers(pod)]
    phase = 'Failed' if facts.failure and facts.ended else pod_phase(pod, init_rows, rows, ended=facts.ended)
    if phase in TERMINAL_PHASES and any('running' in row['state'] for row in (*init_rows, *rows)):
        phase = old.get('phase', 'Pending')  # a Pod of which something runs has not ended
    conditions = pod_conditions(pod, phase, _by_name(rows), _by_name(init_rows), facts.sandbox)
    conditions += all_containers_restarting(pod, phase, is_restarting_all(pod, facts.containers))
    if facts.failure and facts.ended:
        conditions += disrupted(facts.failure)
    generation = pod['metadata'].get('generation')
    status: Object = {key: old[key] for key in KEPT if key in old}
    if generation is not None:
        status['observedGeneration'] = generation
    status |= {
        'phase': phase,
        'conditions': merge_conditions(old.get('conditions') or (), conditions, now, generation),
        'hostIP': facts.host_ips[0],
        'hostIPs': [{'ip': address} for address in facts.host_ips],
        'startTime': old.get('startTime') or timestamp(now),
        'containerStatuses': rows,
        **pod_fields(pod),
    }
    if facts.failure and facts.ended:  # reason and message come with the phase
        status['reason'], status['message'] = facts.failure.reason, facts.failure.message
    if pod_ips := [{'ip': address} for address in facts.pod_ips] or old.get('podIPs'):
        status |= {'podIP': pod_ips[0]['ip'], 'podIPs': pod_ips}
    if init_rows:
        status['initContainerStatuses'] = init_rows
    return status


def without_sandbox(pod: Object, now: datetime) -> Object:
    """The status of a Pod that had ended before: all it reported stays, but its sandbox is gone."""
    old = pod.get('status') or {}
    own = pod_conditions(pod, old.get('phase', ''), {}, {}, False)[:1]
    generation = pod['metadata'].get('generation')
    return {**old, 'conditions': merge_conditions(old.get('conditions') or (), own, now, generation)}


def pod_phase(pod: Object, init_rows: Iterable[Object], rows: Iterable[Object], *, ended: bool) -> str:
    """Pending, Running, Succeeded or Failed; ``ended`` says that no container will be started again.

    A sidecar that runs keeps the Pod Running; how it ended means nothing.
    """
    init = [_init_progress(pod, *pair) for pair in zip(init_containers(pod), init_rows, strict=True)]
    main = [_progress(pod, *pair) for pair in zip(main_containers(pod), rows, strict=True)]
    if LOST in init or (ended and FAILING in init):
        return 'Failed'
    begun = any(progress != WAITING for progress in main)
    if not begun and not ended and {WAITING, FAILING} & set(init):
        return 'Pending'
    if WAITING in main:
        return 'Failed' if ended else 'Pending'
    if RUNS in (*main, *init) or (not ended and {FAILING, AGAIN} & set(main)):
        return 'Running'
    return 'Succeeded' if {*main} <= {DONE, AGAIN} else 'Failed'


WAITING, RUNS, DONE, AGAIN, FAILING, LOST = 'waiting', 'runs', 'done', 'done, and again', 'failing', 'failed for good'


def _init_progress(pod: Object, container: Object, row: Object) -> str:
    """An init container that runs is still to be waited for; a sidecar only until it has started."""
    progress = _progress(pod, container, row, init=True)
    if is_sidecar(container):
        waited_for = progress == WAITING or (progress == RUNS and not row['started'])
        return WAITING if waited_for else RUNS if progress == RUNS else DONE
    return {RUNS: WAITING, AGAIN: DONE}.get(progress, progress)


def _progress(pod: Object, container: Object, row: Object, *, init: bool = False) -> str:
    """One that waits for its restart counts as it last ended."""
    state = row['state']
    if 'running' in state:
        return RUNS
    ended = state.get('terminated') or row['lastState'].get('terminated')
    if ended is None:
        return WAITING
    again = 'waiting' in state or restarts_after(pod, container, ended['exitCode'], init=init)
    if ended['exitCode'] == 0:
        return AGAIN if again else DONE
    return FAILING if again else LOST


def _by_name(rows: Iterable[Object]) -> dict[str, Object]:
    return {row['name']: row for row in rows}


def _container_status(pod: Object, container: Object, facts: Facts, *, init: bool) -> Object:
    name, image = container['name'], container.get('image', '')
    last = latest(facts.containers, name)
    before = previous(facts.containers, last) if last is not None else None
    waiting = facts.waiting.get(name)
    if waiting is None and last is not None and round_of(last) < current_round(pod, facts.containers):
        waiting = Waiting('RestartingAllContainers')
    row: Object = {'name': name, 'state': {}, 'lastState': {}, 'ready': False, 'restartCount': 0}
    row |= {'image': image, 'imageID': '', 'started': False, **mount_fields(container)}
    if last is None:
        row['state'] = {'waiting': _waiting(waiting or _not_begun(pod))}
        return row
    row |= {'restartCount': last.attempt, 'containerID': SCHEME + last.id, **allocated_fields(container)}
    row['imageID'] = MACHINE_SCHEME + last.annotations.get(ROOT_ANNOTATION, '/')
    if last.user:
        row['user'] = user_fields(last.user)
    row['image'] = last.annotations.get(IMAGE_ANNOTATION, image)
    if waiting is not None and last.state != RUNNING:
        row['state'] = {'waiting': _waiting(waiting)}
        row['lastState'] = {'terminated': _terminated(last)} if last.state == EXITED else {}
        return row
    row['state'] = _state(last)
    row['lastState'] = {'terminated': _terminated(before)} if before is not None else {}
    row['started'] = last.state == RUNNING and last.id in facts.started
    if init and not is_sidecar(container):
        row['ready'] = last.state == EXITED and last.exit_code == 0
    else:
        row['ready'] = row['started'] and last.id in facts.ready
    return row


def _not_begun(pod: Object) -> Waiting:
    return Waiting('PodInitializing' if pod['spec'].get('initContainers') else 'ContainerCreating')


def _waiting(waiting: Waiting) -> dict[str, str]:
    state = {'reason': waiting.reason}
    if waiting.message:
        state['message'] = waiting.message
    return state


def _state(container: ContainerStatus) -> dict[str, Any]:
    if container.state == RUNNING:
        return {'running': {'startedAt': _seconds(container.started_at)}}
    if container.state == EXITED:
        return {'terminated': _terminated(container)}
    return {'waiting': {'reason': 'ContainerCreating'}}


def _terminated(container: ContainerStatus) -> dict[str, Any]:
    state: dict[str, Any] = {'exitCode': container.exit_code}
    if container.signal:
        state['signal'] = container.signal
    state['reason'] = container.reason or ('Completed' if container.exit_code == 0 else 'Error')
    if container.message:
        state['message'] = container.message
    never = EPOCH if state['reason'] == 'StartError' else None  # as containerd has it
    state |= {
        'startedAt': _seconds(container.started_at) or never,
        'finishedAt': _seconds(container.finished_at),
        'containerID': SCHEME + container.id,
    }
    return {key: value for key, value in state.items() if value is not None}


def _seconds(at: str) -> str | None:
    """metav1.Time has whole seconds; None where it is not known."""
    return timestamp(parse_timestamp(at)) if at else None
