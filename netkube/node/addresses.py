"""Which Pod has which address of the Node's range.

Addresses go round: one that was freed comes back only after all the others, so that connections, neighbour
entries and DNS answers that still know a gone Pod do not meet a new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network


class AddressesExhausted(Exception):
    """Every address of the Node's range belongs to a Pod."""


class AddressAllocator:
    """Addresses of ``network`` but its first (the network), its last (broadcast) and those ``reserved``."""

    def __init__(self, network: IPv4Network, reserved: Iterable[IPv4Address] = ()) -> None:
        self._network = network
        self._first, self._count = int(network.network_address) + 1, network.num_addresses - 2
        self._reserved = {int(address) for address in reserved}
        self._by_owner: dict[str, int] = {}
        self._taken: set[int] = set()
        self._next = 0

    def allocate(self, owner: str) -> IPv4Address:
        """The owner's address: the one it has, or else the next free one."""
        if owner in self._by_owner:
            return IPv4Address(self._by_owner[owner])
        for candidate in self._candidates():
            if candidate not in self._taken and candidate not in self._reserved:
                self._take(owner, candidate)
                return IPv4Address(candidate)
        raise AddressesExhausted(f'no addresses are left in {self._network}')

    def adopt(self, owner: str, address: IPv4Address) -> None:
        """Note what the owner has already, from an earlier life of the agent; going round starts after it."""
        self._take(owner, int(address))

    def release(self, owner: str) -> None:
        address = self._by_owner.pop(owner, None)
        if address is not None:
            self._taken.discard(address)

    def _take(self, owner: str, address: int) -> None:
        self._by_owner[owner] = address
        self._taken.add(address)
        self._next = (address - self._first + 1) % self._count

    def _candidates(self) -> Iterator[int]:
        return (self._first + (self._next + step) % self._count for step in range(self._count))
