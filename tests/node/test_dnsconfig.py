"""/etc/resolv.conf and /etc/hosts, as text."""

from __future__ import annotations

import pytest
from pods import pod

from netkube.node.dnsconfig import (
    HOSTS,
    PodHostname,
    ResolverConfig,
    fitted,
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
        ({'dnsPolicy': 'ClusterFirst', 'hostNetwork': True}, MACHINES),
        ({'dnsPolicy': 'ClusterFirstWithHostNet', 'hostNetwork': True}, CLUSTER),
        ({'dnsPolicy': 'Default'}, MACHINES),
        ({'dnsPolicy': 'None', 'dnsConfig': {'nameservers': ['8.8.8.8']}}, 'nameserver 8.8.8.8\n'),
        ({'dnsConfig': CONFIG}, MERGED),
    ],
)
def test_resolv_conf(spec, expected):
    found = resolver_config(pod(**spec), domain='cluster.local', dns_vip='10.96.0.10', machine=MACHINE)
    assert str(found) == expected


def test_an_ipv6_nameserver_and_options_without_a_value():
    spec = {'dnsPolicy': 'None', 'dnsConfig': {'nameservers': ['2001:db8::1'], 'options': [{'name': 'edns0'}]}}
    found = resolver_config(pod(**spec), domain='cluster.local', dns_vip='fd00::a', machine=MACHINE)
    assert str(found) == 'nameserver 2001:db8::1\noptions edns0\n'
    found = resolver_config(pod(), domain='cluster.local', dns_vip='fd00::a', machine=ResolverConfig())
    assert found.nameservers == ('fd00::a',)


def test_what_a_resolv_conf_may_hold_is_kept_and_the_rest_is_said():
    few = ResolverConfig(('1', '2', '3'), ('a', 'b'), ('ndots:5',))
    assert fitted(few) == (few, [])
    many, problems = fitted(ResolverConfig(('1', '2', '3', '4'), tuple(map(str, range(33)))))
    assert (many.nameservers, len(many.searches)) == (('1', '2', '3'), 32)
    assert problems[0].endswith('have been omitted, the applied nameserver line is: 1 2 3')
    assert problems[1].startswith('Search Line limits were exceeded') and problems[1].endswith('30 31')
    long, problems = fitted(ResolverConfig(searches=tuple(f'{n}'.rjust(200, 'x') for n in range(20))))
    assert (len(long.searches), len(problems)) == (10, 1)


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
