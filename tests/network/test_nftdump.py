"""What we read of nftables ourselves is what libnftables reads."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from netkube.network.namespaces import opened, setns, unshare
from netkube.network.nft import Nft

TABLE = """
table ip6 t {
    map m { type ipv6_addr . inet_proto . inet_service : verdict; }
    map n { type inet_service : mark; }
    set s { type ipv4_addr . inet_service; flags interval; }
    chain other { }
    chain c { type filter hook input priority 0; }
}
add rule ip6 t c tcp dport 80 accept
"""


@pytest.fixture
def nft() -> Iterator[Nft]:
    with opened(None) as machine:
        unshare()
        nft = Nft()
        nft.run(TABLE)
        yield nft
        setns(machine)


def test_every_element_of_a_map_too_large_for_one_message(nft: Nft) -> None:
    nft.run(f'add element ip6 t n {{ {", ".join(f"{n} : {n + 1}" for n in range(1, 5001))} }}')
    found = {int.from_bytes(e.key[:2], 'big'): int.from_bytes(e.value, 'little') for e in nft.elements('ip6', 't', 'n')}
    assert found == {n: n + 1 for n in range(1, 5001)}


def test_verdicts_and_concatenated_keys(nft: Nft) -> None:
    verdicts = 'fd00::1 . tcp . 80 : goto other, fd00::2 . udp . 53 : drop, ::3 . tcp . 1 : accept'
    nft.run(f'add element ip6 t m {{ {verdicts} }}')
    found = {
        (socket.inet_ntop(socket.AF_INET6, e.key[:16]), e.key[16], int.from_bytes(e.key[20:22], 'big')): e.verdict
        for e in nft.elements('ip6', 't', 'm')
    }
    assert found == {('fd00::1', 6, 80): 'goto other', ('fd00::2', 17, 53): 'drop', ('::3', 6, 1): 'accept'}
    listed = nft.list_json('list map ip6 t m')['nftables'][1]['map']['elem']
    assert {tuple(key['concat']) for key, _ in listed} == set(found)


def test_intervals(nft: Nft) -> None:
    nft.run('add element ip6 t s { 10.0.0.0/8 . 80, 192.0.2.1 . 81 }')
    ends = {(socket.inet_ntoa(e.key[:4]), socket.inet_ntoa(e.end[:4])) for e in nft.elements('ip6', 't', 's')}
    assert ends == {('10.0.0.0', '10.255.255.255'), ('192.0.2.1', '192.0.2.1')}


def test_what_is_not_there_has_no_elements(nft: Nft) -> None:
    assert list(nft.elements('ip6', 't', 'm')) == []
    assert list(nft.elements('ip6', 't', 'none')) == []
    assert list(nft.elements('ip', 'none', 'none')) == []
    assert nft.digest('ip', 't') == b''


@pytest.mark.parametrize(
    ('change', 'is_seen'),
    [
        ('add element ip6 t n { 1 : 2 }', False),
        ('add element ip6 t m { fd00::1 . tcp . 80 : goto other }', False),  # the chain is used once more
        ('add table ip6 elsewhere; add chain ip6 elsewhere c { type filter hook input priority 0; }', False),
        ('add rule ip6 t other drop', True),
        ('insert rule ip6 t c drop', True),
        ('flush chain ip6 t c', True),
        ('add chain ip6 t another', True),
        ('delete set ip6 t s', True),
        ('add table ip6 t { flags dormant; }', True),
        ('add chain ip6 t c { policy drop; }', True),
    ],
)
def test_the_digest_is_of_everything_but_elements(nft: Nft, change: str, is_seen: bool) -> None:
    before = nft.digest('ip6', 't')
    nft.run(change)
    assert (nft.digest('ip6', 't') != before) == is_seen
