"""Which Service a frontend belongs to, when several want it: the one that came first.

The API allocates cluster IPs and node ports, each once. External IPs, and the addresses that somebody else's load
balancer writes, it does not compare: two Services may want the same port of one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

import msgspec

from netkube.api.meta import Key
from netkube.proxy.frontends import Frontend, ServiceRules


class Claims:
    """Frontends and their owners. Pure state: it belongs to one event loop."""

    def __init__(self) -> None:
        self._owners: dict[Frontend, Key] = {}
        self._waiting: defaultdict[Frontend, set[Key]] = defaultdict(set)

    def claim(self, key: Key, old: Collection[Frontend], wanted: ServiceRules) -> tuple[dict[Frontend, Key], set[Key]]:
        """``key`` had ``old`` and wants others: what it does not get, and from whom; and who wants what it gives up."""
        freed = {
            waiting
            for frontend in old
            if frontend not in wanted.frontends and self._owners.get(frontend) == key
            for waiting in self._release(frontend)
        }
        rivals = {}
        for frontend in wanted.frontends:
            owner = self._owners.setdefault(frontend, key)
            if owner != key:
                rivals[frontend] = owner
                self._waiting[frontend].add(key)
        return rivals, freed - {key}

    def _release(self, frontend: Frontend) -> set[Key]:
        del self._owners[frontend]
        return self._waiting.pop(frontend, set())


def without(rules: ServiceRules, frontends: Collection[Frontend]) -> ServiceRules:
    """The rules that are left when others have these frontends."""
    if not frontends:
        return rules
    left = {
        name: {frontend: value for frontend, value in getattr(rules, name).items() if frontend not in frontends}
        for name in ('frontends', 'outside', 'sources')
    }
    return msgspec.structs.replace(rules, **left)
