"""The table in the kernel: whichever way it came about, it holds the same; and one Service's failure is its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netkube.network.namespaces import opened, setns, unshare
from netkube.network.nft import Nft, NftError
from netkube.proxy.endpoints import Backends, Endpoint
from netkube.proxy.frontends import Frontend, ServiceRules
from netkube.proxy.proxy import networks_of
from netkube.proxy.ruleset import Elements, elements_of
from netkube.proxy.table import Table

NETWORKS = networks_of(['10.96.0.0/16', 'fd00:10:96::/112'], ['10.244.224.0/20'])
KEYS = [('ns', name) for name in ('a', 'b', 'c')]


@pytest.fixture(scope='module', autouse=True)
def _own_namespace() -> Iterator[None]:
    with opened(None) as machine:
        unshare()
        yield
        setns(machine)


@pytest.fixture
def table() -> Table:
    table = Table(NETWORKS)
    table.nft.run('flush ruleset')
    return table


def rules(vip: str, endpoints: int, affinity_seconds: int = 0, protocol: str = 'tcp', port: int = 80) -> Elements:
    backends = Backends(tuple(Endpoint(f'10.244.0.{n + 2}', 8080) for n in range(endpoints)), affinity_seconds)
    return elements_of(ServiceRules(frozenset([vip]), {Frontend(vip, protocol, port): backends}))


def kernel(table: Table) -> Elements:
    return dict(table.present())


def merged(wanted: dict) -> Elements:
    return {element: value for one in wanted.values() for element, value in one.items()}


@st.composite
def backends_of(draw: st.DrawFn, prefix: str) -> Backends:
    numbers = sorted(draw(st.sets(st.integers(2, 9), max_size=4)))
    endpoints = tuple(Endpoint(f'{prefix}{number}', 8080) for number in numbers)
    return Backends(endpoints, draw(st.sampled_from([0, 0, 10800, 60])), draw(st.integers(0, 9)) == 0)


@st.composite
def service_elements(draw: st.DrawFn, index: int) -> Elements:
    """Of a Service with any addresses of any family, node ports, endpoints of its own outside, and source ranges."""
    rules = ServiceRules(frozenset(), {}, {}, {})
    addresses: set[str] = set()
    for family, vips, pods in (('IPv4', '10.96.0.', '10.244.0.'), ('IPv6', 'fd00:10:96::', 'fd00:10:244::')):
        own = {f'{vips}{index + 1}{n}' for n in draw(st.sets(st.integers(1, 3)))}
        addresses |= own
        for address in (*own, ''):
            for protocol in draw(st.sets(st.sampled_from(['tcp', 'udp', 'sctp']))):
                frontend = Frontend(address, protocol, 80 if address else 30000 + index, family)
                rules.frontends[frontend] = draw(backends_of(pods))
                if draw(st.booleans()):
                    rules.outside[frontend] = draw(backends_of(pods))
                if address and draw(st.booleans()):
                    ranges = ['10.0.0.0/8', '192.0.2.7/32'] if family == 'IPv4' else ['2001:db8::/32']
                    rules.sources[frontend] = tuple(draw(st.lists(st.sampled_from(ranges), unique=True)))
    return elements_of(msgspec.structs.replace(rules, addresses=frozenset(addresses)))


STATES = st.lists(st.tuples(*(service_elements(index) for index in range(len(KEYS)))), min_size=2, max_size=5)


@given(STATES, st.integers(0, 4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changes_lead_where_a_fresh_start_leads(table: Table, states: list, restart_at: int) -> None:
    table.nft.run('flush ruleset')
    held = dict[tuple[str, str], Elements](dict.fromkeys(KEYS, {}))
    assert table.reset({}) == {}
    for number, state in enumerate(states):
        wanted = dict(zip(KEYS, state, strict=True))
        if number == restart_at:
            table = Table(NETWORKS)
            assert table.reset(wanted) == {}
        else:
            assert table.change({key: (held[key], wanted[key]) for key in KEYS}) == {}
        held = wanted
        assert kernel(table) == merged(wanted)


def test_a_reset_that_finds_everything_in_place_changes_no_element(table: Table) -> None:
    wanted = {KEYS[0]: rules('10.96.0.1', 2), KEYS[1]: rules('10.96.0.2', 3, 60)}
    table.reset(wanted)
    again, texts = Table(NETWORKS), []
    with patch.object(Nft, 'run', side_effect=texts.append):
        again.begin()
        assert again.fill({KEYS[0]: wanted[KEYS[0]]}) == {}
        assert again.fill({KEYS[1]: wanted[KEYS[1]]}) == {}
        again.finish()
    touched = {word for text in texts for word in re.findall(r'element ip6? netkube (\S+)', text)}
    assert touched == {'chains', 'outside-chains', 'node-chains', 'outside-node-chains'}
    assert not [text for text in texts if 'delete element' in text]


def test_what_the_kernel_refuses_is_said_and_holds_up_nothing_else(table: Table) -> None:
    table.reset({})
    new = {('ns', str(n)): rules(f'10.96.0.{n}', 1) for n in range(1, 9)}
    new['ns', '5'] = rules('10.96.0.5', 1, port=99999)

    failures = table.change({key: ({}, one) for key, one in new.items()})

    assert list(failures) == [('ns', '5')]
    assert 'out of range' in failures['ns', '5']
    assert kernel(table) == merged({key: one for key, one in new.items() if key != ('ns', '5')})


def test_an_address_passes_from_one_service_to_another_in_one_change(table: Table) -> None:
    old, new = rules('10.96.0.1', 2), rules('10.96.0.1', 3)
    table.reset({KEYS[1]: old})
    assert table.change({KEYS[0]: ({}, new), KEYS[1]: (old, {})}) == {}
    assert kernel(table) == new


def test_a_change_by_somebody_else_is_noticed(table: Table) -> None:
    table.reset({KEYS[0]: rules('10.96.0.1', 1)})
    table.change({KEYS[0]: (rules('10.96.0.1', 1), rules('10.96.0.1', 2))})
    assert not table.is_disturbed()

    Nft().run('delete element ip netkube cluster-ips { 10.96.0.1 }')
    assert table.is_disturbed()
    table.change({KEYS[1]: ({}, rules('10.96.0.2', 1))})
    assert table.is_disturbed()  # a change of our own does not hide it

    table.reset({KEYS[0]: rules('10.96.0.1', 2), KEYS[1]: rules('10.96.0.2', 1)})
    assert not table.is_disturbed()


def test_a_table_that_cannot_be_amended_is_replaced(table: Table) -> None:
    table.nft.run('add table ip netkube; add set ip netkube services { type ipv4_addr; }')
    assert table.reset({KEYS[0]: rules('10.96.0.1', 1)}) == {}
    assert kernel(table) == rules('10.96.0.1', 1)


def test_a_kernel_without_the_table_is_an_error(table: Table) -> None:
    with pytest.raises(NftError):
        Table(networks_of(['10.96.0.0/16'], uplink='a name that no link can have')).reset({})


@pytest.mark.parametrize(
    'foreign', ['add table inet other', 'add table ip other; add set ip other s { type ipv4_addr; }']
)
def test_what_others_do_in_tables_of_their_own_does_not_disturb(table: Table, foreign: str) -> None:
    table.reset({KEYS[0]: rules('10.96.0.1', 2)})
    Nft().run(foreign)
    table.change({KEYS[1]: ({}, rules('10.96.0.2', 3, 60))})
    assert not table.is_disturbed()


@pytest.mark.parametrize(
    'damage',
    [
        'delete element ip netkube endpoints { 10.96.0.1 . tcp . 80 . 0 }',
        'delete element ip netkube services { 10.96.0.1 . tcp . 80 };'
        ' add element ip netkube services { 10.96.0.1 . tcp . 80 : 0 }',
        'delete element ip netkube chains { 2 }',
        'add element ip6 netkube cluster-ips { fd00:10:96::7 }',
        'add element ip netkube sources { 10.96.0.1 . tcp . 80 . 10.0.0.0/8 }',
        'add rule ip netkube pick-2 drop',
        'insert rule ip6 netkube services accept',
        'flush set ip netkube same-digit',
        'add chain ip netkube another { type filter hook forward priority 0; policy drop; }',
        'add table ip netkube { flags dormant; }',
        'delete table ip6 netkube',
    ],
)
def test_whatever_others_do_to_ours_is_noticed_and_undone(table: Table, damage: str) -> None:
    wanted = {KEYS[0]: rules('10.96.0.1', 2)}
    table.reset(wanted)
    Nft().run(damage)
    assert table.is_disturbed()

    table.reset(wanted)
    assert kernel(table) == merged(wanted)
    assert not table.is_disturbed()
