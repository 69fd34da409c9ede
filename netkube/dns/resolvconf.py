"""The nameservers of the machine, from its resolv.conf(5)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable

from netkube.dns.exchange import Nameserver
from netkube.dns.objects import canonical_address

log = logging.getLogger(__name__)

MAX_NAMESERVERS = 3  # as glibc: MAXNS


class ResolvConf:
    """The nameservers of a resolv.conf, read again when the file changes; none if there is no file.

    ``excluded``: our own addresses, as asking them would never end.
    """

    def __init__(self, path: str, excluded: frozenset[str] = frozenset()) -> None:
        self.path, self.excluded = path, excluded
        self._stamp: tuple[int, int, int] | None = None
        self._nameservers: tuple[Nameserver, ...] = ()

    def nameservers(self) -> tuple[Nameserver, ...]:
        stamp = self._read_stamp()
        if stamp != self._stamp:
            self._nameservers = self._read() if stamp else ()
            self._stamp = stamp
        return self._nameservers

    def _read_stamp(self) -> tuple[int, int, int] | None:
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _read(self) -> tuple[Nameserver, ...]:
        with open(self.path, encoding='utf-8', errors='replace') as lines:
            return tuple(map(Nameserver, parse_nameservers(lines, self.excluded)))


def parse_nameservers(lines: Iterable[str], excluded: frozenset[str] = frozenset()) -> list[str]:
    """The addresses of the ``nameserver`` lines; glibc uses the first three, and 127.0.0.1 is not implied here."""
    fields = (line.split() for line in lines)
    addresses = [words[1] for words in fields if len(words) > 1 and words[0] == 'nameserver' and _is_address(words[1])]
    return [address for address in dict.fromkeys(addresses) if address not in excluded][:MAX_NAMESERVERS]


def _is_address(text: str) -> bool:
    try:
        canonical_address(text.partition('%')[0])
    except ValueError:
        log.warning('resolv.conf: %r is not an address', text)
        return False
    return True
