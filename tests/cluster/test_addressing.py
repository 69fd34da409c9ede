from ipaddress import IPv4Address, IPv4Network

import pytest

from netkube.cluster.addressing import AddressPlan, free_plan


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
