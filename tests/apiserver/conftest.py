from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from served import ServedApi, served_api

from netkube.apiserver.registry import Registry
from netkube.testing import memory_api


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    async with memory_api() as registry:
        yield registry


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ServedApi]:
    async with served_api(tmp_path) as api:
        yield api
