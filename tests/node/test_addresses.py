from ipaddress import IPv4Address, IPv4Network

import pytest

from netkube.node.addresses import AddressAllocator, AddressesExhausted

GATEWAY = IPv4Address('10.1.0.1')


def allocator() -> AddressAllocator:
    return AddressAllocator(IPv4Network('10.1.0.0/29'), (GATEWAY,))


def allocate(allocator, *owners):
    return [int(str(allocator.allocate(owner)).rpartition('.')[2]) for owner in owners]


def test_network_gateway_and_broadcast_are_never_given():
    assert allocate(allocator(), 'a', 'b', 'c', 'd', 'e') == [2, 3, 4, 5, 6]


def test_an_owner_keeps_its_address():
    assert allocate(allocator(), 'a', 'b', 'a') == [2, 3, 2]


def test_a_freed_address_comes_last():
    addresses = allocator()
    allocate(addresses, 'a', 'b')
    addresses.release('a')
    assert allocate(addresses, 'c', 'd', 'e', 'f') == [4, 5, 6, 2]


def test_exhaustion_is_said_and_ends_with_a_release():
    addresses = allocator()
    allocate(addresses, *'abcde')
    with pytest.raises(AddressesExhausted, match='10.1.0.0/29'):
        addresses.allocate('f')
    addresses.release('c')
    assert allocate(addresses, 'f') == [4]


def test_what_was_found_after_a_restart_is_taken():
    addresses = allocator()
    addresses.adopt('old', IPv4Address('10.1.0.3'))
    assert allocate(addresses, 'a', 'b', 'c', 'd', 'old') == [4, 5, 6, 2, 3]


def test_releasing_what_nobody_has_is_nothing():
    allocator().release('nobody')
