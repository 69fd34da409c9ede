"""The cluster domain as an index: names -> records, and which names a change of an object touches.

Names are tuples of lower-case labels. Records are made when they are asked for: the index itself holds nothing
but views, so a change costs the same however large the zone is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import TypeVar

from netkube.api.meta import Key
from netkube.dns.objects import ServiceView, SliceView, canonical_address, key_of_service
from netkube.dns.records import Labels, Record, Rows, address_record, pointer_records, service_records

SCHEMA_VERSION = '1.1.0'
TTL = 5  # seconds, CoreDNS's default: an answer may be this old at a client

Cell = Key | str  # what an answer depends on: a Service's key, or the address in a reverse name
View = TypeVar('View', ServiceView, SliceView)


class AddressIndex:
    """Addresses -> the Services that have a name for that address."""

    def __init__(self) -> None:
        self._keys: dict[str, tuple[Key, ...]] = {}

    def keys(self, address: str) -> tuple[Key, ...]:
        return tuple(dict.fromkeys(self._keys.get(address, ())))

    def add(self, address: str, key: Key) -> None:
        self._keys[address] = (*self._keys.get(address, ()), key)

    def discard(self, address: str, key: Key) -> None:
        """One occurrence: several EndpointSlices of a Service may hold the same address."""
        kept = list(self._keys[address])
        kept.remove(key)
        if kept:
            self._keys[address] = tuple(kept)
        else:
            del self._keys[address]


class Zone:
    """What the resolver knows of the cluster. ``domain`` is the cluster domain, ``addresses`` the resolver's own.

    ``serial`` never changes while the process runs: nobody transfers this zone, and negative answers, which carry it,
    stay true until something they depend on changes.
    """

    def __init__(self, domain: str, addresses: Iterable[str], serial: int = 1) -> None:
        self.domain = tuple(domain.lower().rstrip('.').split('.'))
        self.origin = '.'.join(self.domain) + '.'
        self.soa = Record('SOA', (*self._names('ns.dns', 'hostmaster'), serial, 7200, 1800, 86400, TTL))
        self._namespaces: set[str] = set()
        self._services: dict[Key, ServiceView] = {}
        self._slices: dict[Key, tuple[SliceView, ...]] = {}
        self._addresses = AddressIndex()
        self._rows_of_last: tuple[Key, Rows] | None = None
        self._fixed: Rows = {
            (): (self.soa, Record('NS', self._names('ns.dns'))),
            ('dns',): (),
            ('ns', 'dns'): tuple(address_record(canonical_address(address)) for address in addresses),
            ('dns-version',): (Record('TXT', (SCHEMA_VERSION,)),),
            ('svc',): (),
            ('pod',): (),
        }

    # changes: each returns the cells it touched

    def set_namespace(self, name: str, *, present: bool) -> None:
        """Every name of a Namespace depends on it, also those that do not exist."""
        if present:
            self._namespaces.add(name)
        else:
            self._namespaces.discard(name)

    def change_service(self, old: ServiceView | None, new: ServiceView | None) -> set[Cell]:
        return self._change(old, new, self._set_service)

    def change_slice(self, old: SliceView | None, new: SliceView | None) -> set[Cell]:
        return self._change(old, new, self._set_slice)

    def _change(
        self, old: View | None, new: View | None, change: Callable[[View | None, View | None], None]
    ) -> set[Cell]:
        if old == new:
            return set()
        keys = {key_of_service(view) for view in (old, new) if view}
        before: list[tuple[str, Key]] = [(address, key) for key in keys for address in self._named_addresses(key)]
        change(old, new)
        after: list[tuple[str, Key]] = [(address, key) for key in keys for address in self._named_addresses(key)]
        if before != after:
            for address, key in before:
                self._addresses.discard(address, key)
            for address, key in after:
                self._addresses.add(address, key)
        self._rows_of_last = None
        return keys.union(address for address, _ in (*before, *after))

    def _set_service(self, old: ServiceView | None, new: ServiceView | None) -> None:
        if old:
            del self._services[key_of_service(old)]
        if new:
            self._services[key_of_service(new)] = new

    def _set_slice(self, old: SliceView | None, new: SliceView | None) -> None:
        if old:
            self._set_slices(key_of_service(old), [s for s in self._slices_like(old) if s.name != old.name])
        if new:
            self._set_slices(key_of_service(new), [*self._slices_like(new), new])

    def _slices_like(self, view: SliceView) -> tuple[SliceView, ...]:
        return self._slices.get(key_of_service(view), ())

    def _set_slices(self, key: Key, slices: list[SliceView]) -> None:
        if slices:
            self._slices[key] = tuple(slices)
        else:
            del self._slices[key]

    def _named_addresses(self, key: Key) -> list[str]:
        """The addresses whose names this Service may say: its own, or its endpoints' if it is headless."""
        service = self._services.get(key)
        if service is None or not service.headless:
            return list(service.addresses) if service else []
        return [endpoint.address for view in self._slices.get(key, ()) for endpoint in view.endpoints]

    # questions

    def find(self, name: Labels) -> tuple[Record, ...] | None:
        """The records at a name below the domain; none: the name exists without any; None: there is no such name."""
        relative = name[: len(name) - len(self.domain)]
        if relative in self._fixed:
            return self._fixed[relative]
        if len(relative) < 2 or relative[-1] not in ('svc', 'pod') or relative[-2] not in self._namespaces:
            return None
        if len(relative) == 2:
            return ()
        if relative[-1] == 'pod':
            return _pod_records(relative[:-2])
        return self._rows((relative[-2], relative[-3])).get(relative[:-3])

    def find_address(self, address: str) -> tuple[Record, ...]:
        """The PTR records of an address in canonical text."""
        records: list[Record] = []
        for key in self._addresses.keys(address):
            if service := self._services.get(key):
                records += pointer_records(service, self._slices.get(key, ()), address, self._origin_of(key))
        return tuple(records)

    def cells(self, name: Labels) -> tuple[Cell, ...]:
        """What an answer about a name below the domain depends on, besides the Namespaces."""
        relative = name[: len(name) - len(self.domain)]
        if len(relative) < 3 or relative[-1] != 'svc':
            return ()
        key = (relative[-2], relative[-3])
        service = self._services.get(key)
        return (key_of_service(service) if service else key,)  # its own strings: the cache keeps them

    def contains(self, name: Labels) -> bool:
        return name[-len(self.domain) :] == self.domain

    def _names(self, *relative: str) -> tuple[str, ...]:
        return tuple(f'{name}.{self.origin}' for name in relative)

    def _origin_of(self, key: Key) -> str:
        return f'{key[1]}.{key[0]}.svc.{self.origin}'

    def _rows(self, key: Key) -> Rows:
        """The last Service's rows are kept: an SRV answer asks for each of its targets."""
        if self._rows_of_last and self._rows_of_last[0] == key:
            return self._rows_of_last[1]
        service = self._services.get(key)
        rows = service_records(service, self._slices.get(key, ()), self._origin_of(key)) if service else {}
        self._rows_of_last = (key, rows)
        return rows


def _pod_records(labels: Labels) -> tuple[Record, ...] | None:
    """``10-1-2-3`` or ``2001-db8--1``: the address itself, whether a Pod has it or not (CoreDNS: pods insecure)."""
    if len(labels) != 1:
        return None
    text = labels[0]
    ipv4 = text.count('-') == 3 and '--' not in text
    with contextlib.suppress(ValueError):  # a name that is no address does not exist
        return (address_record(canonical_address(text.replace('-', '.' if ipv4 else ':'))),)
    return None


def parse_reverse_name(name: Labels) -> str | None:
    """The address that a name below in-addr.arpa or ip6.arpa stands for; None for any other name."""
    digits = name[-3::-1]
    with contextlib.suppress(ValueError):
        if name[-2:] == ('in-addr', 'arpa') and len(digits) == 4:
            return canonical_address('.'.join(digits))
        if name[-2:] == ('ip6', 'arpa') and len(digits) == 32 and all(len(digit) == 1 for digit in digits):
            joined = ''.join(digits)
            return canonical_address(':'.join(joined[i : i + 4] for i in range(0, 32, 4)))
    return None
