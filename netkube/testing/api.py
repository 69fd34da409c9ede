"""The real API server without sockets, on SQLite in memory: a new cluster state in a millisecond."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from netkube.api.resources import NAMESPACES
from netkube.apiserver.registry import Registry
from netkube.store.store import Store


@asynccontextmanager
async def memory_api(
    service_cidr: str = '10.96.0.0/16', namespaces: tuple[str, ...] = ('default',)
) -> AsyncIterator[Registry]:
    """A registry whose ``namespaces`` exist; it is gone afterwards."""
    store = Store(':memory:')
    try:
        registry = Registry(store, service_cidr=service_cidr)
        for name in namespaces:
            await registry.create(NAMESPACES, {'apiVersion': 'v1', 'kind': 'Namespace', 'metadata': {'name': name}})
        yield registry
    finally:
        store.close()
