"""A served API: a store on disk behind a unix socket and TLS, and a client that shows answers as they are."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from netkube.apiserver.certificates import Pki, ensure_certificates, server_context, serving_names
from netkube.apiserver.http import KubeletOf
from netkube.apiserver.registry import Registry
from netkube.apiserver.server import ApiServer, no_kubelet
from netkube.apiserver.storage import RARELY_READ
from netkube.client.kubeconfig import kubeconfig
from netkube.store.store import Store
from netkube.testing.tools import tool

POD: dict[str, Any] = {
    'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'a', 'labels': {'app': 'a'}},
    'spec': {'containers': [{'name': 'c', 'image': 'none', 'command': ['sleep', '1']}]},
}  # fmt: skip


@dataclass
class Answer:
    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json['message'])


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__('localhost', timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(str(self._path))


@dataclass
class ServedApi:
    registry: Registry
    server: ApiServer
    directory: Path
    port: int
    pki: Pki
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def socket(self) -> Path:
        return self.directory / 'api.sock'

    async def request(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """``body``: text as it is, anything else as JSON; header names with _ for -."""
        content = body if isinstance(body, str | bytes | None) else json.dumps(body)
        named = {name.replace('_', '-'): value for name, value in headers.items()}
        if content is not None:
            named = {'content-type': 'application/json'} | named
        return await asyncio.to_thread(self._request, method, path, content, named)

    def _request(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Answer:
        connection = UnixConnection(self.socket)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    async def kubectl(self, *arguments: str, stdin: str = '', code: int = 0) -> str:
        """Standard output and error together; the exit code must be ``code``."""
        process = await asyncio.create_subprocess_exec(
            str(tool('kubectl')), *arguments, env=os.environ | self.environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate(stdin.encode())
        assert process.returncode == code, output.decode()
        return output.decode()


@asynccontextmanager
async def served_api(directory: Path, kubelet_of: KubeletOf = no_kubelet) -> AsyncIterator[ServedApi]:
    pki = ensure_certificates(directory / 'pki', serving_names('10.96.0.1', 'cluster.local'))
    store = Store(directory / 'db', shelved=RARELY_READ)
    registry = Registry(store)
    server = ApiServer(registry, kubelet_of)
    running = asyncio.create_task(server.run())
    try:
        await server.serve_unix(directory / 'api.sock')
        listener = socket.create_server(('127.0.0.1', 0))
        port = listener.getsockname()[1]
        await server.serve_tls(listener, server_context(pki))
        api = ServedApi(registry, server, directory, port, pki)
        api.environment = {'KUBECONFIG': str(write_kubeconfig(api)), 'HOME': str(directory)}
        yield api
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        store.close()


def write_kubeconfig(api: ServedApi) -> Path:
    pems = (path.read_bytes() for path in (api.pki.ca.certificate, api.pki.admin.certificate, api.pki.admin.key))
    path = api.directory / 'kubeconfig'
    path.write_text(yaml.safe_dump(kubeconfig('test', f'https://127.0.0.1:{api.port}', *pems)))
    return path
