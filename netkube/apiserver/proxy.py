"""pods/proxy and services/proxy: an HTTP request goes on to a Pod, by way of its Node, and its answer comes back.

``/api/v1/namespaces/NS/services/[SCHEME:]NAME[:PORT]/proxy/PATH``. The path of a Location header is led back through
here; links inside a page are not. kubernetes pkg/registry/core/{pod,service} ResourceLocation, apimachinery
util/proxy/upgradeaware.go.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from urllib.parse import urlsplit

import httptools
import msgspec

from netkube.api.errors import ApiError, bad_request
from netkube.api.meta import Object
from netkube.api.resources import ENDPOINTSLICES, NODES, PODS
from netkube.apiserver.containers import node_of
from netkube.apiserver.registry import Registry
from netkube.apiserver.request import Request, Target
from netkube.apiserver.response import Stream
from netkube.client.kubelet import Connection, Kubelet, words_of

READ_BYTES = 65536
SCHEMES = {'': 80, 'http': 80, 'https': 443}
SERVICE_NAME_LABEL = 'kubernetes.io/service-name'
# RFC 9110, section 7.6.1, and what tells who asks: that is between the client and us.
NOT_PASSED_ON = frozenset({
    b'connection', b'keep-alive', b'proxy-authenticate', b'proxy-authorization', b'te', b'trailer',
    b'transfer-encoding', b'upgrade', b'host', b'content-length', b'authorization',
})  # fmt: skip


class Location(msgspec.Struct, frozen=True):
    """Where a request goes on to: ``scheme`` is http or https."""

    node: str
    address: str
    port: int
    scheme: str

    @property
    def authority(self) -> str:
        return f'[{self.address}]:{self.port}' if ':' in self.address else f'{self.address}:{self.port}'


async def proxy(
    registry: Registry, kubelet_of: Callable[[str], Kubelet], request: Request, target: Target
) -> Stream:
    """Its answer starts when the Pod's has. ApiError 400, 404, 503."""
    base, path = split_target(request.raw_target)
    location = await LOCATE[target.resource.plural](registry, target)
    body = await request.body()
    try:
        streams = await open_connection(kubelet_of(location.node), location)
    except OSError as error:
        where = f'dial tcp {location.authority}: connect'
        raise unavailable(f'error trying to reach service: {where}: {words_of(error)}') from None
    answer = Answer()
    exchange = Exchange(streams, answer)
    try:
        streams[1].write(render_request(request, path, body, location.authority))
        await exchange.until_started()
    except (OSError, httptools.HttpParserError) as error:
        exchange.close()
        raise unavailable(f'error trying to reach service: {error}') from None
    except BaseException:
        exchange.close()
        raise
    headers = tuple(answer_headers(answer.headers, base))
    return Stream(exchange.body(request.method == 'HEAD'), b'', answer.code, headers)


def split_target(target: str) -> tuple[str, str]:
    """What leads here, ``/api/v1/namespaces/NS/pods/NAME/proxy``, and the Pod's own path and query."""
    parts = target.split('?', 1)[0].split('/', 8)
    base = '/'.join(parts[:8])
    path = target[len(base) :]
    return base, path if path.startswith('/') else '/' + path


class Answer:
    """What httptools' parser calls back."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.chunks: list[bytes] = []
        self.is_started = self.is_complete = False
        self.parser = httptools.HttpResponseParser(self)

    @property
    def code(self) -> int:
        return int(self.parser.get_status_code())

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.is_started = True

    def on_body(self, body: bytes) -> None:
        self.chunks.append(body)

    def on_message_complete(self) -> None:
        self.is_complete = True


class Exchange:
    def __init__(self, streams: Connection, answer: Answer) -> None:
        self._reader, self._writer = streams
        self._answer = answer

    async def until_started(self) -> None:
        while not self._answer.is_started:
            data = await self._reader.read(READ_BYTES)
            if not data:
                raise ConnectionResetError('EOF')
            self._answer.parser.feed_data(data)

    async def body(self, is_empty: bool) -> AsyncIterator[bytes]:
        """An answer without a length ends with the connection."""
        answer = self._answer
        try:
            while not is_empty:
                chunk = b''.join(answer.chunks)
                answer.chunks.clear()
                if chunk:
                    yield chunk
                if answer.is_complete:
                    return
                data = await self._reader.read(READ_BYTES)
                if not data:
                    return
                answer.parser.feed_data(data)
        finally:
            self.close()

    def close(self) -> None:
        self._writer.transport.abort()


async def open_connection(kubelet: Kubelet, location: Location) -> Connection:
    """As kube-apiserver, without a look at the Pod's certificate. OSError."""
    reader, writer = await kubelet.connect(location.address, location.port)
    if location.scheme == 'https':
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            await writer.start_tls(context)
        except BaseException:
            writer.transport.abort()
            raise
    return reader, writer


