import pytest

from netkube.network import forwarding, namespaces, sysctl
from netkube.network.forwarding import SWITCHES
from netkube.network.namespaces import inside, opened

IPV4, IPV6 = SWITCHES['IPv4'], SWITCHES['IPv6']
REDIRECTS = 'net/ipv4/conf/all/accept_redirects'
ACCEPT_RA = 'net/ipv6/conf/{}/accept_ra'


@pytest.fixture(autouse=True)
def machine():
    """A namespace of its own, with forwarding off."""
    namespaces.create('machine')
    try:
        with opened('machine') as namespace, inside(namespace):
            for switch in SWITCHES.values():
                sysctl.write(switch, 0)
            yield
    finally:
        namespaces.delete('machine')


@pytest.fixture
def record(tmp_path):
    return tmp_path / 'machine.json'


@pytest.fixture(params=[('IPv4',), ('IPv6',), ('IPv4', 'IPv6')], ids='-'.join)
def families(request):
    return request.param


def are(families):
    return {sysctl.read(SWITCHES[family]) for family in families}


def test_on_and_back(record, families):
    forwarding.enable(record, families)
    assert are(families) == {'1'}
    assert are(set(SWITCHES) - set(families)) <= {'0'}
    forwarding.restore(record)
    assert are(SWITCHES) == {'0'}
    assert not record.exists()


def test_what_was_on_before_is_not_ours(record, families):
    for family in families:
        sysctl.write(SWITCHES[family], 1)
    forwarding.enable(record, families)
    forwarding.restore(record)
    assert are(families) == {'1'}


def test_everything_that_ip_forward_changes_comes_back(record):
    sysctl.write(REDIRECTS, 0)
    sysctl.write('net/ipv4/conf/lo/forwarding', 1)
    forwarding.enable(record)
    forwarding.restore(record)
    settings = IPV4, REDIRECTS, 'net/ipv4/conf/lo/forwarding'
    assert [sysctl.read(setting) for setting in settings] == ['0', '0', '1']


def test_a_machine_that_has_its_ipv6_from_router_advertisements_goes_on_listening_to_them(record):
    sysctl.write(ACCEPT_RA.format('lo'), 1)
    sysctl.write(ACCEPT_RA.format('default'), 0)
    forwarding.enable(record, ['IPv6'])
    assert [sysctl.read(ACCEPT_RA.format(name)) for name in ('lo', 'default')] == ['2', '0']
    forwarding.restore(record)
    assert [sysctl.read(ACCEPT_RA.format(name)) for name in ('lo', 'default')] == ['1', '0']


def test_without_the_record_nothing_is_changed(record, families):
    forwarding.enable(record, families)
    record.unlink()
    forwarding.restore(record)
    assert are(families) == {'1'}


def test_a_second_enable_keeps_the_first_record(record, families):
    forwarding.enable(record, families)
    before = record.read_text()
    forwarding.enable(record, families)
    assert record.read_text() == before


def test_a_second_cluster_with_another_family_adds_it(record):
    forwarding.enable(record, ['IPv4'])
    forwarding.enable(record, ['IPv4', 'IPv6'])
    assert are(SWITCHES) == {'1'}
    forwarding.restore(record)
    assert are(SWITCHES) == {'0'}


def test_a_crash_between_record_and_setting_is_harmless(record, families):
    forwarding.enable(record, families)
    for family in families:
        sysctl.write(SWITCHES[family], 0)
    forwarding.restore(record)
    assert are(families) == {'0'}


def test_after_such_a_crash_the_next_start_goes_on(record, families):
    forwarding.enable(record, families)
    before = record.read_text()
    for family in families:
        sysctl.write(SWITCHES[family], 0)
    forwarding.enable(record, families)
    assert are(families) == {'1'}
    assert record.read_text() == before
