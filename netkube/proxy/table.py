"""The tables ``ip netkube`` and ``ip6 netkube`` in the kernel: what they hold is made to be what is wanted.

Blocking, and to be used in the thread that lives in the Node's namespace. Of the elements it keeps no copy, only
their number and the sum of their hashes: enough to know after a look at the kernel whether somebody else changed any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from netkube.api.meta import Key
from netkube.network.nft import Nft, NftError
from netkube.proxy.families import TABLE, Family
from netkube.proxy.listing import texts_of
from netkube.proxy.ruleset import (
    DIGITS,
    MAP_NAMES,
    SPACES,
    Elements,
    Network,
    chains_of,
    render_changes,
    render_removal,
    render_table,
)

SERVICES_AT_ONCE = 1000  # in one transaction: bounds its memory, and how long a later change waits for it
MASK = (1 << 64) - 1

Failures = dict[Key, str]
"""The Services that the kernel refused, with its words. Nothing has changed for these."""


class Change(msgspec.Struct, frozen=True):
    """Of one Service: the elements that the kernel has, and those it shall have."""

    key: Key
    old: Elements
    new: Elements


class Look(msgspec.Struct, frozen=True):
    """What the kernel held at a generation: all but the elements, and the elements' number and sum."""

    generation: int
    shape: tuple[bytes, ...] = ()
    count: int = 0
    sum: int = 0


INCONCLUSIVE = Look(-1)  # it changed while one looked


