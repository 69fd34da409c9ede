"""The Node's bridges and who is on which: a bridge has 1,023 ports at most, so there is another one when one is full.

The first has the Node's addresses and stays. The others have its MAC and none of its own: to a Pod they are the same,
as all that it sends is for that MAC and is routed. They are made when they are needed and go with their last port.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from netkube.api.families import Address
from netkube.network.ports import MAX_PORTS


class Plugged(msgspec.Struct, frozen=True):
    """A port that exists: ``bridge`` is the number of its bridge."""

    addresses: tuple[Address, ...]
    bridge: int = 0


class Ports:
    """By the names of their links."""

    def __init__(self) -> None:
        self._plugged: dict[str, Plugged] = {}
        self._on: Counter[int] = Counter()

    def get(self, link: str) -> Plugged | None:
        return self._plugged.get(link)

    def add(self, link: str, plugged: Plugged) -> None:
        self.remove(link)
        self._plugged[link] = plugged
        self._on[plugged.bridge] += 1

    def remove(self, link: str) -> int:
        """The number of a bridge that has lost its last port by that and is not the first; else 0."""
        gone = self._plugged.pop(link, None)
        if gone is None:
            return 0
        self._on[gone.bridge] -= 1
        return 0 if self._on[gone.bridge] else gone.bridge

    def addresses_on(self, bridge: int) -> set[Address]:
        return {one for each in self._plugged.values() if each.bridge == bridge for one in each.addresses}

    def bridges_for(self, link: str) -> Iterator[int]:
        """Where it may be plugged in, the best first, without end: where it is, or those that have room."""
        known = self._plugged.get(link)
        if known is not None:
            yield known.bridge
        number = 0
        while True:
            if self._on[number] < MAX_PORTS:
                yield number
            number += 1
