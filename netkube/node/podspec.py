"""How a Pod's specification and history are read: which containers it has, what the runtime remembers of each."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from netkube.api.meta import Object, parse_timestamp
from netkube.runtime.cri import EXITED, ContainerStatus

IMAGE_ANNOTATION = 'netkube/image'  # what the container was started with: another image is another container
ROOT_ANNOTATION = 'netkube/root'  # the directory that is its root; '' is the machine's
RESTARTS_ANNOTATION = 'netkube/restarts'  # how many restarts in a row led to this attempt
ROUND_ANNOTATION = 'netkube/round'  # how often the Pod had been restarted as a whole (KEP-5532) when it was started
SCHEME = 'netkube://'
MACHINE_SCHEME = 'machine://'  # of an imageID: the files that are there in the image's place
LOST_EXIT_CODE = 137
LOST_MESSAGE = 'The container could not be located when the pod was terminated'
TERMINAL_PHASES = ('Succeeded', 'Failed')
RESTART_ALL = 'RestartAllContainers'


def init_containers(pod: Object) -> list[Object]:
    return pod['spec'].get('initContainers') or []


def main_containers(pod: Object) -> list[Object]:
    return pod['spec']['containers']


def all_containers(pod: Object) -> Iterator[Object]:
    yield from init_containers(pod)
    yield from main_containers(pod)


def is_sidecar(container: Object) -> bool:
    """Of an init container: it goes on running beside the others (KEP-753)."""
    return container.get('restartPolicy') == 'Always'


def stop_signal(container: Object) -> int:
    """The number of ``lifecycle.stopSignal``: SIGTERM, SIGRTMIN+3, SIGRTMAX-1."""
    name = (container.get('lifecycle') or {}).get('stopSignal') or 'SIGTERM'
    base, sign, offset = name.partition('+') if '+' in name else name.partition('-')
    return int(signal.Signals[base]) + int(f'{sign}{offset or 0}')


def is_terminal(pod: Object) -> bool:
    """The API already says that this Pod has ended: nothing of it runs ever again."""
    return (pod.get('status') or {}).get('phase') in TERMINAL_PHASES


def is_ready(pod: Object) -> bool:
    """What the API says."""
    conditions = (pod.get('status') or {}).get('conditions') or ()
    return any(each['type'] == 'Ready' and each['status'] == 'True' for each in conditions)


def running_containers(pod: Object) -> list[str]:
    """The names of those that run, as far as the API knows."""
    return [row['name'] for row in _rows(pod) if 'running' in (row.get('state') or {})]


def _rows(pod: Object) -> tuple[Object, ...]:
    status = pod.get('status') or {}
    return (*(status.get('initContainerStatuses') or ()), *(status.get('containerStatuses') or ()))


def restarts_after(pod: Object, container: Object, exit_code: int, *, init: bool = False) -> bool:
    """Whether a container that ended like this is started again."""
    if _action_after(container, exit_code):
        return True
    policy = container.get('restartPolicy') or pod['spec'].get('restartPolicy', 'Always')
    if policy == 'Always' and init and not is_sidecar(container):
        policy = 'OnFailure'
    return policy == 'Always' or (policy == 'OnFailure' and exit_code != 0)


def restarts_all_after(container: Object, exit_code: int) -> bool:
    """Whether such an end restarts the whole Pod in its place, init containers and all (KEP-5532)."""
    return _action_after(container, exit_code) == RESTART_ALL


def may_restart_all(pod: Object) -> bool:
    rules = (rule for container in all_containers(pod) for rule in container.get('restartPolicyRules') or ())
    return any(rule.get('action') == RESTART_ALL for rule in rules)


def _action_after(container: Object, exit_code: int) -> str:
    """Of the first rule that matches; '' leaves it to the policy."""
    for rule in container.get('restartPolicyRules') or ():
        if _matches(rule.get('exitCodes') or {}, exit_code):
            return str(rule['action'])
    return ''


def _matches(wanted: dict[str, Any], exit_code: int) -> bool:
    within = exit_code in (wanted.get('values') or ())
    return within if wanted.get('operator') == 'In' else not within


def round_of(container: ContainerStatus) -> int:
    return int(container.annotations.get(ROUND_ANNOTATION, '0'))


def current_round(pod: Object, containers: Iterable[ContainerStatus]) -> int:
    """The round whose containers are to run: one more than the newest seen, once one of that has asked for it."""
    known = list(containers)
    newest = max(map(round_of, known), default=0)
    return newest + any(_ends_round(pod, c) for c in known if round_of(c) == newest and c.state == EXITED)


def is_restarting_all(pod: Object, containers: Iterable[ContainerStatus]) -> bool:
    """A new round has been asked for and nothing of it has been started yet."""
    known = list(containers)
    return current_round(pod, known) > max(map(round_of, known), default=0)


def _ends_round(pod: Object, ended: ContainerStatus) -> bool:
    container = next((each for each in all_containers(pod) if each['name'] == ended.name), None)
    return container is not None and restarts_all_after(container, ended.exit_code)


def latest(containers: Iterable[ContainerStatus], name: str) -> ContainerStatus | None:
    """The last attempt of the container of that name."""
    return max((c for c in containers if c.name == name), key=lambda c: c.attempt, default=None)


def previous(containers: Iterable[ContainerStatus], current: ContainerStatus) -> ContainerStatus | None:
    """The attempt before ``current``."""
    earlier = (c for c in containers if c.name == current.name and c.attempt < current.attempt)
    return max(earlier, key=lambda c: c.attempt, default=None)


def restarts_of(container: ContainerStatus) -> int:
    return int(container.annotations.get(RESTARTS_ANNOTATION, '0'))


def ran_for(container: ContainerStatus) -> timedelta:
    if not container.started_at or not container.finished_at:
        return timedelta(0)
    return parse_timestamp(container.finished_at) - parse_timestamp(container.started_at)


def finished_at(container: ContainerStatus) -> datetime | None:
    return parse_timestamp(container.finished_at) if container.finished_at else None


def remembered_containers(pod: Object, known: Iterable[ContainerStatus]) -> list[ContainerStatus]:
    """What the API knows of containers that the runtime does not: it has lost them with the machine's processes.

    One whose end was reported keeps it; one that was running counts as ended with 137, ContainerStatusUnknown. Of
    each container two attempts are remembered, as the runtime does.
    """
    by_name: dict[str, list[ContainerStatus]] = {}
    for container in known:
        by_name.setdefault(container.name, []).append(container)
    found: list[ContainerStatus] = []
    for row in _rows(pod):
        there = by_name.get(row['name'], [])
        ids, oldest = {c.id for c in there}, min((c.attempt for c in there), default=None)
        attempts = [c for c in _attempts(pod, row) if c.id not in ids and (oldest is None or c.attempt < oldest)]
        found += attempts[: max(0, 2 - len(there))]
    return found


def _attempts(pod: Object, row: Object) -> Iterator[ContainerStatus]:
    """Those that a container's status tells of, the newest first."""
    if not row.get('containerID'):
        return
    state, last = row.get('state') or {}, (row.get('lastState') or {}).get('terminated')
    count = row.get('restartCount', 0)
    if 'terminated' in state:
        yield _remembered(pod, row, state['terminated'], count)
    elif 'running' in state or not last:
        yield _remembered(pod, row, _lost(row), count)
    elif last:  # it waits for its next attempt, which has no number yet
        yield _remembered(pod, row, last, count)
        return
    if last and count > 0:
        yield _remembered(pod, row, last, count - 1)


def _lost(row: Object) -> Object:
    started = ((row.get('state') or {}).get('running') or {}).get('startedAt')
    return {'startedAt': started, 'message': LOST_MESSAGE}


def _remembered(pod: Object, row: Object, ended: Object, attempt: int) -> ContainerStatus:
    return ContainerStatus(
        id=(ended.get('containerID') or row['containerID']).removeprefix(SCHEME),
        sandbox_id=pod['metadata']['uid'],
        name=row['name'],
        attempt=attempt,
        state=EXITED,
        pid=0,
        created_at='',
        started_at=ended.get('startedAt') or '',
        finished_at=ended.get('finishedAt') or '',
        exit_code=ended.get('exitCode', LOST_EXIT_CODE),
        signal=ended.get('signal', 0),
        reason=ended.get('reason', 'ContainerStatusUnknown'),
        message=ended.get('message', ''),
    )
