"""pods/exec and pods/attach over a WebSocket: one byte of channel, then data, in both directions.

Protocols v4 and v5.channel.k8s.io (KEP-4006); v5 can close stdin. Channel 3 carries the end as a Status.
k8s.io/apimachinery/pkg/util/remotecommand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from netkube.api.errors import ApiError, bad_request
from netkube.apiserver.containers import container_of, node_of
from netkube.apiserver.registry import Registry
from netkube.apiserver.request import Request, Send, Target
from netkube.apiserver.storage import encode
from netkube.client.kubelet import ExecSession, Kubelet

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PROTOCOLS = ('v5.channel.k8s.io', 'v4.channel.k8s.io')


class TerminalSize(msgspec.Struct, rename='pascal'):
    width: int
    height: int


async def connect(
    registry: Registry, kubelet_of: Callable[[str], Kubelet], scope: dict[str, Any], request: Request,
    target: Target, send: Send,
) -> None:  # fmt: skip
    """Until the command ends or the client goes. ApiError before the WebSocket is accepted.

    What the node's agent refuses is told on the error channel, as a kubelet does: kubectl shows it from there.
    """
    node, container = stream_target(registry, request, target)
    kubelet, protocol = kubelet_of(node), choose_protocol(scope['subprotocols'])
    await request.receive()  # websocket.connect
    await send({'type': 'websocket.accept', 'subprotocol': protocol})
    try:
        session = await STARTS[target.subresource](kubelet, container, request, target)
    except ApiError as error:
        await finish(error.status(), send)
        return
    try:
        await relay(session, request, send)
    finally:
        await session.close()


def choose_protocol(offered: list[str]) -> str:
    for protocol in offered:
        if protocol in PROTOCOLS:
            return protocol
    raise bad_request(f'unable to upgrade: no supported subprotocol in {offered}; supported are {list(PROTOCOLS)}')


def stream_target(registry: Registry, request: Request, target: Target) -> tuple[str, str]:
    """Node and container. ApiError 400, 404."""
    if target.subresource == 'exec' and not request.query.get('command'):
        raise bad_request('you must specify at least 1 command for the container')
    pod = registry.storage.object(registry.storage.get(target.resource, target.namespace, target.name))
    if pod.get('status', {}).get('phase') in ('Succeeded', 'Failed'):
        phase = pod['status']['phase']
        verb = 'exec into' if target.subresource == 'exec' else 'attach'
        raise bad_request(f'cannot {verb} a container in a completed pod; current phase is {phase}')
    return node_of(pod), container_of(pod, request.value('container'))


async def start_exec(kubelet: Kubelet, container: str, request: Request, target: Target) -> ExecSession:
    return await kubelet.exec(
        target.namespace, target.name, container, request.query['command'],
        stdin=request.flag('stdin'), stdout=request.flag('stdout'), stderr=request.flag('stderr'),
        tty=request.flag('tty'),
    )  # fmt: skip


async def start_attach(kubelet: Kubelet, container: str, request: Request, target: Target) -> ExecSession:
    """A terminal or not: that is the container's, not the request's."""
    return await kubelet.attach(
        target.namespace, target.name, container,
        stdin=request.flag('stdin'), stdout=request.flag('stdout'), stderr=request.flag('stderr'),
    )  # fmt: skip


STARTS = {'exec': start_exec, 'attach': start_attach}


async def relay(session: ExecSession, request: Request, send: Send) -> None:
    """Both directions, until the command's output has ended and its exit code is told, or the client goes."""
    incoming = asyncio.create_task(pump_input(session, request))
    outgoing = asyncio.create_task(pump_output(session, send))
    try:
        await asyncio.wait((incoming, outgoing), return_when=asyncio.FIRST_COMPLETED)
    finally:
        incoming.cancel()
        outgoing.cancel()
        await asyncio.gather(incoming, outgoing, return_exceptions=True)
    if not outgoing.cancelled():
        outgoing.result()


async def pump_output(session: ExecSession, send: Send) -> None:
    while (output := await session.read()) is not None:
        channel, data = output
        await send({'type': 'websocket.send', 'bytes': bytes((channel,)) + data})
    await finish(exit_status(await session.exit_code()), send)


async def finish(status: dict[str, Any], send: Send) -> None:
    await send({'type': 'websocket.send', 'bytes': bytes((ERROR,)) + encode(status)})
    await send({'type': 'websocket.close', 'code': 1000})


async def pump_input(session: ExecSession, request: Request) -> None:
    while (message := await request.receive())['type'] == 'websocket.receive':
        data = message.get('bytes') or (message.get('text') or '').encode()
        if data:
            await take_input(session, data[0], data[1:])


async def take_input(session: ExecSession, channel: int, data: bytes) -> None:
    """A message on a channel that clients do not write to is ignored, as Kubernetes does."""
    if channel == STDIN:
        await session.write_stdin(data)
    elif channel == RESIZE:
        size = msgspec.json.decode(data, type=TerminalSize)
        await session.resize(size.width, size.height)
    elif channel == CLOSE and data[:1] == bytes((STDIN,)):
        await session.close_stdin()


def exit_status(code: int) -> dict[str, Any]:
    """metav1.Status as kubectl expects it on the error channel."""
    if code == 0:
        return {'metadata': {}, 'status': 'Success'}
    message = f'command terminated with non-zero exit code: command terminated with exit code {code}'
    causes = [{'reason': 'ExitCode', 'message': str(code)}]
    return {
        'metadata': {}, 'status': 'Failure', 'message': message, 'reason': 'NonZeroExitCode',
        'details': {'causes': causes},
    }  # fmt: skip