class Table(msgspec.Struct):
    """``networks``: one for each IP family of the cluster."""

    networks: Sequence[Network]
    nft: Nft = msgspec.field(default_factory=Nft)
    _chains: set[tuple[Family, str]] = msgspec.field(default_factory=set)
    _generation: int = -1
    _shape: tuple[bytes, ...] = ()
    _count: int = 0
    _sum: int = 0
    _orphans: Elements = msgspec.field(default_factory=dict)

    def change(self, changes: Mapping[Key, tuple[Elements, Elements]]) -> Failures:
        """Lead each Service from the elements that it has to others; each Service wholly or not at all."""
        return self._apply([Change(key, old, new) for key, (old, new) in changes.items()])

    def begin(self) -> None:
        """The tables are there; what they hold is known, and waits to be asked for by ``fill``.

        NftError if the kernel does not take the tables themselves.
        """
        self._generation = self.nft.generation()
        for network in self.networks:
            self._ensure_table(network)
        self._chains = set()
        self._learn_shape(self._generation)
        self._orphans = dict(self.present())
        self._count, self._sum = _checksum(self._orphans.items())

    def fill(self, wanted: Mapping[Key, Elements]) -> Failures:
        """Between ``begin`` and ``finish``: the kernel has this, too. Packets do not notice where it had it already.

        What two Services have in common the kernel refuses to the second.
        """
        return self._apply([Change(key, self._take(new), new) for key, new in wanted.items()])

    def finish(self) -> None:
        """What nobody asked for goes."""
        orphans, self._orphans = self._orphans, {}
        self._apply([Change(('', ''), orphans, {})])

    def reset(self, wanted: Mapping[Key, Elements]) -> Failures:
        """Whatever the kernel has, it has ``wanted`` afterwards."""
        self.begin()
        failures = self.fill(wanted)
        self.finish()
        return failures

    def _take(self, new: Elements) -> Elements:
        """Those of its elements that the kernel has, maybe with other values."""
        if not self._orphans:
            return {}
        return {element: self._orphans.pop(element) for element in new if element in self._orphans}

    def is_suspect(self) -> bool:
        """Somebody else has changed nftables in this namespace since the last look; maybe not our tables."""
        return self.nft.generation() != self._generation

    def look(self) -> Look:
        """What our tables hold now. It takes a second for 50,000 Services, and may be taken by another ``Table``, in
        another thread, so that changes need not wait."""
        before = self.nft.generation()
        look = Look(before, self._read_shape(), *_checksum(self.present()))
        return look if self.nft.generation() == before else INCONCLUSIVE

    def judge(self, look: Look) -> bool | None:
        """Whether somebody else has changed our tables; None: not known, as they have changed since the look."""
        if look.generation != self.nft.generation():
            return None
        if (look.shape, look.count, look.sum) != (self._shape, self._count, self._sum):
            return True
        self._generation = look.generation
        return False

    def is_disturbed(self) -> bool:
        """All of it at once."""
        return self.is_suspect() and self.judge(self.look()) is not False

    def _ensure_table(self, network: Network) -> None:
        """One that cannot be amended, as another version's may be, is replaced."""
        text = render_table(network)
        try:
            self._run(text)
        except NftError:
            self._run(f'{render_removal(network.family)}\n{text}')

    def present(self) -> Iterator[tuple[tuple[str, str], str]]:
        """The elements that the kernel has now."""
        for network in self.networks:
            family = network.family
            for name in MAP_NAMES:
                full_name = f'{family.table} {name}'
                for key, value in texts_of(family, name, self.nft.elements(family.nft, TABLE, name)):
                    yield (full_name, key), value

    def _apply(self, changes: Sequence[Change]) -> Failures:
        failures: Failures = {}
        for start in range(0, len(changes), SERVICES_AT_ONCE):
            failures |= self._apply_together(changes[start : start + SERVICES_AT_ONCE])
        return failures

    def _apply_together(self, changes: Sequence[Change]) -> Failures:
        """One transaction; one that is refused is halved until the culprit is alone, so that all others get theirs."""
        chains: set[tuple[Family, str]] = set().union(*(chains_of(change.new) for change in changes)) - self._chains
        text = render_changes(((change.old, change.new) for change in changes), chains)
        if not text:
            return {}
        try:
            (self._run_reshaping if chains else self._run)(text)
        except NftError as error:
            if len(changes) == 1:
                return {changes[0].key: str(error).splitlines()[0]}  # what follows repeats the command
            middle = len(changes) // 2
            return self._apply_together(changes[:middle]) | self._apply_together(changes[middle:])
        self._chains |= chains
        self._count_in(changes)
        return {}

    def _count_in(self, changes: Sequence[Change]) -> None:
        for change in changes:
            for elements, sign in ((change.old, -1), (change.new, 1)):
                count, total = _checksum(elements.items())
                self._count += sign * count
                self._sum = self._sum + sign * total & MASK

    def _run(self, text: str) -> None:
        """Our own transaction counts one, or none if it changed nothing; more, and somebody else was there, too."""
        before = self.nft.generation()
        self.nft.run(text)
        after = self.nft.generation()
        if before == self._generation and after - before <= 1:
            self._generation = after

    def _run_reshaping(self, text: str) -> None:
        """As ``_run``, for a text that adds chains. Others may have been here, but not in our tables."""
        before, as_we_made_it = self.nft.generation(), self._read_shape() == self._shape
        self._run(text)
        self._learn_shape(before + 1 if as_we_made_it else -1)

    def _learn_shape(self, generation: int) -> None:
        """All but the elements is as we made it, unless the generation is another by now: then it is not known."""
        shape = self._read_shape()
        self._shape = shape if self.nft.generation() == generation else ()

    def _read_shape(self) -> tuple[bytes, ...]:
        """The digest of each table, and what those of its sets hold that lead nowhere by themselves."""
        parts: list[bytes] = []
        for network in self.networks:
            family = network.family.nft
            parts.append(self.nft.digest(family, TABLE))
            for name in (DIGITS, *(f'{space}chains' for space in SPACES)):
                elements = self.nft.elements(family, TABLE, name)
                parts += sorted(element.key + element.verdict.encode() for element in elements)
        return tuple(parts)


def _checksum(items: Iterable[tuple[tuple[str, str], str]]) -> tuple[int, int]:
    count = total = 0
    for item in items:
        count += 1
        total += hash(item)
    return count, total & MASK
