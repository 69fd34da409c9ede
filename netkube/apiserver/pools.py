"""Pools: numbers of ranges, each with at most one owner.

The lower part of each range is for numbers that users choose, as in Kubernetes (KEP-3070, KEP-3668): automatic ones
come from the upper part first.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Iterator

import msgspec

from netkube.api.families import Network
from netkube.api.meta import Key


class Range(msgspec.Struct, frozen=True):
    """From ``first`` to ``last``, the first ``band`` of them left for explicit requests."""

    first: int
    last: int
    band: int

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last

    def next_free(self, taken: Collection[int]) -> int | None:
        """A random free number of the upper part; of the lower one when that is full; None when all are taken."""
        dynamic = min(self.first + self.band, self.last)
        for low, high in ((dynamic, self.last), (self.first, dynamic - 1)):
            for number in _from_random(low, high):
                if number not in taken:
                    return number
        return None


def address_range(cidr: Network) -> Range:
    """The network address is not given out, nor IPv4's broadcast address."""
    size = cidr.num_addresses
    band = min(max(16, size // 16), 256) if size > 32 else 0
    return Range(int(cidr.network_address) + 1, int(cidr.broadcast_address) - (cidr.version == 4), band)


def port_range(first: int, last: int) -> Range:
    size = last - first + 1
    return Range(first, last, min(max(16, size // 32), 128) if size > 32 else 0)


class Pool:
    """Which of the numbers have an owner, whatever the ranges are now."""

    def __init__(self, *ranges: Range) -> None:
        self.ranges: tuple[Range, ...] = ranges
        self._owners: dict[int, Key] = {}

    def __contains__(self, number: int) -> bool:
        return any(number in one for one in self.ranges)

    def owner(self, number: int) -> Key | None:
        return self._owners.get(number)

    def take(self, number: int, owner: Key) -> None:
        self._owners[number] = owner

    def release(self, number: int, owner: Key) -> None:
        if self._owners.get(number) == owner:
            del self._owners[number]

    def next_free(self, besides: Iterable[int] = ()) -> int | None:
        taken: Collection[int] = self._owners
        if extra := set(besides):
            taken = self._owners.keys() | extra
        return next((found for one in self.ranges if (found := one.next_free(taken)) is not None), None)


def _from_random(low: int, high: int) -> Iterator[int]:
    """Every number from ``low`` to ``high``, from a random one on."""
    if low > high:
        return
    start = random.randint(low, high)
    yield from range(start, high + 1)
    yield from range(low, start)
