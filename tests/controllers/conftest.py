from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from workload_cluster import Cluster

from netkube.testing import memory_api


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with memory_api() as api, AsyncExitStack() as stack:
        yield Cluster(api, stack)
