"""What the messages do, as iproute2 sees it."""

import errno
import json
from contextlib import closing
from ipaddress import IPv4Address, IPv4Network

import pytest
from network.packets import run

from netkube.network import namespaces
from netkube.network.addresses import ensure_address, mac_of
from netkube.network.links import (
    Peer,
    add_bridge,
    add_veth,
    delete_dying,
    delete_link,
    find_link,
    find_pair,
    isolate_port,
    list_links,
    list_names,
    mark_dying,
    set_up,
    without_ipv6_addresses,
)
from netkube.network.namespaces import inside, opened
from netkube.network.neighbours import delete_neighbour, ensure_forwarding, ensure_neighbour, list_neighbours
from netkube.network.netlink import Netlink, netlink_in
from netkube.network.routes import (
    add_route,
    delete_route,
    ensure_default_route,
    ensure_route,
    ensure_unreachable,
    list_routes,
)

ADDRESS = IPv4Address('10.1.2.3')
MAC = bytes.fromhex('0a580a010203')


@pytest.fixture
def here():
    """A socket in an empty namespace, in which the test's thread is."""
    namespaces.create('here')
    try:
        with opened('here') as namespace, inside(namespace), closing(Netlink()) as netlink:
            yield netlink
    finally:
        namespaces.delete('here')


@pytest.fixture
def there():
    namespaces.create('there')
    try:
        with opened('there') as namespace, netlink_in(namespace) as netlink:
            netlink.namespace = namespace
            yield netlink
    finally:
        namespaces.delete('there')


@pytest.fixture
def bridge(here):
    here.request(add_bridge('br', MAC))
    return find_link(here, 'br').index


def shown(command: str) -> list[dict]:
    return json.loads(run(f'ip -d -j {command}'))


def veth(name: str, there: Netlink, master: int = 0):
    return add_veth(name, MAC, Peer('eth0', there.namespace, mac_of(ADDRESS)), master)


def test_mac_is_derived_from_the_address():
    assert mac_of(ADDRESS) == MAC


def test_a_bridge_is_up_and_forwards_at_once(here, bridge):
    (link,) = shown('link show br')
    assert link['address'] == '0a:58:0a:01:02:03'
    assert 'UP' in link['flags']
    info = link['linkinfo']['info_data']
    assert (info['forward_delay'], info['stp_state'], info['mcast_snooping']) == (0, 0, 0)


def test_a_veth_has_its_ends_in_two_namespaces(here, there):
    here.request(veth('nk1', there))
    one, other = find_pair(here, 'nk1', there, 'eth0')
    assert (one.name, other.name) == ('nk1', 'eth0')
    assert json.loads(run('ip -j link show eth0', netns='there'))[0]['address'] == '0a:58:0a:01:02:03'


def test_a_pair_is_only_two_ends_of_the_same_veth(here, there):
    here.request(veth('nk1', there))
    there.request(delete_link('eth0'))
    here.request(veth('nk2', there))
    assert find_pair(here, 'nk1', there, 'eth0') is None
    assert find_pair(here, 'nk2', there, 'eth0')


def test_an_isolated_port_exchanges_frames_with_the_bridge_only(here, there, bridge):
    here.request(veth('nk1', there, bridge), isolate_port('nk1', 'whose'))
    (link,) = shown('link show nk1')
    assert (link['master'], link['ifalias'], 'UP' in link['flags']) == ('br', 'whose', True)
    port = link['linkinfo']['info_slave_data']
    assert port['isolated']
    assert not any(port[flag] for flag in ('learning', 'flood', 'mcast_flood', 'bcast_flood', 'hairpin'))


def test_forwarding_entries_are_static(here, there, bridge):
    here.request(veth('nk1', there, bridge))
    here.request(ensure_forwarding(find_link(here, 'nk1').index, bytes.fromhex('0a580a010209')))
    assert '0a:58:0a:01:02:09 dev nk1 master br static' in run('bridge fdb show')


def test_no_ipv6_address_of_its_own(here, there):
    here.request(veth('nk1', there), without_ipv6_addresses('nk1'), set_up('nk1'))
    assert shown('address show nk1')[0]['addr_info'] == []


def test_missing_and_present_links(here, bridge):
    assert find_link(here, 'absent') is None
    here.request(delete_link('absent'))
    assert list_names('b') == {'br'}
    assert {link.name for link in list_links(here)} >= {'lo', 'br'}


def test_marked_links_go_together(here, bridge):
    here.request(add_bridge('b1', MAC), add_bridge('b2', MAC), mark_dying('b1'), mark_dying('b2'), mark_dying('absent'))
    here.request(delete_dying())
    here.request(delete_dying())
    assert list_names('b') == {'br'}


def test_an_error_says_what_was_tried_and_what_the_kernel_says(here, bridge):
    with pytest.raises(FileExistsError, match='add bridge br: File exists'):
        here.request(add_bridge('br', MAC))
    with pytest.raises(OSError, match='add route 10.9.0.0/16 through link .*: .*[Nn]exthop') as raised:
        here.request(ensure_route(IPv4Network('10.9.0.0/16'), bridge, source=ADDRESS, via=IPv4Address('127.0.0.1')))
    assert raised.value.errno == errno.EINVAL


def test_a_failure_does_not_stop_what_comes_after(here, bridge):
    with pytest.raises(FileExistsError):
        here.request(add_bridge('br', MAC), add_bridge('b2', MAC))
    assert find_link(here, 'b2')


def test_addresses_routes_and_neighbours_are_idempotent(here, bridge):
    gateway, network = IPv4Address('10.1.0.1'), IPv4Network('10.96.0.0/16')
    for _ in range(2):
        here.request(
            set_up('lo'),
            ensure_address(bridge, ADDRESS),
            ensure_neighbour(bridge, gateway, mac_of(gateway)),
            ensure_default_route(bridge, gateway),
            ensure_route(network, bridge, source=ADDRESS),
            ensure_unreachable(IPv4Network('10.1.0.0/16')),
        )
    assert [a['local'] for a in shown('-4 address show br')[0]['addr_info']] == ['10.1.2.3']
    lines = run('ip route').replace('linkdown', '').splitlines()  # a bridge without ports has no carrier
    assert sorted(line.strip() for line in lines) == [
        '10.96.0.0/16 dev br proto 107 scope link src 10.1.2.3',
        'default via 10.1.0.1 dev br proto 107 onlink',
        'unreachable 10.1.0.0/16 proto 107',
    ]
    assert list_neighbours(here, bridge) == [gateway]
    assert {str(route.destination) for route in list_routes(here)} == {'0.0.0.0/0', '10.96.0.0/16', '10.1.0.0/16'}

    for _ in range(2):
        here.request(delete_neighbour(bridge, gateway), delete_route(network, bridge))
    assert list_neighbours(here, bridge) == []
    assert '10.96' not in run('ip route')


def test_somebody_elses_route_is_not_replaced(here, bridge):
    network = IPv4Network('10.96.0.0/16')
    here.request(set_up('lo'), ensure_address(bridge, ADDRESS))
    run('ip route add 10.96.0.0/16 dev lo')
    with pytest.raises(FileExistsError):
        here.request(add_route(network, bridge, IPv4Address('10.1.0.1'), ADDRESS))
    assert 'dev lo' in run('ip route show 10.96.0.0/16')
