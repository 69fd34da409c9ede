"""``terminationMessagePolicy: FallbackToLogsOnError``: the end of the log says why a container failed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from netkube.api.meta import Object
from netkube.node.logs import EntryRenderer, tail_offset
from netkube.node.podspec import all_containers
from netkube.runtime.cri import EXITED, ContainerStatus

MAX_LINES, MAX_BYTES = 80, 2048


def wants_log_message(pod: Object, status: ContainerStatus) -> bool:
    """The container failed, left no message, and its Pod asks for the end of the log instead."""
    if status.state != EXITED or status.exit_code == 0 or status.message:
        return False
    by_name = {container['name']: container for container in all_containers(pod)}
    return by_name[status.name].get('terminationMessagePolicy') == 'FallbackToLogsOnError'


async def read_log_message(log: Path) -> str:
    """'' when there is no log."""
    return await asyncio.to_thread(_tail, log)


def _tail(path: Path) -> str:
    try:
        offset = tail_offset(path, MAX_LINES)
        with path.open('rb') as file:
            file.seek(offset)
            text = EntryRenderer().render(file.read().splitlines())
    except FileNotFoundError:
        return ''
    return text[-MAX_BYTES:].decode(errors='replace')
