"""Logs and exec of this Node's containers, for the API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

from netkube.api.errors import ApiError, bad_request, internal
from netkube.api.meta import Object
from netkube.client.kubelet import LogOptions
from netkube.node.config import NodeConfig
from netkube.node.logs import read_log
from netkube.node.podspec import all_containers, latest, main_containers
from netkube.node.record import PodRecord
from netkube.runtime.cri import RUNNING, ContainerStatus, CriError


def running_container(record: PodRecord, container: str) -> str:
    """The id of the running container of that name ('' is the only or the first one)."""
    name = _container_name(record, container)
    status = latest(record.containers.values(), name)
    if status is None or status.state != RUNNING:
        raise internal(f'container not found ("{name}")')
    return status.id


def as_api_error(error: CriError) -> ApiError:
    return internal(error.message)


async def read_container_log(
    record: PodRecord, container: str, options: LogOptions, config: NodeConfig, now: datetime
) -> AsyncIterator[bytes]:
    """ApiError when there is no such log (yet)."""
    name = _container_name(record, container)
    attempt = _attempt(record, name, options.previous)
    path = config.log_file(record.uid, name, attempt.attempt)
    try:
        async for chunk in read_log(path, options, now, record.ended(attempt.id)):
            yield chunk
    except FileNotFoundError:
        raise bad_request(f'the log of container "{name}" in pod "{record.key[1]}" is not there any more') from None


def _attempt(record: PodRecord, name: str, is_previous: bool) -> ContainerStatus:
    last = latest(record.all_containers(), name)
    if is_previous:
        if last is None or last.attempt == 0:
            raise bad_request(f'previous terminated container "{name}" in pod "{record.key[1]}" not found')
        return last._replace(id='', attempt=last.attempt - 1)
    if last is None:
        reason = _waiting_reason(record.pod or {}, name)
        raise bad_request(f'container "{name}" in pod "{record.key[1]}" is waiting to start: {reason}')
    return last


def _waiting_reason(pod: Object, name: str) -> str:
    status = pod.get('status') or {}
    for row in (*(status.get('initContainerStatuses') or ()), *(status.get('containerStatuses') or ())):
        if row['name'] == name and 'waiting' in row['state']:
            return row['state']['waiting']['reason']
    return 'ContainerCreating'


def _container_name(record: PodRecord, container: str) -> str:
    pod = record.pod
    assert pod is not None
    if not container:
        return main_containers(pod)[0]['name']
    if all(known['name'] != container for known in all_containers(pod)):
        raise bad_request(f'container {container} is not valid for pod {pod["metadata"]["name"]}')
    return container
