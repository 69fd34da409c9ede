import pytest

from netkube.network import forwarding, namespaces, sysctl
from netkube.network.forwarding import FORWARD, REDIRECTS
from netkube.network.namespaces import inside, opened

LO = 'net/ipv4/conf/lo/forwarding'


@pytest.fixture(autouse=True)
def machine():
    """A namespace of its own, with forwarding off."""
    namespaces.create('machine')
    try:
        with opened('machine') as namespace, inside(namespace):
            sysctl.write(FORWARD, 0)
            yield
    finally:
        namespaces.delete('machine')


@pytest.fixture
def record(tmp_path):
    return tmp_path / 'machine.json'


def test_on_and_back(record):
    forwarding.enable(record)
    assert sysctl.read(FORWARD) == '1'
    forwarding.restore(record)
    assert sysctl.read(FORWARD) == '0'
    assert not record.exists()


def test_what_was_on_before_is_not_ours(record):
    sysctl.write(FORWARD, 1)
    forwarding.enable(record)
    forwarding.restore(record)
    assert sysctl.read(FORWARD) == '1'


def test_everything_that_ip_forward_changes_comes_back(record):
    sysctl.write(REDIRECTS, 0)
    sysctl.write(LO, 1)
    forwarding.enable(record)
    forwarding.restore(record)
    assert (sysctl.read(FORWARD), sysctl.read(REDIRECTS), sysctl.read(LO)) == ('0', '0', '1')


def test_without_the_record_nothing_is_changed(record):
    forwarding.enable(record)
    record.unlink()
    forwarding.restore(record)
    assert sysctl.read(FORWARD) == '1'


def test_a_second_enable_keeps_the_first_record(record):
    forwarding.enable(record)
    before = record.read_text()
    forwarding.enable(record)
    assert record.read_text() == before


def test_a_crash_between_record_and_setting_is_harmless(record):
    forwarding.enable(record)
    sysctl.write(FORWARD, 0)
    forwarding.restore(record)
    assert sysctl.read(FORWARD) == '0'
