"""The machine's ``ip_forward``: switched on when first needed, put back to what it was when no longer.

Writing net.ipv4.ip_forward does more than it says (inet_forward_change in the kernel): it sets ``forwarding`` of
every interface, present and to come, and flips ``conf/all/accept_redirects``. So what those were is kept, too.

What it was is a fact that only a file can hold. The file is written before the setting changes and removed after
it was put back, so that a kill -9 at any moment leaves enough to do it again; it belongs on a file system that a
reboot empties, as a reboot resets the setting. Without the file the setting is not ours, and is left alone.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netkube.network import sysctl

FORWARD = 'net/ipv4/ip_forward'
REDIRECTS = 'net/ipv4/conf/all/accept_redirects'
INTERFACES = 'net/ipv4/conf'


def enable(record: Path) -> None:
    """Forwarding is on; ``record`` says how it was, if it was off."""
    if sysctl.read(FORWARD) != '0':
        return
    temporary = record.with_suffix('.tmp')
    temporary.write_text(json.dumps(_settings()))
    os.replace(temporary, record)
    sysctl.write(FORWARD, 1)


def restore(record: Path) -> None:
    """As it was before ``enable``; nothing if there is no record."""
    try:
        before: dict[str, str] = json.loads(record.read_text())
    except FileNotFoundError:
        return
    sysctl.write(FORWARD, 0)
    for name, value in before.items():
        if (sysctl.FOLDER / name).exists() and sysctl.read(name) != value:
            sysctl.write(name, value)
    record.unlink()


@contextmanager
def exclusively(record: Path) -> Iterator[None]:
    """One cluster at a time decides about forwarding; the lock is the record's folder, which is made if absent."""
    record.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(record.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _settings() -> dict[str, str]:
    """All that writing ip_forward changes, and what it is now."""
    interfaces = [entry.name for entry in os.scandir(sysctl.FOLDER / INTERFACES) if entry.name != 'all']
    names = [REDIRECTS, *(f'{INTERFACES}/{interface}/forwarding' for interface in sorted(interfaces))]
    return {name: sysctl.read(name) for name in names}
