"""A store on the disk that writes its log, for as long as a test looks at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from netkube.store.store import Store


@asynccontextmanager
async def running(path: Path, shelved: str = '') -> AsyncIterator[Store]:
    store = Store(path, shelved)
    task = asyncio.create_task(store.run())
    try:
        yield store
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        store.close()
