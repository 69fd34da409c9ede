"""The table ``ip netkube`` in the kernel: what it holds is made to be what is wanted.

Blocking, and to be used in the thread that lives in the Node's namespace. Knows of the kernel only what it has
put there itself, and notices when somebody else changed anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from netkube.api.meta import Key
from netkube.network.nft import Nft, NftError
from netkube.proxy.frontends import NOTHING, ServiceRules
from netkube.proxy.ruleset import (
    LISTINGS,
    TABLE,
    Elements,
    chains_of,
    elements_of,
    parse_elements,
    render_changes,
    render_removal,
    render_table,
    verdict,
)

SERVICES_AT_ONCE = 1000  # in one transaction: bounds its memory, and how long a later change waits for it

Failures = dict[Key, str]
"""The Services that the kernel refused, with its words. Nothing has changed for these."""


class Change(msgspec.Struct, frozen=True):
    """Of one Service: the elements that the kernel has, and those it shall have."""

    key: Key
    old: Elements
    new: Elements


class Table(msgspec.Struct):
    """``service_cidr`` and ``uplink``: see ``render_table``."""

    service_cidr: str
    uplink: str
    nft: Nft = msgspec.field(default_factory=Nft)
    _chains: set[str] = msgspec.field(default_factory=set)
    _generation: int = -1

    def change(self, changes: Mapping[Key, tuple[ServiceRules, ServiceRules]]) -> Failures:
        """Lead each Service from the rules that it has to others; each Service wholly or not at all."""
        return self._apply([Change(key, elements_of(old), elements_of(new)) for key, (old, new) in changes.items()])

    def reset(self, wanted: Mapping[Key, ServiceRules]) -> Failures:
        """Whatever the kernel has, it has ``wanted`` afterwards, and packets do not notice where it had it already.

        NftError if it does not take the table itself.
        """
        chains = chains_of(verdict(backends) for rules in wanted.values() for backends in rules.frontends.values())
        present = self._ensure_table(chains)
        self._chains = chains
        changes, failures = plan_reset(present, wanted)
        return failures | self._apply(changes)

    def is_disturbed(self) -> bool:
        """Somebody else has changed nftables in this namespace since the last ``reset``; maybe not this table."""
        return self.nft.generation() != self._generation

    def _ensure_table(self, chains: set[str]) -> Elements:
        """The elements it holds. One that cannot be amended, as another version's may be, is replaced."""
        text = render_table(self.service_cidr, self.uplink, chains)
        self._generation = self.nft.generation()
        try:
            self._run(text)
        except NftError:
            self._run(f'{render_removal()}\n{text}')
        elements: Elements = {}
        for listing in LISTINGS:
            elements |= parse_elements(self.nft.list_json(listing))
        return elements

    def _apply(self, changes: Sequence[Change]) -> Failures:
        failures: Failures = {}
        for start in range(0, len(changes), SERVICES_AT_ONCE):
            failures |= self._apply_together(changes[start : start + SERVICES_AT_ONCE])
        return failures

    def _apply_together(self, changes: Sequence[Change]) -> Failures:
        """One transaction; one that is refused is halved until the culprit is alone, so that all others get theirs."""
        text = render_changes(((change.old, change.new) for change in changes), self._chains)
        if not text:
            return {}
        try:
            self._run(text)
        except NftError as error:
            if len(changes) == 1:
                return {changes[0].key: str(error).splitlines()[0]}  # what follows repeats the command
            middle = len(changes) // 2
            return self._apply_together(changes[:middle]) | self._apply_together(changes[middle:])
        self._chains |= {name for change in changes for name in chains_of(change.new.values())}
        return {}

    def _run(self, text: str) -> None:
        """Our own transaction counts one, or none if it changed nothing; more, and somebody else was there, too."""
        before = self.nft.generation()
        self.nft.run(text)
        after = self.nft.generation()
        if before == self._generation and after - before <= 1:
            self._generation = after


def plan_reset(present: Elements, wanted: Mapping[Key, ServiceRules]) -> tuple[list[Change], Failures]:
    """The changes that lead from what is there to what is wanted. What two Services want, the first one gets.

    What nobody wants is removed first, in the name of no Service.
    """
    claimed: dict[tuple[str, str], Key] = {}
    changes, failures = [], {}
    for key, rules in sorted(wanted.items()):
        new = elements_of(rules)
        rivals = {claimed[element] for element in new if element in claimed}
        if rivals:
            failures[key] = f'{TABLE}: {sorted(rivals)[0]} has the same address and port'
            continue
        claimed |= dict.fromkeys(new, key)
        changes.append(Change(key, {element: present[element] for element in new if element in present}, new))
    orphans = {element: value for element, value in present.items() if element not in claimed}
    return [Change(('', ''), orphans, elements_of(NOTHING)), *changes], failures
