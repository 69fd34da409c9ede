from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def resolv_conf(tmp_path: Path):
    """Writes a resolv.conf with these nameservers, in place of the former one, and gives its path."""

    def write(*nameservers: str) -> str:
        new = tmp_path / 'new'
        new.write_text(
            '# machine\nsearch example.test\n' + ''.join(f'nameserver {address}\n' for address in nameservers)
        )
        os.replace(new, tmp_path / 'resolv.conf')
        return str(tmp_path / 'resolv.conf')

    return write
