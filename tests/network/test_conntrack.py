"""UDP flows that lead to the wrong place are forgotten, and only those."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from netkube.network.conntrack import Conntrack
from netkube.network.links import set_up
from netkube.network.namespaces import opened, setns, unshare
from netkube.network.netlink import Netlink
from netkube.network.nft import Nft

RULES = """
add table ip t
add chain ip t output { type nat hook output priority -100; }
add rule ip t output ip daddr 127.0.0.9 udp dport 53 dnat to 127.0.0.1:5353
add rule ip t output ip daddr 127.0.0.8 udp dport 53 dnat to 127.0.0.2:5353
add rule ip t output ip daddr 127.0.0.7 ct state new accept
"""
CONNTRACK = Conntrack()
NINE, EIGHT, SEVEN = ('127.0.0.9', 53), ('127.0.0.8', 53), ('127.0.0.7', 53)


@pytest.fixture(scope='module', autouse=True)
def _own_namespace() -> Iterator[None]:
    with opened(None) as machine:
        unshare()
        netlink = Netlink()
        netlink.request(set_up('lo'))
        netlink.close()
        Nft().run(RULES)
        yield
        setns(machine)


@pytest.fixture
def flows() -> Iterator[None]:
    """Two flows that are translated, one that is not."""
    CONNTRACK.delete_udp_flows({NINE: (), EIGHT: (), SEVEN: ()})
    clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
    for client, address in zip(clients, (NINE, EIGHT, SEVEN), strict=True):
        client.sendto(b'?', address)
    yield
    for client in clients:
        client.close()


@pytest.mark.usefixtures('flows')
def test_a_flow_to_an_endpoint_that_has_gone() -> None:
    assert CONNTRACK.delete_udp_flows({NINE: {('127.0.0.3', 5353)}}) == 1
    assert CONNTRACK.delete_udp_flows({NINE: ()}) == 0


@pytest.mark.usefixtures('flows')
def test_a_flow_to_an_endpoint_that_is_there_stays() -> None:
    assert CONNTRACK.delete_udp_flows({NINE: {('127.0.0.1', 5353), ('127.0.0.3', 5353)}}) == 0
    assert CONNTRACK.delete_udp_flows({('127.0.0.9', 54): ()}) == 0
    assert CONNTRACK.delete_udp_flows({NINE: {('127.0.0.1', 5354)}}) == 1  # another port is another endpoint


@pytest.mark.usefixtures('flows')
def test_a_flow_that_nobody_translated_is_stale_as_soon_as_there_is_an_endpoint() -> None:
    assert CONNTRACK.delete_udp_flows({SEVEN: {('127.0.0.1', 5353)}}) == 1


@pytest.mark.usefixtures('flows')
def test_several_destinations_at_once() -> None:
    assert CONNTRACK.delete_udp_flows({NINE: {('127.0.0.1', 5353)}, EIGHT: (), SEVEN: ()}) == 2
    assert CONNTRACK.delete_udp_flows({NINE: (), EIGHT: (), SEVEN: ()}) == 1


def test_nothing_asked_nothing_done() -> None:
    assert CONNTRACK.delete_udp_flows({}) == 0


def test_many_flows() -> None:
    clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(700)]
    for client in clients:
        client.sendto(b'?', NINE)
    assert CONNTRACK.delete_udp_flows({NINE: {('127.0.0.1', 5353)}, EIGHT: ()}) == 0
    assert CONNTRACK.delete_udp_flows({NINE: (), EIGHT: ()}) == 700
    for client in clients:
        client.close()
