"""gRPC probes, asked of the gRPC project's own server."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from node_lab import Lab, condition
from pods import container

from netkube.node.handlers import HandlerFailed, Handlers, Target

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
LONG_NAME = 'shop.' * 60  # its length takes two bytes


async def dial(family: socket.AddressFamily) -> socket.socket:
    made = socket.socket(family)
    made.setblocking(False)
    return made


HANDLERS = Handlers(dial, None)  # type: ignore[arg-type]
TARGET = Target(container(), 'id', '127.0.0.1')


@asynccontextmanager
async def serving(credentials: Any = None, *, with_health: bool = True) -> AsyncIterator[int]:
    """A server whose port it is: all is well but service ``sick``, and ``mute`` never answers."""
    server = grpc.aio.server()
    if with_health:
        servicer = Servicer()
        await servicer.set('', SERVING)
        await servicer.set(LONG_NAME, SERVING)
        await servicer.set('sick', NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    at = '127.0.0.1:0'
    port = server.add_secure_port(at, credentials) if credentials else server.add_insecure_port(at)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


class Servicer(health.aio.HealthServicer):
    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.service == 'mute':
            await asyncio.Event().wait()
        return await super().Check(request, context)


async def ask(port: int, service: str = '', timeout: float = 5, **fields: Any) -> None:
    await HANDLERS.run({'grpc': {'port': port, 'service': service, **fields}}, TARGET, timeout)


async def failure(port: int, service: str = '', timeout: float = 5, **fields: Any) -> str:
    with pytest.raises(HandlerFailed) as error:
        await ask(port, service, timeout, **fields)
    return str(error.value)


async def test_a_service_that_serves() -> None:
    async with serving() as port:
        await ask(port)
        await ask(port, LONG_NAME)


async def test_a_service_that_does_not_serve_is_not_known_or_does_not_answer() -> None:
    async with serving() as port:
        assert await failure(port, 'sick') == 'service unhealthy (responded with "NOT_SERVING")'
        assert await failure(port, 'other') == 'error: health rpc probe failed: rpc error: code = NotFound desc = '
        assert await failure(port, 'mute', 0.2) == 'timeout: health rpc did not complete within 0.2s'


async def test_a_server_without_the_health_service() -> None:
    async with serving(with_health=False) as port:
        said = 'error: this server does not implement the grpc health protocol (grpc.health.v1.Health): '
        assert (await failure(port)).startswith(said)


async def test_nobody_listens_or_somebody_else_does() -> None:
    async with serving() as port:
        pass
    refused = f'dial tcp 127.0.0.1:{port}: connect: connection refused'
    assert await failure(port) == f'error: failed to connect service at "127.0.0.1:{port}": {refused}'

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(24)
        writer.write(b'HTTP/1.1 400 Bad Request\r\n\r\n')
        writer.close()

    server = await asyncio.start_server(speak, '127.0.0.1', 0)
    said = await failure(server.sockets[0].getsockname()[1])
    assert said.startswith('error: health rpc probe failed: ')
    server.close()


def certificate() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, 'nobody')])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    return key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain), made.public_bytes(pem)


async def test_mode_tls_believes_any_certificate() -> None:
    async with serving(grpc.ssl_server_credentials([certificate()])) as port:
        await ask(port, mode='TLS')
        assert (await failure(port)).startswith('error: health rpc probe failed: ')
    assert ssl.HAS_ALPN


SERVER = """
import concurrent.futures, os, grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
servicer = health.HealthServicer()
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
server.add_insecure_port('[::]:50051')
server.start()
while True:
    state = input()
    servicer.set('shop', getattr(health_pb2.HealthCheckResponse, state))
"""


async def test_a_pod_is_ready_when_its_grpc_service_serves(kubelet: Lab, tmp_path) -> None:
    prefix = {'name': 'prefix', 'hostPath': {'path': sys.prefix}}
    (tmp_path / 'server.py').write_text(SERVER)
    code = {'name': 'code', 'hostPath': {'path': str(tmp_path)}}
    mounts = [{'name': 'prefix', 'mountPath': sys.prefix}, {'name': 'code', 'mountPath': '/code'}]
    probe = {'grpc': {'port': 50051, 'service': 'shop'}, 'periodSeconds': 1, 'failureThreshold': 1}
    script = f'mkfifo /code/states; {sys.executable} /code/server.py <> /code/states'
    await kubelet.create_pod(
        'sh', '-c', script, volumeMounts=mounts, readinessProbe=probe, spec={'volumes': [prefix, code]}
    )
    states = tmp_path / 'states'
    message = 'Readiness probe failed: service unhealthy (responded with "NOT_SERVING")'
    await kubelet.until(lambda pod: states.exists())
    states.write_text('SERVING\n')
    await kubelet.until(lambda pod: condition(pod, 'Ready')['status'] == 'True')
    states.write_text('NOT_SERVING\n')
    await kubelet.until(lambda pod: condition(pod, 'Ready')['status'] == 'False')
    await kubelet.has_event('Warning', 'Unhealthy', message)
