"""``terminationMessagePolicy: FallbackToLogsOnError``: the end of the log says why a container failed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from netkube.api.meta import Object
from netkube.node.logs import EntryRenderer, tail_offset
from netkube.node.podspec import all_containers
from netkube.runtime.cri import EXITED, ContainerStatus

MAX_LINES, MAX_BYTES = 80, 2048


async def with_log_message(pod: Object, status: ContainerStatus, log: Path) -> ContainerStatus:
    """The status with a message, where the Pod asks for that and the container left none."""
    if status.state != EXITED or status.exit_code == 0 or status.message:
        return status
    for container in all_containers(pod):
        if container['name'] == status.name and container.get('terminationMessagePolicy') == 'FallbackToLogsOnError':
            return status._replace(message=await asyncio.to_thread(_tail, log))
    return status


def _tail(path: Path) -> str:
    """Blocking; '' when there is no log."""
    try:
        offset = tail_offset(path, MAX_LINES)
        with path.open('rb') as file:
            file.seek(offset)
            text = EntryRenderer().render(file.read().splitlines())
    except FileNotFoundError:
        return ''
    return text[-MAX_BYTES:].decode(errors='replace')
