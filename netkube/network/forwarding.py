"""The machine's forwarding, of each IP family: switched on when first needed, put back to what it was when no longer.

Writing these settings does more than it says, so what it changes is kept, too:

- ``net.ipv4.ip_forward`` (inet_forward_change in the kernel) sets ``forwarding`` of every interface, present and to
  come, and flips ``conf/all/accept_redirects``;
- ``net.ipv6.conf.all.forwarding`` (addrconf_fixup_forwarding) sets ``forwarding`` of every interface, and a machine
  that forwards ignores router advertisements and forgets the default routes it has from them, but on interfaces whose
  ``accept_ra`` is 2. So that is what an ``accept_ra`` of 1 becomes before: the machine's own IPv6 goes on as it was.

What they were is a fact that only a file can hold. The file is written before a setting changes and removed after
it was put back, so that a kill -9 at any moment leaves enough to do it again; it belongs on a file system that a
reboot empties, as a reboot resets the settings. What the file does not name is not ours, and is left alone.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from netkube.api.families import IPV4, IPV6
from netkube.network import sysctl

FORWARD, FORWARD_IPV6 = 'net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding'
SWITCHES = {IPV4: FORWARD, IPV6: FORWARD_IPV6}
INTERFACES = {IPV4: 'net/ipv4/conf', IPV6: 'net/ipv6/conf'}
ALSO_CHANGED = {IPV4: ('net/ipv4/conf/all/accept_redirects',), IPV6: ()}
OF_INTERFACES = {IPV4: ('forwarding',), IPV6: ('accept_ra', 'forwarding')}
ACCEPT_RA_UNLESS_FORWARDING, ACCEPT_RA_ALWAYS = '1', '2'

Record = dict[str, dict[str, str]]
"""Of each family whose forwarding is ours: the settings and what they were."""


def enable(record: Path, families: Collection[str] = (IPV4,)) -> None:
    """Forwarding of these families is on; ``record`` says how it was, if it was off."""
    before = _read(record)
    ours = [family for family in families if sysctl.read(SWITCHES[family]) == '0']
    if not ours:
        return
    before |= {family: _settings(family) for family in ours if family not in before}
    temporary = record.with_suffix('.tmp')
    temporary.write_text(json.dumps(before))
    os.replace(temporary, record)
    for family in ours:
        for name, value in before[family].items():
            if name.endswith('/accept_ra') and value == ACCEPT_RA_UNLESS_FORWARDING:
                sysctl.write(name, ACCEPT_RA_ALWAYS)
        sysctl.write(SWITCHES[family], 1)


def restore(record: Path) -> None:
    """As it was before ``enable``; nothing if there is no record."""
    for family, before in _read(record).items():
        sysctl.write(SWITCHES[family], 0)
        for name, value in before.items():
            sysctl.ensure_if_present(name, value)
    record.unlink(missing_ok=True)


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


def _read(record: Path) -> Record:
    try:
        return json.loads(record.read_text())  # type: ignore[no-any-return]
    except FileNotFoundError:
        return {}


def _settings(family: str) -> dict[str, str]:
    """All that ``enable`` changes, and what it is now."""
    folder = INTERFACES[family]
    interfaces = sorted(entry.name for entry in os.scandir(sysctl.FOLDER / folder) if entry.name != 'all')
    changed = (f'{folder}/{interface}/{name}' for interface in interfaces for name in OF_INTERFACES[family])
    return {name: sysctl.read(name) for name in (*ALSO_CHANGED[family], *changed)}
