from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from netkube.cluster.addressing import AddressPlan, families_asked_for, free_plan, parse_cidrs


def test_the_usual_plan():
    plan = AddressPlan.of('10.244.0.0/16', '10.96.0.0/16')

    assert plan.node_pod_cidr == IPv4Network('10.244.0.0/20')
    assert plan.gateway == IPv4Address('10.244.0.1')
    assert plan.machine_address == IPv4Address('10.244.240.1')
    assert plan.node_address == IPv4Address('10.244.240.2')
    assert plan.kubernetes_vip == IPv4Address('10.96.0.1')
    assert plan.dns_vip == IPv4Address('10.96.0.10')


def test_the_smallest_plan():
    plan = AddressPlan.of('192.168.7.0/24', '192.168.8.0/28')

    assert plan.node_pod_cidr == IPv4Network('192.168.7.0/28')
    assert plan.node_address == IPv4Address('192.168.7.242')
    assert plan.dns_vip == IPv4Address('192.168.8.10')


@pytest.mark.parametrize(
    ('pods', 'services', 'words'),
    [
        ('10.244.0.0/25', '10.96.0.0/16', 'pod CIDR 10.244.0.0/25 is too small: at least a /24'),
        ('10.244.0.0/16', '10.96.0.0/29', 'service CIDR 10.96.0.0/29 is too small: at least a /28'),
        ('10.244.0.0/16', '10.244.7.0/24', 'pod CIDR 10.244.0.0/16 and service CIDR 10.244.7.0/24 overlap'),
        ('10.244.0.1/16', '10.96.0.0/16', 'invalid pod CIDR 10.244.0.1/16: .* has host bits set'),
        ('kangaroo', '10.96.0.0/16', 'invalid pod CIDR kangaroo'),
        ('fd00::/64', '10.96.0.0/16', 'pod CIDR fd00::/64 is IPv6, but service CIDR 10.96.0.0/16 is IPv4'),
        ('fd00::/121', 'fd01::/112', 'pod CIDR fd00::/121 is too small: at least a /120'),
        ('fd00::/56', 'fd01::/48', 'service CIDR fd01::/48 is too large: at most a /64'),
        ('fe80::/56', 'fd01::/112', 'pod CIDR fe80::/56 is not of addresses that can be routed'),
        ('127.0.0.0/16', '10.96.0.0/16', 'pod CIDR 127.0.0.0/16 is not of addresses that can be routed'),
        ('10.244.0.0/16', '224.0.0.0/16', 'service CIDR 224.0.0.0/16 is not of addresses'),
        ('0.0.0.0/0', '10.96.0.0/16', 'overlap|not of addresses'),
    ],
)
def test_bad_cidrs_are_refused_in_words(pods, services, words):
    with pytest.raises(ValueError, match=words):
        AddressPlan.of(pods, services)


def test_the_first_free_plan_is_the_usual_one():
    assert free_plan([]) == AddressPlan.of('10.244.0.0/16', '10.96.0.0/16')


def test_a_plan_avoids_what_overlaps_either_of_its_networks():
    used = [IPv4Network('10.244.3.0/24'), IPv4Network('10.97.0.0/12', strict=False)]
    assert free_plan(used[:1]).pod_cidr == IPv4Network('10.245.0.0/16')
    assert free_plan(used).service_cidr == IPv4Network('10.112.0.0/16')


def test_thirty_two_clusters_fit_and_the_next_is_refused():
    used: list[IPv4Network] = []
    for _ in range(32):
        plan = free_plan(used)
        used += [plan.pod_cidr, plan.service_cidr]
    with pytest.raises(ValueError, match='--pod-cidr'):
        free_plan(used)


IPV6 = ('fd00:10:244::/56', 'fd00:10:96::/112')


def test_the_usual_ipv6_plan():
    plan = AddressPlan.of(*IPV6)

    assert plan.family == 'IPv6'
    assert plan.node_pod_cidr == IPv6Network('fd00:10:244::/60')
    assert plan.gateway == IPv6Address('fd00:10:244::1')
    assert (plan.machine_address, plan.node_address) == (
        IPv6Address('fd00:10:244:f0::1'), IPv6Address('fd00:10:244:f0::2'),
    )  # fmt: skip
    assert (plan.kubernetes_vip, plan.dns_vip) == (IPv6Address('fd00:10:96::1'), IPv6Address('fd00:10:96::a'))


def test_load_balancers_have_the_last_part_but_one():
    assert AddressPlan.of('10.244.0.0/16', '10.96.0.0/16').load_balancer_cidr == IPv4Network('10.244.224.0/20')
    assert AddressPlan.of(*IPV6).load_balancer_cidr == IPv6Network('fd00:10:244:e0::/60')


def test_ipv6_clusters_do_not_overlap_either():
    used = []
    for _ in range(32):
        plan = free_plan(used, 'IPv6')
        assert not plan.overlaps(used)
        used += [plan.pod_cidr, plan.service_cidr]
    with pytest.raises(ValueError, match='--pod-cidr'):
        free_plan(used, 'IPv6')


def test_what_ipv4_uses_is_nothing_to_ipv6():
    assert free_plan([IPv4Network('10.244.0.0/16')], 'IPv6') == AddressPlan.of(*IPV6)


@pytest.mark.parametrize(
    ('ip_family', 'pods', 'services', 'families'),
    [
        ('', '', '', ('IPv4',)),
        ('ipv6', '', '', ('IPv6',)),
        ('dual', '', '', ('IPv4', 'IPv6')),
        ('', 'fd00::/56', '', ('IPv6',)),
        ('', 'fd00::/56, 10.1.0.0/16', '', ('IPv6', 'IPv4')),
        ('dual', '', 'fd00::/112,10.1.0.0/16', ('IPv6', 'IPv4')),
    ],
)
def test_families(ip_family, pods, services, families):
    cidrs = {'--pod-cidr': parse_cidrs(pods), '--service-cidr': parse_cidrs(services)}
    assert families_asked_for(ip_family, cidrs) == families


@pytest.mark.parametrize(
    ('ip_family', 'pods', 'services', 'words'),
    [
        ('ipv4', 'fd00::/56', '', '--ip-family ipv4 and --pod-cidr fd00::/56 do not agree: it needs an IPv4 CIDR'),
        ('dual', '10.1.0.0/16', '', '--ip-family dual and --pod-cidr 10.1.0.0/16 do not agree: it needs an IPv4 and an '
                                    'IPv6 CIDR'),
        ('', '10.1.0.0/16', 'fd00::/112', '--pod-cidr 10.1.0.0/16 and --service-cidr fd00::/112 do not agree: both'),
        ('', '10.1.0.0/16,fd00::/56', 'fd01::/112,10.2.0.0/16', 'do not agree: .* in the same order'),
    ],
)  # fmt: skip
def test_families_that_contradict(ip_family, pods, services, words):
    cidrs = {'--pod-cidr': parse_cidrs(pods), '--service-cidr': parse_cidrs(services)}
    with pytest.raises(ValueError, match=words):
        families_asked_for(ip_family, cidrs)


@pytest.mark.parametrize('text', ['10.1.0.0/16,10.2.0.0/16', 'fd00::/56,fd01::/56', '10.1.0.0/16,fd00::/56,fd01::/56'])
def test_two_cidrs_are_of_different_families(text):
    with pytest.raises(ValueError, match='one CIDR, or one of IPv4 and one of IPv6'):
        parse_cidrs(text)
