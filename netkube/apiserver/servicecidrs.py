"""Where ClusterIPs come from: the cluster's own ranges, and those of ServiceCIDR objects."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

from netkube.api.families import Address, Network, family_of
from netkube.api.meta import Object, is_deleting

READY = 'Ready'
DEFAULT = 'kubernetes'
"""The ServiceCIDR that the API server makes of its own ranges."""


class ServiceCIDRs:
    """The ranges of one API server. ``own`` are valid from the start: the object for them comes a moment later."""

    def __init__(self, own: str) -> None:
        self.own: tuple[Network, ...] = tuple(ip_network(cidr) for cidr in own.split(','))
        self.families = tuple(map(family_of, self.own))
        self._objects: dict[str, Object] = {}

    def changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._objects[new['metadata']['name']] = new
        elif old is not None:
            self._objects.pop(old['metadata']['name'], None)

    def ready(self, family: str) -> list[Network]:
        """Where a new address of that family may come from, the cluster's own range first."""
        default = self._objects.get(DEFAULT)
        own = self.own if default is None or is_ready(default) else ()
        ranges = dict.fromkeys(cidr for cidr in (*own, *self._of_objects()) if family_of(cidr) == family)
        return list(ranges)

    def address(self, family: str, number: int) -> Address:
        own = next(cidr for cidr in self.own if family_of(cidr) == family)
        return type(own.network_address)(number)

    def _of_objects(self) -> Iterator[Network]:
        for obj in self._objects.values():
            if is_ready(obj):
                yield from map(ip_network, obj['spec'].get('cidrs') or ())


def is_ready(service_cidr: Object) -> bool:
    """One without a condition counts: nobody has looked at it yet."""
    if is_deleting(service_cidr):
        return False
    conditions = service_cidr.get('status', {}).get('conditions') or ()
    return all(one['status'] == 'True' for one in conditions if one['type'] == READY)
