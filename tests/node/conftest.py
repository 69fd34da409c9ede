from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from node_lab import Lab, lab


@pytest.fixture
async def node_lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """A Node whose agent does not run yet."""
    async with lab(tmp_path) as made:
        yield made


@pytest.fixture
async def kubelet(node_lab: Lab) -> AsyncIterator[Lab]:
    """A Node with its agent."""
    async with node_lab.running_agent():
        yield node_lab
