"""Answers of other nameservers, kept for as long as they allow, but half a minute at most (CoreDNS: cache 30).

As in the wire cache, key and value are bytes without the message id. What is given again is as much older: its
TTLs are less by the time that has passed.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

import msgspec

HEADER = 12
MAX_SECONDS = 30
CAPACITY = 8192
ID = 2
TC = 0x02
NOERROR, NXDOMAIN = 0, 3
SOA, OPT = 6, 41
COUNTS, RECORD = struct.Struct('!4H'), struct.Struct('!HHIH')  # after the flags; type, class, TTL, length


class _Kept(msgspec.Struct, frozen=True, gc=False):
    """``ttls``: where in ``answer`` (without its id) the TTLs are."""

    answer: bytes
    ttls: tuple[int, ...]
    at: float
    until: float


class ForeignCache:
    """Up to CAPACITY answers, in two halves as in the wire cache: the old half goes when the young one is full."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._young: dict[bytes, _Kept] = {}
        self._old: dict[bytes, _Kept] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def clear(self) -> None:
        self._young, self._old = {}, {}

    def find(self, key: bytes) -> bytes | None:
        kept = self._young.get(key) or self._old.get(key)
        now = self._clock()
        if kept is None or now >= kept.until:
            return None
        aged, passed = bytearray(kept.answer), int(now - kept.at)
        for at in kept.ttls:
            ttl = int.from_bytes(aged[at : at + 4], 'big')
            aged[at : at + 4] = max(0, ttl - passed).to_bytes(4, 'big')
        return bytes(aged)

    def put(self, key: bytes, wire: bytes) -> None:
        """Keep ``wire``, a whole message, if it may be kept at all."""
        seconds, ttls = lifetime(wire)
        if seconds <= 0:
            return
        if len(self._young) >= CAPACITY // 2:
            self._young, self._old = {}, self._young
        now = self._clock()
        self._young[key] = _Kept(wire[ID:], tuple(at - ID for at in ttls), now, now + seconds)


def lifetime(wire: bytes) -> tuple[int, list[int]]:
    """Seconds that an answer may be kept (RFC 1035; RFC 2308 for what does not exist), and where its TTLs are."""
    if wire[2] & TC or wire[3] & 15 not in (NOERROR, NXDOMAIN):
        return 0, []
    try:
        records = _records(wire)
    except (IndexError, struct.error):  # it was not made for us to understand
        return 0, []
    answered = COUNTS.unpack_from(wire, 4)[1]
    ttls = [at for _, _, at, _ in records]
    if wire[3] & 15 == NOERROR and answered:
        return min(MAX_SECONDS, *(ttl for _, ttl, _, _ in records)), ttls
    negative = [min(ttl, minimum) for kind, ttl, _, minimum in records if kind == SOA]
    return min(MAX_SECONDS, *negative) if negative else 0, ttls


def _records(wire: bytes) -> list[tuple[int, int, int, int]]:
    """Of each record but EDNS's: type, TTL, where that is, the last four bytes of its data."""
    questions, *counts = COUNTS.unpack_from(wire, 4)
    at, found = HEADER, []
    for _ in range(questions):
        at = _name_end(wire, at) + 4
    for _ in range(sum(counts)):
        at = _name_end(wire, at)
        kind, _, ttl, length = RECORD.unpack_from(wire, at)
        end = at + RECORD.size + length
        if end > len(wire):
            raise IndexError('a record is cut off')
        if kind != OPT:
            found.append((kind, ttl, at + 4, int.from_bytes(wire[end - 4 : end], 'big')))
        at = end
    return found


def _name_end(wire: bytes, at: int) -> int:
    while (length := wire[at]) and length < 0xC0:
        at += 1 + length
    return at + (2 if length else 1)
