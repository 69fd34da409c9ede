"""What our own rtnetlink messages made, as pyroute2 reads it back from the kernel."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from pyroute2 import IPRoute

from netkube.network import namespaces
from netkube.network.addresses import ensure_address, mac_of
from netkube.network.links import Peer, add_bridge, add_veth, get_link, set_up
from netkube.network.netlink import netlink_in
from netkube.network.routes import ensure_route

GATEWAY, POD = IPv4Address('10.9.0.1'), IPv4Address('10.9.0.2')


@pytest.fixture
def reader():
    """pyroute2 in a namespace that has a bridge with an address, a veth on it, and a route."""
    namespaces.create('read')
    try:
        with namespaces.opened('read') as here, netlink_in(here) as netlink:
            netlink.request(add_bridge('bridge', mac_of(GATEWAY)))
            bridge = get_link(netlink, 'bridge').index
            netlink.request(
                add_veth('port', mac_of(GATEWAY), Peer('peer', here, mac_of(POD)), bridge),
                set_up('bridge'),
                ensure_address(bridge, GATEWAY),
                ensure_route(IPv4Network((POD, 32)), bridge),
            )
            with namespaces.inside(here):
                found = IPRoute()
        with found:
            yield found
    finally:
        namespaces.delete('read')


def test_links(reader):
    links = {link.get('ifname'): link for link in reader.get_links()}
    assert links['bridge'].get(('linkinfo', 'kind')) == 'bridge'
    assert links['bridge'].get('address') == ':'.join(f'{byte:02x}' for byte in mac_of(GATEWAY))
    assert links['port'].get('master') == links['bridge']['index']
    assert links['port'].get('link') == links['peer']['index']


def test_addresses_and_routes(reader):
    (bridge,) = reader.link_lookup(ifname='bridge')
    (address,) = reader.get_addr(index=bridge)
    assert (address.get('address'), address['prefixlen']) == (str(GATEWAY), 32)
    routes = [route for route in reader.get_routes(family=2, oif=bridge) if route.get('dst') == str(POD)]
    assert [route['dst_len'] for route in routes] == [32]