def render_request(request: Request, path: str, body: bytes, host: str) -> bytes:
    lines = [f'{request.method} {path} HTTP/1.1'.encode(), b'host: ' + host.encode(), b'connection: close']
    lines += [name + b': ' + value for name, value in request.headers.items() if name not in NOT_PASSED_ON]
    if body or request.method in ('POST', 'PUT', 'PATCH'):
        lines.append(b'content-length: %d' % len(body))
    return b'\r\n'.join(lines) + b'\r\n\r\n' + body


def answer_headers(headers: list[tuple[bytes, bytes]], base: str) -> Iterator[tuple[bytes, bytes]]:
    for name, value in headers:
        if name == b'location':
            yield name, led_back(value.decode('latin-1'), base).encode('latin-1')
        elif name not in NOT_PASSED_ON or name == b'content-length':
            yield name, value


def led_back(location: str, base: str) -> str:
    """A path of the Pod's own becomes one below ``base``; another host's address stays."""
    parts = urlsplit(location)
    return base + location if not parts.netloc and parts.path.startswith('/') else location


def parse_name(text: str) -> tuple[str, str, str]:
    """(scheme, name, port) of ``[SCHEME:]NAME[:PORT]``; ApiError 400. apimachinery util/net SplitSchemeNamePort."""
    parts = text.split(':')
    scheme, name, port = parts if len(parts) == 3 else ('', *parts, '')[:3] if len(parts) < 3 else ('?', '', '')
    if scheme not in SCHEMES or not name:
        raise bad_request(f'invalid service request "{text}"' if len(parts) > 1 else 'name is required')
    return scheme or 'http', name, port


async def locate_pod(registry: Registry, target: Target) -> Location:
    """Without a port, the first one of its first container that has any."""
    scheme, name, port = parse_name(target.name)
    pod = registry.storage.object(registry.storage.get(PODS, target.namespace, name))
    address = (pod.get('status') or {}).get('podIP')
    if not address:
        raise bad_request(f'address not allowed: pod "{name}" has no address yet')
    ports = [one['containerPort'] for container in pod['spec']['containers'] for one in container.get('ports') or ()]
    number = _number(port) if port else next(iter(ports), SCHEMES[scheme])
    return Location(node_of(pod), address, number, scheme)


async def locate_service(registry: Registry, target: Target) -> Location:
    """Any ready endpoint. A port is named or numbered; without one, the port that has no name is meant."""
    scheme, name, port = parse_name(target.name)
    service = registry.storage.object(registry.storage.get(target.resource, target.namespace, name))
    if port.isascii() and port.isdigit():
        port = _name_of(service, int(port))
    selector = f'{SERVICE_NAME_LABEL}={name}'
    slices = await registry.list(ENDPOINTSLICES, target.namespace, label_selector=selector)
    candidates = [location for one in slices.items for location in _ready(one, port, scheme)]
    if not candidates:
        raise unavailable(f'no endpoints available for service "{target.name}"')
    chosen = random.choice(candidates)
    return chosen if chosen.node else msgspec.structs.replace(chosen, node=await _any_node(registry))


LOCATE = {'pods': locate_pod, 'services': locate_service}


def _name_of(service: Object, number: int) -> str:
    for port in service['spec'].get('ports') or ():
        if port['port'] == number:
            return str(port.get('name') or '')
    raise unavailable(f'no service port {number} found for service "{service["metadata"]["name"]}"')


async def _any_node(registry: Registry) -> str:
    """For an endpoint that is on none."""
    nodes = await registry.list(NODES)
    if not nodes.items:
        raise unavailable('there is no node to reach it from')
    return str(nodes.items[0]['metadata']['name'])


def _ready(endpoint_slice: Object, port_name: str, scheme: str) -> Iterator[Location]:
    for port in endpoint_slice.get('ports') or ():
        if (port.get('name') or '') != port_name or not port.get('port'):
            continue
        for endpoint in endpoint_slice.get('endpoints') or ():
            if (endpoint.get('conditions') or {}).get('ready') is not False:
                yield Location(endpoint.get('nodeName') or '', endpoint['addresses'][0], port['port'], scheme)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise bad_request(f'invalid port "{text}"')
    return int(text)


def unavailable(message: str) -> ApiError:
    return ApiError(503, 'ServiceUnavailable', message)
