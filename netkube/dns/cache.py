"""Encoded answers by the query's bytes.

Key and value both lack the message id: two queries that differ only in it have the same answer. Only of the cluster's
own names: those answers are true until something changes, all others until a time (netkube.dns.foreigncache).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable

from netkube.dns.zone import Cell

VARIANTS = 8  # encodings kept of an answer whose records come in any order


class _Generation:
    def __init__(self) -> None:
        self.answers: dict[bytes, bytes] = {}
        self.variants: dict[bytes, deque[bytes]] = {}
        self.keys: defaultdict[Cell, list[bytes]] = defaultdict(list)  # lists: sets are three times as large

    def depend(self, key: bytes, cells: Iterable[Cell]) -> None:
        for cell in cells:
            self.keys[cell].append(key)

    def drop(self, cells: Iterable[Cell]) -> None:
        for cell in cells:
            for key in self.keys.pop(cell, ()):
                self.answers.pop(key, None)
                self.variants.pop(key, None)

    def __len__(self) -> int:
        return len(self.answers) + len(self.variants)


class WireCache:
    """About ``capacity`` answers, in two halves.

    New ones go to the young half; when that is full it becomes the old one, and what was old is forgotten. ``get``
    looks at what most queries want, with one dictionary look-up; ``find`` knows the rest: the old half, and answers
    with several addresses, whose order changes from one query to the next (as with CoreDNS's loadbalance).
    """

    def __init__(self, capacity: int = 32768) -> None:
        self._capacity = capacity // 2
        self.clear()

    def clear(self) -> None:
        self._young, self._old = _Generation(), _Generation()
        self.get = self._young.answers.get

    def put(self, key: bytes, answer: bytes, cells: Iterable[Cell]) -> None:
        """``answer`` is true until ``drop`` is called with one of ``cells``."""
        generation = self._with_room()
        generation.answers[key] = answer
        generation.depend(key, cells)

    def put_variant(self, key: bytes, answer: bytes, cells: Iterable[Cell]) -> None:
        """One of the forms of an answer; ``find`` gives none until there are ``VARIANTS``, then each in turn."""
        generation = self._with_room()
        if key not in generation.variants:
            generation.variants[key] = deque(maxlen=VARIANTS)
            generation.depend(key, cells)
        generation.variants[key].append(answer)

    def find(self, key: bytes) -> bytes | None:
        for generation in (self._young, self._old):
            variants = generation.variants.get(key)
            if variants and len(variants) == VARIANTS:
                variants.rotate()
                return variants[0]
        return self._old.answers.get(key)

    def drop(self, cells: Iterable[Cell]) -> None:
        for generation in (self._young, self._old):
            generation.drop(cells)

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def _with_room(self) -> _Generation:
        if len(self._young) >= self._capacity:
            self._young, self._old = _Generation(), self._young
            self.get = self._young.answers.get
        return self._young
