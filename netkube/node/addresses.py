"""Which Pod has which addresses of the Node's ranges, one of each IP family.

Addresses go round: one that was freed comes back only after all the others, so that connections, neighbour
entries and DNS answers that still know a gone Pod do not meet a new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netkube.api.families import Address, Network
from netkube.network.plan import AddressPlans


class AddressesExhausted(Exception):
    """Every address of the Node's range belongs to a Pod."""


class AddressAllocator:
    """Addresses of ``network`` but its first (the network), its last (broadcast) and those ``reserved``."""

    def __init__(self, network: Network, reserved: Iterable[Address] = ()) -> None:
        self._network = network
        self._first, self._count = int(network.network_address) + 1, network.num_addresses - 2
        self._reserved = {int(address) for address in reserved}
        self._by_owner: dict[str, int] = {}
        self._taken: set[int] = set()
        self._next = 0

    def allocate(self, owner: str) -> Address:
        """The owner's address: the one it has, or else the next free one."""
        if owner in self._by_owner:
            return self._address(self._by_owner[owner])
        for candidate in self._candidates():
            if candidate not in self._taken and candidate not in self._reserved:
                self._take(owner, candidate)
                return self._address(candidate)
        raise AddressesExhausted(f'no addresses are left in {self._network}')

    def adopt(self, owner: str, address: Address) -> None:
        """Note what the owner has already, from an earlier life of the agent; going round starts after it."""
        self._take(owner, int(address))

    def release(self, owner: str) -> None:
        address = self._by_owner.pop(owner, None)
        if address is not None:
            self._taken.discard(address)

    def _address(self, number: int) -> Address:
        return type(self._network.network_address)(number)

    def _take(self, owner: str, address: int) -> None:
        self._by_owner[owner] = address
        self._taken.add(address)
        self._next = (address - self._first + 1) % self._count

    def _candidates(self) -> Iterator[int]:
        return (self._first + (self._next + step) % self._count for step in range(self._count))


class PodAddresses:
    """The addresses of Pods: one allocator for each of the cluster's families, in their order."""

    def __init__(self, plans: AddressPlans) -> None:
        self._allocators = tuple(
            AddressAllocator(plan.node_pod_cidr, (plan.gateway, plan.node_address, plan.dns_vip)) for plan in plans
        )

    def allocate(self, owner: str) -> tuple[Address, ...]:
        """The owner's addresses, the primary one first. AddressesExhausted: then it has none."""
        try:
            return tuple(allocator.allocate(owner) for allocator in self._allocators)
        except AddressesExhausted:
            self.release(owner)
            raise

    def adopt(self, owner: str, addresses: Iterable[Address]) -> None:
        for allocator, address in zip(self._allocators, addresses, strict=True):
            allocator.adopt(owner, address)

    def release(self, owner: str) -> None:
        for allocator in self._allocators:
            allocator.release(owner)
