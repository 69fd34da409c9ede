"""What this Node's agent answers to the API server: logs and streams of its containers, and connections to them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from netkube.api.errors import bad_request, internal, not_found
from netkube.api.meta import Key, Object
from netkube.api.resources import PODS
from netkube.client.kubelet import Connection, ExecSession, LogOptions, words_of
from netkube.network import namespaces
from netkube.node.config import NodeConfig
from netkube.node.isolation import is_on_node_network
from netkube.node.logs import read_log
from netkube.node.podspec import all_containers, latest, main_containers
from netkube.node.record import PodRecord
from netkube.node.sockets import NodeSockets
from netkube.runtime.client import RuntimeClient
from netkube.runtime.cri import RUNNING, ContainerStatus, CriError

DIAL_SECONDS = 30.0
LOOPBACKS = {socket.AF_INET: '127.0.0.1', socket.AF_INET6: '::1'}
FAMILY_NAMES = {socket.AF_INET: 'IPv4', socket.AF_INET6: 'IPv6'}


class Serving:
    """Implements netkube.client.kubelet.Kubelet. ``find`` tells the record of a Pod of this Node, None for others."""

    def __init__(
        self,
        find: Callable[[Key], PodRecord | None],
        runtime: RuntimeClient,
        sockets: NodeSockets,
        config: NodeConfig,
        now: Callable[[], datetime],
    ) -> None:
        self._find, self._runtime, self._sockets, self._config, self._now = find, runtime, sockets, config, now

    def logs(self, namespace: str, pod: str, container: str, options: LogOptions) -> AsyncIterator[bytes]:
        return read_container_log(self._record(namespace, pod), container, options, self._config, self._now())

    async def exec(
        self,
        namespace: str,
        pod: str,
        container: str,
        argv: list[str],
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        tty: bool = False,
    ) -> ExecSession:
        id = running_container(self._record(namespace, pod), container)
        with as_api_errors():
            return await self._runtime.exec(id, argv, stdin=stdin, stdout=stdout, stderr=stderr, tty=tty)

    async def attach(
        self, namespace: str, pod: str, container: str, *, stdin: bool = False, stdout: bool = True, stderr: bool = True
    ) -> ExecSession:
        id = running_container(self._record(namespace, pod), container)
        with as_api_errors():
            return await self._runtime.attach(id, stdin=stdin, stdout=stdout, stderr=stderr)

    async def port_forward(self, namespace: str, pod: str, port: int) -> Connection:
        """By IPv4 or else by IPv6, as containerd does."""
        record = self._record(namespace, pod)
        failures = []
        for family, loopback in LOOPBACKS.items():
            try:
                made = await self._socket_of(record, family)
                return await connected(made, loopback, port)
            except OSError as error:
                failures.append(f'{FAMILY_NAMES[family]}: {words_of(error)}')
        raise internal(f'failed to connect to localhost:{port} inside the Pod: {", ".join(failures)}')

    async def _socket_of(self, record: PodRecord, family: socket.AddressFamily) -> socket.socket:
        """One that lives where the Pod's do."""
        if record.pod is not None and is_on_node_network(record.pod):
            return await self._sockets.dial(family)
        return await asyncio.to_thread(namespaces.socket_in, self._config.netns_of(record.uid), family)

    async def connect(self, address: str, port: int) -> Connection:
        family = socket.AF_INET6 if ':' in address else socket.AF_INET
        return await connected(await self._sockets.dial(family), address, port)

    def _record(self, namespace: str, pod: str) -> PodRecord:
        """ApiError NotFound."""
        record = self._find((namespace, pod))
        if record is None:
            raise not_found(PODS, pod)
        return record


async def connected(made: socket.socket, address: str, port: int) -> Connection:
    """OSError, and the socket is closed."""
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            await asyncio.get_running_loop().sock_connect(made, (address, port))
        return await asyncio.open_connection(sock=made)
    except BaseException:
        made.close()
        raise


def running_container(record: PodRecord, container: str) -> str:
    """The id of the running container of that name ('' is the only or the first one)."""
    name = _container_name(record, container)
    status = latest(record.containers.values(), name)
    if status is None or status.state != RUNNING:
        raise internal(f'container not found ("{name}")')
    return status.id


@contextmanager
def as_api_errors() -> Iterator[None]:
    try:
        yield
    except CriError as error:
        raise internal(error.message) from error


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
