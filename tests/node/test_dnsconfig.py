"""/etc/resolv.conf and /etc/hosts, as text."""

from __future__ import annotations

import pytest
from pods import pod

from netkube.node.dnsconfig import (
    HOSTS,
    PodHostname,
    ResolverConfig,
    hosts_file,
    parse_resolv_conf,
    pod_hostname,
    resolver_config,
)

MACHINE = ResolverConfig(('192.0.2.1',), ('example.org',), ('rotate',))
CLUSTER = """\
search ns.svc.cluster.local svc.cluster.local cluster.local example.org
nameserver 10.96.0.10
options ndots:5
"""
MACHINES = 'search example.org\nnameserver 192.0.2.1\noptions rotate\n'
CONFIG = {
    'nameservers': ['10.96.0.10', '8.8.8.8'],
    'searches': ['more.example'],
    'options': [{'name': 'ndots', 'value': '2'}, {'name': 'edns0'}],
}
MERGED = """\
search ns.svc.cluster.local svc.cluster.local cluster.local example.org more.example
nameserver 10.96.0.10
nameserver 8.8.8.8
options ndots:2 edns0
"""


@pytest.mark.parametrize(
    'spec, expected',
    [
        ({}, CLUSTER),
        ({'dnsPolicy': 'ClusterFirst'}, CLUSTER),
        ({'dnsPolicy': 'ClusterFirst', 'hostNetwork': True}, CLUSTER),  # no Pod is on the machine's network yet
        ({'dnsPolicy': 'ClusterFirstWithHostNet', 'hostNetwork': True}, CLUSTER),
        ({'dnsPolicy': 'Default'}, MACHINES),
        ({'dnsPolicy': 'None', 'dnsConfig': {'nameservers': ['8.8.8.8']}}, 'nameserver 8.8.8.8\n'),
        ({'dnsConfig': CONFIG}, MERGED),
    ],
)
def test_resolv_conf(spec, expected):
    found = resolver_config(pod(**spec), domain='cluster.local', dns_vip='10.96.0.10', machine=MACHINE)
    assert str(found) == expected


def test_the_machines_resolv_conf_is_parsed():
    text = '# comment\nnameserver 192.0.2.1 # why\nsearch a b.\nsearch example.org .\noptions rotate\n\nsortlist x\n'
    assert parse_resolv_conf(text) == MACHINE


@pytest.mark.parametrize(
    'spec, expected',
    [
        ({}, PodHostname('p', '')),
        ({'hostname': 'h'}, PodHostname('h', '')),
        ({'hostname': 'h', 'subdomain': 's'}, PodHostname('h', 's.ns.svc.cluster.local')),
        ({'subdomain': 's', 'setHostnameAsFQDN': True},
         PodHostname('p.s.ns.svc.cluster.local', 's.ns.svc.cluster.local')),
        ({'hostnameOverride': 'o', 'hostname': 'h', 'subdomain': 's'}, PodHostname('o', '')),
    ],
)  # fmt: skip
def test_hostname(spec, expected):
    assert pod_hostname(pod(**spec), 'cluster.local') == expected


def test_a_long_name_is_cut_at_63_characters():
    long = pod()
    long['metadata']['name'] = 'a' * 62 + '-bcd'
    assert pod_hostname(long, 'cluster.local').hostname == 'a' * 62


def test_hosts():
    assert hosts_file(pod(), ['10.1.0.2', 'fd00::2'], 'cluster.local') == HOSTS + '10.1.0.2\tp\nfd00::2\tp\n'
    full = pod(subdomain='s', hostAliases=[{'ip': '192.0.2.7', 'hostnames': ['a', 'b']}])
    assert hosts_file(full, ['10.1.0.2'], 'cluster.local') == (
        HOSTS + '10.1.0.2\tp.s.ns.svc.cluster.local\tp\n\n# Entries added by HostAliases.\n192.0.2.7\ta\tb\n'
    )
