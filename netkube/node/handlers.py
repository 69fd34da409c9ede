"""httpGet, tcpSocket, grpc, exec and sleep: what probes and lifecycle hooks do.

Everything but exec is done on the event loop, over sockets that live in the Node's network namespace (``dial``).
Source: kubernetes pkg/probe/{http,tcp,grpc,exec}; the messages are theirs.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec

from netkube.api.meta import Object
from netkube.node.patience import within
from netkube.runtime.client import RuntimeClient
from netkube.runtime.cri import CriError

Dial = Callable[[socket.AddressFamily], Awaitable[socket.socket]]  # a non-blocking socket in the Node's namespace
MAX_REDIRECTS = 10
MAX_HEAD = 1 << 16  # bytes
_ENDS_HEAD = re.compile(rb'\n\r?\n|\A(?!HTTP/)[^\n]*\n')  # an empty line; or a first one that is no HTTP
USER_AGENT = 'kube-probe/1.37'
UNIMPLEMENTED_HEALTH = 'error: this server does not implement the grpc health protocol (grpc.health.v1.Health)'
EXEC_OUTPUT = 10 * 1024
GO_ERRORS = {
    errno.ECONNREFUSED: 'connection refused',
    errno.EHOSTUNREACH: 'no route to host',
    errno.ENETUNREACH: 'network is unreachable',
    errno.ECONNRESET: 'connection reset by peer',
    errno.ETIMEDOUT: 'connection timed out',
}


class HandlerFailed(Exception):
    """The check says no, or the hook did not succeed; the message is what the event shows."""


class Target(msgspec.Struct, frozen=True):
    """The container that is checked."""

    container: Object  # its specification
    container_id: str
    pod_ip: str


class Handlers(msgspec.Struct, frozen=True):
    """``run`` returns when the handler has succeeded and raises HandlerFailed when it has not."""

    dial: Dial
    runtime: RuntimeClient

    async def run(self, handler: Mapping[str, Any], target: Target, timeout: float) -> None:
        if action := handler.get('httpGet'):
            await self._http_get(action, target, timeout)
        elif action := handler.get('tcpSocket'):
            await self._tcp(action, target, timeout)
        elif action := handler.get('grpc'):
            await self._grpc(action, target, timeout)
        elif action := handler.get('exec'):
            await self._exec(action.get('command') or [], target, timeout)
        elif action := handler.get('sleep'):
            await asyncio.sleep(min(action['seconds'], timeout))
        else:
            raise HandlerFailed('netkube cannot do this kind of handler')

    async def _tcp(self, action: Mapping[str, Any], target: Target, timeout: float) -> None:
        host, port = action.get('host') or target.pod_ip, resolve_port(action['port'], target.container)
        (await self._dialled(host, port, timeout)).close()

    async def _http_get(self, action: Mapping[str, Any], target: Target, timeout: float) -> None:
        url = http_url(action, target)
        try:
            async with within(timeout):
                status = await self._follow(url, request_headers(action))
        except TimeoutError:
            raise HandlerFailed(
                f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
            ) from None
        except (OSError, EOFError, ValueError) as error:
            raise HandlerFailed(f'Get "{url}": {_words(error)}') from None
        except HandlerFailed as error:
            raise HandlerFailed(f'Get "{url}": {error}') from None
        if not 200 <= status < 400:
            raise HandlerFailed(f'HTTP probe failed with statuscode: {status}')

    async def _follow(self, url: str, headers: Mapping[str, str]) -> int:
        """The status of the last answer, after redirects within the same host (another host is success enough)."""
        origin = urlsplit(url).hostname
        for _ in range(MAX_REDIRECTS):
            status, location = await self._fetch(url, headers)
            if not 300 <= status < 400 or not location:
                return status
            url = urljoin(url, location)
            if urlsplit(url).hostname != origin:
                return status
        raise HandlerFailed('stopped after 10 redirects')

    async def _fetch(self, url: str, headers: Mapping[str, str]) -> tuple[int, str]:
        """Status and Location; the body stays unread."""
        parts, request = urlsplit(url), render_request(url, headers)
        host, port = parts.hostname or '', parts.port or (443 if parts.scheme == 'https' else 80)
        if parts.scheme == 'https':
            async with self._connection(host, port, _any_certificate(), None) as (reader, writer):
                writer.write(request)
                status, fields = await read_head(reader)
        else:
            with closing(await self._dialled(host, port, None)) as sock:
                await asyncio.get_running_loop().sock_sendall(sock, request)
                status, fields = await read_head(await _received_head(sock))
        return status, fields.get('location', '')

    async def _grpc(self, action: Mapping[str, Any], target: Target, timeout: float) -> None:
        from netkube.node.grpchealth import SERVING, STATUSES, UNIMPLEMENTED, GrpcStatus, check

        address, tls = _join(target.pod_ip, action['port']), action.get('mode') == 'TLS'
        context, scheme = (_any_certificate(), 'https') if tls else (None, 'http')
        if context is not None:
            context.set_alpn_protocols(['h2'])
        try:
            connection = self._connection(target.pod_ip, action['port'], context, None)
            async with within(timeout), connection as (reader, writer):
                status = await check(reader, writer, address, scheme, action.get('service') or '')
        except TimeoutError:
            raise HandlerFailed(f'timeout: health rpc did not complete within {timeout:g}s') from None
        except HandlerFailed as error:
            raise HandlerFailed(f'error: failed to connect service at "{address}": {error}') from None
        except OSError as error:
            raise HandlerFailed(f'error: health rpc probe failed: {_words(error)}') from None
        except GrpcStatus as error:
            if error.code == UNIMPLEMENTED:
                raise HandlerFailed(f'{UNIMPLEMENTED_HEALTH}: {error.message}') from None
            raise HandlerFailed(f'error: health rpc probe failed: {error}') from None
        if status != SERVING:
            word = STATUSES[status] if status < len(STATUSES) else str(status)
            raise HandlerFailed(f'service unhealthy (responded with "{word}")')

    async def _exec(self, command: list[str], target: Target, timeout: float) -> None:
        try:
            code, stdout, stderr = await self.runtime.exec_sync(target.container_id, command, timeout)
        except TimeoutError:
            raise HandlerFailed(f'command timed out: "{" ".join(command)}" timed out after {timeout:g}s') from None
        except CriError as error:
            raise HandlerFailed(error.message) from None
        if code != 0:
            raise HandlerFailed((stdout + stderr)[:EXEC_OUTPUT].decode(errors='replace'))

    @asynccontextmanager
    async def _connection(self, host: str, port: int, tls: ssl.SSLContext | None, timeout: float | None):  # type: ignore[no-untyped-def]
        reader, writer = await _streams(await self._dialled(host, port, timeout), host, tls)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def _dialled(self, host: str, port: int, timeout: float | None) -> socket.socket:
        """Connected from the Node to an address, or to a name that the machine can resolve."""
        try:
            async with asyncio.timeout(timeout):
                return await self._connect(await _resolve(host), port)
        except TimeoutError:
            raise HandlerFailed(f'dial tcp {_join(host, port)}: i/o timeout') from None
        except OSError as error:
            raise HandlerFailed(f'dial tcp {_join(host, port)}: {_words(error)}') from None

    async def _connect(self, address: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ':' in address else socket.AF_INET
        sock = await self.dial(family)
        try:
            if not _connects_at_once(sock, (address, port)):
                await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except BaseException:
            sock.close()
            raise
        return sock


async def _streams(
    sock: socket.socket, host: str, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=host if tls else None)
    except BaseException:
        sock.close()
        raise


def _connects_at_once(sock: socket.socket, address: tuple[str, int]) -> bool:
    """False: it still has to be waited for. OSError.

    A Pod of this machine has answered by the time that connect() returns, for its link is a function call of the
    kernel; a second connect() tells the outcome (inet_stream_connect), and nobody has to wait for the selector.
    """
    error = sock.connect_ex(address)
    if error == errno.EINPROGRESS:
        error = sock.connect_ex(address)
    if error and error not in (errno.EINPROGRESS, errno.EALREADY):
        raise OSError(error, os.strerror(error))
    return not error


async def _resolve(host: str) -> str:
    if _is_address(host):
        return host
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return str(found[0][4][0])


def _is_address(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6 if ':' in host else socket.AF_INET, host)
    except OSError:
        return False
    return True


def _any_certificate() -> ssl.SSLContext:
    """As the kubelet: a probe does not verify."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def resolve_port(port: int | str, container: Object) -> int:
    """A number, or the container's port of that name."""
    if isinstance(port, int) or port.isdecimal():
        return int(port)
    for declared in container.get('ports') or ():
        if declared.get('name') == port:
            return declared['containerPort']
    raise HandlerFailed(f'couldn\'t find port: "{port}"')


