from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from policy_lab import Lab, policy_lab


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with policy_lab() as lab:
        yield lab
