"""An informer on an API server behind a socket: the list comes in pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from netkube.api.meta import Object
from netkube.api.resources import CONFIGMAPS
from netkube.apiserver.registry import Registry
from netkube.apiserver.server import ApiServer
from netkube.client import informer as informers
from netkube.client.http import Endpoint, HttpClient
from netkube.client.informer import Informer
from netkube.client.interface import WatchEvent
from netkube.testing import eventually, memory_api


def config_map(name: str, value: str = '') -> Object:
    metadata = {'name': name, 'namespace': 'default'}
    return {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': metadata, 'data': {'value': value}}


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Registry]:
    monkeypatch.setattr(informers, 'PAGE', 2)
    async with memory_api() as registry:
        for name in 'abcde':
            await registry.create(CONFIGMAPS, config_map(name))
        yield registry


class Pages(HttpClient):
    """Says how long each list was, and does something between two of them."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.lengths: list[int] = []
        self.between: AsyncIterator[None] | None = None

    async def list(self, *arguments, **options):
        page = await super().list(*arguments, **options)
        self.lengths.append(len(page.items))
        if self.between:
            await anext(self.between, None)
        return page


@pytest.fixture
async def client(api: Registry, tmp_path: Path) -> AsyncIterator[Pages]:
    server = ApiServer(api)
    await server.serve_unix(tmp_path / 'api.sock')
    made = Pages(Endpoint(socket_path=str(tmp_path / 'api.sock')))
    yield made
    await made.close()
    await server.stop()


async def running(client: Pages) -> tuple[Informer, asyncio.Task[None]]:
    informer = Informer(client, CONFIGMAPS, namespace='default')
    task = asyncio.create_task(informer.run())
    await asyncio.wait_for(informer.synced.wait(), 60)
    return informer, task


def values(informer: Informer) -> dict[str, str]:
    return {obj['metadata']['name']: obj['data']['value'] for obj in informer.list()}


async def test_all_pages_are_in_the_cache(client: Pages) -> None:
    informer, task = await running(client)
    assert sorted(values(informer)) == list('abcde')
    assert client.lengths == [2, 2, 1]
    task.cancel()


async def test_what_changes_between_two_pages_is_seen(client: Pages, api: Registry) -> None:
    async def changes() -> AsyncIterator[None]:
        await api.update(CONFIGMAPS, config_map('a', 'new'))
        await api.delete(CONFIGMAPS, 'default', 'b')
        await api.delete(CONFIGMAPS, 'default', 'e')
        await api.create(CONFIGMAPS, config_map('aa', 'late'))
        await api.delete(CONFIGMAPS, 'default', 'd')
        await api.create(CONFIGMAPS, config_map('d', 'again'))
        yield

    client.between = changes()
    informer, task = await running(client)

    async def caught_up() -> bool:
        return values(informer) == {'a': 'new', 'aa': 'late', 'c': '', 'd': 'again'}

    await eventually(caught_up)
    task.cancel()


def test_an_older_event_is_passed_over() -> None:
    informer = Informer(None, CONFIGMAPS)  # type: ignore[arg-type]
    for version, kind in (('7', 'ADDED'), ('5', 'DELETED'), ('6', 'MODIFIED')):
        obj = config_map('a', version)
        obj['metadata']['resourceVersion'] = version
        informer._apply(WatchEvent(kind, obj))
    assert values(informer) == {'a': '7'}
