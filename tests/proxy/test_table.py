"""The table in the kernel: whichever way it came about, it holds the same; and one Service's failure is its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netkube.network.namespaces import opened, setns, unshare
from netkube.network.nft import Nft, NftError
from netkube.proxy.frontends import NOTHING, Backends, Endpoint, Frontend, ServiceRules
from netkube.proxy.ruleset import LISTINGS, Elements, elements_of, parse_elements
from netkube.proxy.table import Table, plan_reset

KEYS = [('ns', name) for name in ('a', 'b', 'c')]


@pytest.fixture(scope='module', autouse=True)
def _own_namespace() -> Iterator[None]:
    with opened(None) as machine:
        unshare()
        yield
        setns(machine)


@pytest.fixture
def table() -> Table:
    table = Table('10.96.0.0/16', 'machine')
    table.nft.run('flush ruleset')
    return table


def rules(vip: str, endpoints: int, affinity_seconds: int = 0, protocol: str = 'tcp') -> ServiceRules:
    backends = Backends(tuple(Endpoint(f'10.244.0.{n + 2}', 8080) for n in range(endpoints)), affinity_seconds)
    return ServiceRules(frozenset([vip]), {Frontend(vip, protocol, 80): backends})


def kernel(nft: Nft) -> Elements:
    return {key: value for text in LISTINGS for key, value in parse_elements(nft.list_json(text)).items()}


def merged(wanted: dict) -> Elements:
    return {element: value for one in wanted.values() for element, value in elements_of(one).items()}


@st.composite
def service_rules_of(draw: st.DrawFn, index: int) -> ServiceRules:
    if draw(st.booleans()):
        return NOTHING
    addresses = [f'10.96.{index}.{n}' for n in draw(st.sets(st.integers(1, 3), min_size=1))]
    frontends = {
        Frontend(address, protocol, port): Backends(
            tuple(Endpoint(f'10.244.0.{n}', 8080 + port) for n in sorted(draw(st.sets(st.integers(2, 9), max_size=4)))),
            draw(st.sampled_from([0, 0, 10800, 60])),
            draw(st.integers(0, 9)) == 0,
        )
        for address in addresses
        for protocol in draw(st.sets(st.sampled_from(['tcp', 'udp', 'sctp'])))
        for port in draw(st.sets(st.sampled_from([80, 443])))
    }
    return ServiceRules(frozenset(addresses), frontends)


STATES = st.lists(st.tuples(*(service_rules_of(index) for index in range(len(KEYS)))), min_size=2, max_size=5)


@given(STATES, st.integers(0, 4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changes_lead_where_a_fresh_start_leads(table: Table, states: list, restart_at: int) -> None:
    table.nft.run('flush ruleset')
    held = dict.fromkeys(KEYS, NOTHING)
    assert table.reset({}) == {}
    for number, state in enumerate(states):
        wanted = dict(zip(KEYS, state, strict=True))
        if number == restart_at:
            table = Table('10.96.0.0/16', 'machine')
            assert table.reset(wanted) == {}
        else:
            assert table.change({key: (held[key], wanted[key]) for key in KEYS}) == {}
        held = wanted
        assert kernel(table.nft) == merged(wanted)


def test_a_reset_that_finds_everything_in_place_changes_no_element(table: Table) -> None:
    wanted = {KEYS[0]: rules('10.96.0.1', 2), KEYS[1]: rules('10.96.0.2', 3, 60)}
    table.reset(wanted)
    present = kernel(table.nft)
    changes, failures = plan_reset(present, wanted)
    assert failures == {}
    assert all(change.old == change.new for change in changes)


def test_what_the_kernel_refuses_is_said_and_holds_up_nothing_else(table: Table) -> None:
    table.reset({})
    new = {('ns', str(n)): rules(f'10.96.0.{n}', 1) for n in range(1, 9)}
    new['ns', '5'] = ServiceRules(frozenset(['10.96.0.5']), {Frontend('10.96.0.5', 'tcp', 99999): Backends()})

    failures = table.change({key: (NOTHING, one) for key, one in new.items()})

    assert list(failures) == [('ns', '5')]
    assert 'out of range' in failures['ns', '5']
    assert kernel(table.nft) == merged({key: one for key, one in new.items() if key != ('ns', '5')})


def test_of_two_services_with_one_address_the_first_gets_it(table: Table) -> None:
    wanted = {KEYS[0]: rules('10.96.0.1', 1), KEYS[1]: rules('10.96.0.1', 2)}
    failures = table.reset(wanted)
    assert list(failures) == [KEYS[1]]
    assert kernel(table.nft) == elements_of(wanted[KEYS[0]])


def test_an_address_passes_from_one_service_to_another_in_one_change(table: Table) -> None:
    old, new = rules('10.96.0.1', 2), rules('10.96.0.1', 3)
    table.reset({KEYS[1]: old})
    assert table.change({KEYS[0]: (NOTHING, new), KEYS[1]: (old, NOTHING)}) == {}
    assert kernel(table.nft) == elements_of(new)


def test_a_change_by_somebody_else_is_noticed(table: Table) -> None:
    table.reset({KEYS[0]: rules('10.96.0.1', 1)})
    table.change({KEYS[0]: (rules('10.96.0.1', 1), rules('10.96.0.1', 2))})
    assert not table.is_disturbed()

    Nft().run('delete element ip netkube cluster-ips { 10.96.0.1 }')
    assert table.is_disturbed()
    table.change({KEYS[1]: (NOTHING, rules('10.96.0.2', 1))})
    assert table.is_disturbed()  # a change of our own does not hide it

    table.reset({KEYS[0]: rules('10.96.0.1', 2), KEYS[1]: rules('10.96.0.2', 1)})
    assert not table.is_disturbed()


def test_a_table_that_cannot_be_amended_is_replaced(table: Table) -> None:
    table.nft.run('add table ip netkube; add set ip netkube services { type ipv4_addr; }')
    assert table.reset({KEYS[0]: rules('10.96.0.1', 1)}) == {}
    assert kernel(table.nft) == elements_of(rules('10.96.0.1', 1))


def test_a_kernel_without_the_table_is_an_error(table: Table) -> None:
    with pytest.raises(NftError):
        Table('10.96.0.0/16', 'a name that no link can have').reset({})
