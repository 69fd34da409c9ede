"""The UDP flows that a change of Services makes stale. Pure, on elements: they are what is remembered of a Service."""

from __future__ import annotations

from collections.abc import Iterable

from netkube.network.conntrack import Address
from netkube.proxy.ruleset import Elements

UDP = 'udp'


def changed_udp(changes: Iterable[tuple[Elements, Elements]]) -> dict[Address, set[Address]]:
    """The UDP frontends that differ between (old, new), and the endpoints they have now: none for those that went.

    What goes is listed before what came, so that an address that passed from one Service to another counts as new.
    A node port's address is ''.
    """
    gone: dict[Address, set[Address]] = {}
    come: dict[Address, set[Address]] = {}
    for old, new in changes:
        before, after = udp_frontends(old), udp_frontends(new)
        gone |= {frontend: set() for frontend in before if frontend not in after}
        come |= {frontend: endpoints for frontend, endpoints in after.items() if before.get(frontend) != endpoints}
    return gone | come


def udp_frontends(elements: Elements) -> dict[Address, set[Address]]:
    """Each with its endpoints, those for the cluster and those for outside."""
    found: dict[Address, set[Address]] = {}
    for (name, key), value in elements.items():
        if UDP not in key:
            continue
        parts = key.split(' . ')
        index = parts.index(UDP)
        frontend = ''.join(parts[:index]), int(parts[index + 1])
        if name.endswith('services'):
            found.setdefault(frontend, set())
        elif name.endswith('endpoints'):
            address, port = value.split(' . ')
            found.setdefault(frontend, set()).add((address, int(port)))
    return found
