"""How a Pod's specification and history are read: which containers it has, what the runtime remembers of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from netkube.api.meta import Object, parse_timestamp
from netkube.runtime.cri import EXITED, ContainerStatus

IMAGE_ANNOTATION = 'netkube/image'  # what the container was started with: another image is another container
RESTARTS_ANNOTATION = 'netkube/restarts'  # how many restarts in a row led to this attempt
SCHEME = 'netkube://'
LOST_EXIT_CODE = 137
LOST_MESSAGE = 'The container could not be located when the pod was terminated'
TERMINAL_PHASES = ('Succeeded', 'Failed')


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


def is_terminal(pod: Object) -> bool:
    """The API already says that this Pod has ended: nothing of it runs ever again."""
    return (pod.get('status') or {}).get('phase') in TERMINAL_PHASES


def restarts_after(pod: Object, container: Object, exit_code: int, *, init: bool = False) -> bool:
    """Whether a container that ended like this is started again."""
    for rule in container.get('restartPolicyRules') or ():
        if rule.get('action') == 'Restart' and _matches(rule.get('exitCodes') or {}, exit_code):
            return True
    policy = container.get('restartPolicy') or pod['spec'].get('restartPolicy', 'Always')
    if policy == 'Always' and init and not is_sidecar(container):
        policy = 'OnFailure'
    return policy == 'Always' or (policy == 'OnFailure' and exit_code != 0)


def _matches(wanted: dict[str, Any], exit_code: int) -> bool:
    within = exit_code in (wanted.get('values') or ())
    return within if wanted.get('operator') == 'In' else not within


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

    One whose end was reported keeps it; one that was running counts as ended with 137, ContainerStatusUnknown.
    """
    names = {container.name for container in known}
    status = pod.get('status') or {}
    rows = (*(status.get('initContainerStatuses') or ()), *(status.get('containerStatuses') or ()))
    return [_remembered(pod, row) for row in rows if row.get('containerID') and row['name'] not in names]


def _remembered(pod: Object, row: Object) -> ContainerStatus:
    state, last = row.get('state') or {}, row.get('lastState') or {}
    ended = state.get('terminated') or ({} if 'running' in state else last.get('terminated')) or {}
    running = state.get('running') or {}
    return ContainerStatus(
        id=row['containerID'].removeprefix(SCHEME),
        sandbox_id=pod['metadata']['uid'],
        name=row['name'],
        attempt=row.get('restartCount', 0),
        state=EXITED,
        pid=0,
        created_at='',
        started_at=ended.get('startedAt') or running.get('startedAt') or '',
        finished_at=ended.get('finishedAt') or '',
        exit_code=ended.get('exitCode', LOST_EXIT_CODE),
        signal=ended.get('signal', 0),
        reason=ended.get('reason', 'ContainerStatusUnknown'),
        message=ended.get('message', '') if ended else LOST_MESSAGE,
    )
