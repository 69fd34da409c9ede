from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from service_lab import Lab, service_lab


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with service_lab(tmp_path) as lab:
        yield lab