def http_url(action: Mapping[str, Any], target: Target) -> str:
    scheme = action.get('scheme', 'HTTP').lower()
    host = action.get('host') or target.pod_ip
    path = '/' + (action.get('path') or '').lstrip('/')
    return f'{scheme}://{_join(host, resolve_port(action["port"], target.container))}{path}'


def request_headers(action: Mapping[str, Any]) -> dict[str, str]:
    headers = {'User-Agent': USER_AGENT, 'Accept': '*/*'}
    for header in action.get('httpHeaders') or ():
        name = '-'.join(part.capitalize() for part in header['name'].split('-'))
        headers[name] = header.get('value', '')
    return {name: value for name, value in headers.items() if value or name not in ('User-Agent', 'Accept')}


def render_request(url: str, headers: Mapping[str, str]) -> bytes:
    parts = urlsplit(url)
    target = parts._replace(scheme='', netloc='', fragment='').geturl() or '/'
    lines = [f'GET {target} HTTP/1.1', f'Host: {headers.get("Host", parts.netloc)}']
    lines += [f'{name}: {value}' for name, value in headers.items() if name != 'Host']
    return ('\r\n'.join([*lines, 'Connection: close']) + '\r\n\r\n').encode('latin-1', 'replace')


async def _received_head(sock: socket.socket) -> asyncio.StreamReader:
    """As much of an answer as ``read_head`` needs; without a transport, which would cost more than the probe."""
    reader, received = asyncio.StreamReader(), b''
    while not _ENDS_HEAD.search(received) and len(received) < MAX_HEAD:
        more = await asyncio.get_running_loop().sock_recv(sock, MAX_HEAD)
        if not more:
            break
        received += more
    reader.feed_data(received)
    reader.feed_eof()
    return reader


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """The status and the header fields (lower case) of an answer. ValueError if it is no HTTP."""
    line = (await reader.readline()).decode('latin-1')
    if not line:
        raise EOFError('EOF')
    version, _, rest = line.partition(' ')
    if not version.startswith('HTTP/') or not rest[:3].isdecimal():
        raise ValueError(f'net/http: HTTP/1.x transport connection broken: malformed HTTP response "{line.rstrip()}"')
    fields: dict[str, str] = {}
    while line := (await reader.readline()).decode('latin-1').rstrip('\r\n'):
        name, _, value = line.partition(':')
        fields[name.strip().lower()] = value.strip()
    return int(rest[:3]), fields


def _join(host: str, port: int) -> str:
    return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'


def _words(error: BaseException) -> str:
    """A failure in Go's words, which probes' events show."""
    if not isinstance(error, OSError):
        return str(error) or 'EOF'
    if error.errno in GO_ERRORS:
        verb = 'read: ' if error.errno == errno.ECONNRESET else 'connect: '
        return verb + GO_ERRORS[error.errno]
    return (os.strerror(error.errno).lower() if error.errno else str(error)) or type(error).__name__
