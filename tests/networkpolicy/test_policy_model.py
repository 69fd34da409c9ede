"""The model without a kernel: what a policy becomes, and that small changes lead where a new start would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netkube.network import namespaces
from netkube.network.nft import Nft
from netkube.networkpolicy.changes import advance, encoded, everything, nothing, render_changes
from netkube.networkpolicy.model import Model, Touched
from netkube.networkpolicy.policies import Pod, PortRange, parse_pod, parse_policy
from netkube.networkpolicy.ruleset import NAME_LENGTH, isolation_chain, policy_chain
from netkube.networkpolicy.table import Changes, Table

HTTP = PortRange('tcp', 80, name='http')


def policy(name: str = 'p', namespace: str = 'ns', **spec: Any) -> Any:
    return parse_policy({'metadata': {'namespace': namespace, 'name': name}, 'spec': {'podSelector': {}, **spec}})


def pod(name: str, address: str, namespace: str = 'ns', ports: tuple[PortRange, ...] = (), **labels: str) -> Pod:
    return Pod((namespace, name), labels, (address,), ports)


def model_of(*pods: Pod, policies: Any = (), resolvers: tuple[str, ...] = ()) -> Model:
    model = Model(resolvers)
    for name in ('ns', 'other', 'kube-system'):
        model.set_namespace(name, {'kubernetes.io/metadata.name': name})
    for one in policies:
        model.set_policy(one.key, one)
    for one in pods:
        model.set_pod(one.key, one)
    return model


def rules_of(**spec: Any) -> tuple[str, ...]:
    contents = model_of(policies=[policy(**spec)]).contents
    return contents.chains['ingress-ns/p']


@pytest.mark.parametrize('rule, rules', [
    ({}, ('accept',)),
    ({'ports': [{'port': 80}]}, ('meta l4proto tcp ct reply proto-src 80 accept',)),
    ({'ports': [{'port': 80, 'endPort': 90, 'protocol': 'UDP'}]},
     ('meta l4proto udp ct reply proto-src 80-90 accept',)),
    ({'ports': [{'protocol': 'SCTP'}]}, ('meta l4proto sctp accept',)),
    ({'ports': [{'port': 'web'}]},
     ('meta l4proto tcp ct reply ip saddr . ct reply proto-src @port4-tcp-web accept',
      'meta l4proto tcp ct reply ip6 saddr . ct reply proto-src @port6-tcp-web accept')),
    ({'from': [{'ipBlock': {'cidr': '10.1.2.3/8', 'except': ['10.1.0.0/17', '10.1.128.0/17']}}]},
     ('ct original ip saddr 10.0.0.0/8 ct original ip saddr != { 10.1.0.0/16 } accept',)),
    ({'from': [{'ipBlock': {'cidr': '2001:DB8::/32'}}], 'ports': [{'port': 1}, {'port': 2}]},
     ('ct original ip6 saddr 2001:db8::/32 meta l4proto tcp ct reply proto-src 1 accept',
      'ct original ip6 saddr 2001:db8::/32 meta l4proto tcp ct reply proto-src 2 accept')),
])  # fmt: skip
def test_what_a_rule_becomes(rule: Any, rules: tuple[str, ...]) -> None:
    assert rules_of(ingress=[rule]) == rules


def test_without_rules_nothing_is_accepted() -> None:
    assert rules_of(policyTypes=['Ingress']) == ()


def test_policies_of_the_same_selectors_share_a_set() -> None:
    peers = [{'namespaceSelector': {}, 'podSelector': {'matchLabels': {'a': 'b'}}}]
    policies = [policy('one', ingress=[{'from': peers}]), policy('two', 'other', ingress=[{'from': peers}])]
    contents = model_of(pod('x', '10.0.0.1', a='b'), policies=policies).contents

    names = [name for name in contents.sets if name.startswith('pods4')]
    assert len(names) == 1 and contents.elements[names[0]] == {'10.0.0.1': ''}


def test_a_pods_label_changes_elements_only() -> None:
    friends = policy(ingress=[{'from': [{'podSelector': {'matchLabels': {'role': 'friend'}}}]}])
    model = model_of(pod('x', '10.0.0.1'), pod('y', '10.0.0.2'), policies=[friends])
    model.touched = Touched()

    model.set_pod(('ns', 'x'), pod('x', '10.0.0.1', role='friend'))

    assert not model.touched.chains and not model.touched.sets
    assert [key for _, key in model.touched.places] == ['10.0.0.1']


def test_pods_isolated_by_the_same_policies_share_a_chain_that_names_them() -> None:
    policies = [policy('one'), policy('two')]
    contents = model_of(pod('x', '10.0.0.1'), pod('y', 'fd00::1'), policies=policies).contents

    chain = isolation_chain('ingress', frozenset(one.key for one in policies))
    assert contents.chains[chain] == (
        'jump ingress-ns/one', 'jump ingress-ns/two', 'drop comment "ingress isolated by ns/one, ns/two"',
    )  # fmt: skip
    assert contents.elements['ingress4'] == {'10.0.0.1': f'goto {chain}'}
    assert contents.elements['ingress6'] == {'fd00::1': f'goto {chain}'}


def test_named_ports_are_those_of_each_pod() -> None:
    named = policy(ingress=[{'ports': [{'port': 'http'}]}])
    other = PortRange('tcp', 8080, name='http')
    contents = model_of(pod('x', '10.0.0.1', ports=(HTTP,)), pod('y', '10.0.0.2', ports=(other,)), policies=[named])
    assert contents.contents.elements['port4-tcp-http'] == {'10.0.0.1 . 80': '', '10.0.0.2 . 8080': ''}


def test_long_names_are_cut_and_stay_different() -> None:
    one, two = (policy_chain('ingress', ('n' * 63, 'p' * 252 + end)) for end in 'ab')
    assert one != two and max(len(one), len(two)) < NAME_LENGTH + 20


@pytest.mark.parametrize('phase, found', [('Running', True), ('Pending', True), ('Succeeded', False)])
def test_pods_that_have_ended_have_no_address(phase: str, found: bool) -> None:
    status = {'phase': phase, 'podIPs': [{'ip': '10.0.0.1'}]}
    parsed = parse_pod({'metadata': {'namespace': 'ns', 'name': 'x'}, 'spec': {}, 'status': status})
    assert (parsed is not None) == found


@pytest.mark.parametrize('key, data', [
    ('10.0.0.1', b'\x0a\0\0\1'), ('10.0.0.1 . 80', b'\x0a\0\0\1\0\x50\0\0'),
    ('10.0.0.1 . udp', b'\x0a\0\0\1\x11\0\0\0'), ('fd00::1', b'\xfd' + b'\0' * 14 + b'\1'),
])  # fmt: skip
def test_keys_as_the_kernel_has_them(key: str, data: bytes) -> None:
    assert encoded(key) == data


# any order of changes leads where a start from nothing does

LABELS = st.dictionaries(st.sampled_from('ab'), st.sampled_from('xy'), max_size=2)
SELECTORS = st.one_of(
    st.just({}),
    st.builds(lambda labels: {'matchLabels': labels}, LABELS),
    st.sampled_from('ab').map(lambda key: {'matchExpressions': [{'key': key, 'operator': 'Exists'}]}),
)
PEERS = st.one_of(
    st.builds(lambda one: {'podSelector': one}, SELECTORS),
    st.builds(lambda one: {'namespaceSelector': one}, SELECTORS),
    st.builds(lambda one, two: {'podSelector': one, 'namespaceSelector': two}, SELECTORS, SELECTORS),
    st.just({'ipBlock': {'cidr': '10.0.0.0/8'}}),
)
PORTS = st.sampled_from([{'port': 'http'}, {'port': 80}, {'protocol': 'UDP'}, {'port': 53, 'protocol': 'UDP'}])


def rules(peers: str) -> st.SearchStrategy[Any]:
    rule = st.builds(lambda a, b: {peers: a, 'ports': b}, st.lists(PEERS, max_size=2), st.lists(PORTS, max_size=2))
    return st.lists(rule, max_size=2)


POLICIES = st.builds(
    lambda selector, types, ingress, egress: {
        'podSelector': selector, 'policyTypes': types, 'ingress': ingress, 'egress': egress,
    },
    SELECTORS, st.sampled_from([['Ingress'], ['Egress'], ['Ingress', 'Egress']]), rules('from'), rules('to'),
)  # fmt: skip
NAMESPACES = st.sampled_from(['ns', 'other', 'kube-system'])
CHANGES = st.one_of(
    st.tuples(st.just('pod'), NAMESPACES, st.integers(1, 4), st.one_of(st.none(), LABELS)),
    st.tuples(st.just('namespace'), NAMESPACES, st.just(0), st.one_of(st.none(), LABELS)),
    st.tuples(st.just('policy'), NAMESPACES, st.integers(1, 3), st.one_of(st.none(), POLICIES)),
)


def apply(model: Model, change: Any) -> None:
    kind, namespace, number, value = change
    if kind == 'namespace':
        model.set_namespace(namespace, value)
    elif kind == 'policy':
        key = (namespace, f'p{number}')
        model.set_policy(key, None if value is None else policy(key[1], namespace, **value))
    else:
        address = f'10.{len(namespace)}.0.{number}'  # each Pod's own
        key = (namespace, f'x{number}')
        model.set_pod(key, None if value is None else pod(key[1], address, namespace, (HTTP,), **value))


@settings(max_examples=200, deadline=None)
@given(st.lists(CHANGES, max_size=12))
def test_changes_one_by_one_lead_where_a_new_start_does(changes: list[Any]) -> None:
    model, applied = Model(['10.96.0.10']), nothing()
    advance(applied, model.contents, everything(model.contents))
    for change in changes:
        before = applied.copy()
        model.touched = Touched()
        apply(model, change)
        text = render_changes(applied, model.contents, model.touched)
        advance(applied, model.contents, model.touched)
        assert applied == model.contents, 'what was not touched has changed'
        assert bool(text) == (before != applied)
    fresh = Model(['10.96.0.10'])
    last = {change[:3]: change for change in changes}
    for kind in ('policy', 'pod', 'namespace'):  # in another order
        for change in last.values():
            if change[0] == kind and change[3] is not None:
                apply(fresh, change)
    assert fresh.contents == model.contents


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(CHANGES, min_size=1, max_size=4), max_size=6))
def test_the_kernel_takes_any_order_of_changes(batches: list[Any]) -> None:
    with node() as namespace, namespaces.inside(namespace):
        table = Table(['10.96.0.10', 'fd00:96::a'])
        assert table.reset(Changes(namespaces={'ns': {}, 'other': {}, 'kube-system': {}})) == {}
        for batch in batches:
            changes = Changes()
            for kind, name, number, value in batch:
                if kind == 'namespace':
                    changes.namespaces[name] = value
                elif kind == 'policy':
                    key = (name, f'p{number}')
                    changes.policies[key] = None if value is None else policy(key[1], name, **value)
                else:
                    one = pod(f'x{number}', f'10.{len(name)}.0.{number}', name, (HTTP,), **(value or {}))
                    changes.pods[one.key] = None if value is None else one
            assert table.change(changes) == {}
            Nft().run('add table ip somebody; delete table ip somebody')  # so that it has to look
            assert not table.is_disturbed()


@contextmanager
def node() -> Iterator[int]:
    namespaces.create('np-model')
    try:
        with namespaces.opened('np-model') as namespace:
            yield namespace
    finally:
        namespaces.delete('np-model')
