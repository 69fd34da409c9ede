"""Short ways to say what a Pod is and what the runtime has of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from netkube.api.meta import Object, micro_timestamp
from netkube.node.containers import container_id
from netkube.node.podspec import RESTARTS_ANNOTATION
from netkube.runtime.cri import EXITED, RUNNING, ContainerStatus

NOW = datetime.fromisoformat('2026-01-02T03:04:05+00:00')
UID = 'aaaa-bbbb'


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


def pod(*containers: Object, **spec: Any) -> Object:
    metadata = {'name': 'p', 'namespace': 'ns', 'uid': UID, 'resourceVersion': '1', 'generation': 1}
    containers = containers or (container(),)
    return {
        'apiVersion': 'v1', 'kind': 'Pod', 'metadata': metadata,
        'spec': {'nodeName': 'node-1', 'restartPolicy': 'Always', 'containers': list(containers), **spec},
        'status': {'phase': 'Pending', 'qosClass': 'BestEffort'},
    }  # fmt: skip


def container(name: str = 'c', **fields: Any) -> Object:
    return {'name': name, 'image': 'i', 'command': ['run'], **fields}


def running(name: str = 'c', attempt: int = 0, restarts: int = 0, since: float = 5) -> ContainerStatus:
    """Started so many seconds ago."""
    started = micro_timestamp(NOW - seconds(since))
    return ContainerStatus(
        container_id(UID, name, attempt), UID, name, attempt, RUNNING, 7, started, started,
        annotations={RESTARTS_ANNOTATION: str(restarts)},
    )  # fmt: skip


def exited(
    name: str = 'c', code: int = 0, attempt: int = 0, restarts: int = 0, ago: float = 1, ran: float = 1
) -> ContainerStatus:
    """Ended so many seconds ago, after having run for ``ran``."""
    status = running(name, attempt, restarts, since=ago + ran)
    finished = micro_timestamp(NOW - seconds(ago))
    reason = 'Error' if code else 'Completed'
    return status._replace(state=EXITED, pid=0, finished_at=finished, exit_code=code, reason=reason)
