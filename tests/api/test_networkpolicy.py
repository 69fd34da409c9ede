"""NetworkPolicies in the API: what is filled in, what is refused and in which words, what is printed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from netkube.api.printing import table_row
from netkube.api.resources import NETWORKPOLICIES
from netkube.api.strategies import prepare_update
from netkube.api.validation import validate_update

from .objects import created, faults, named, stored

RANGE = 'must be between 1 and 65535, inclusive'
CIDR = 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'


def policy(**spec: Any) -> dict[str, Any]:
    return named() | {'spec': {'podSelector': {}, **spec}}


def ingress(**rule: Any) -> dict[str, Any]:
    return policy(ingress=[rule])


def peer(**peer: Any) -> dict[str, Any]:
    return ingress(**{'from': [peer]})


def block(cidr: str, *exceptions: str) -> dict[str, Any]:
    return peer(ipBlock={'cidr': cidr, 'except': list(exceptions)})


def port(**port: Any) -> dict[str, Any]:
    return ingress(ports=[port])


@pytest.mark.parametrize('manifest', [
    policy(), ingress(), policy(egress=[{}]), policy(policyTypes=['Egress']), policy(policyTypes=['Egress', 'Ingress']),
    peer(podSelector={}), peer(namespaceSelector={}), peer(podSelector={}, namespaceSelector={}),
    block('10.0.0.0/8', '10.1.0.0/16', '10.2.3.4/32'), block('2001:db8::/32', '2001:db8:1::/48'), block('0.0.0.0/0'),
    port(port=80), port(port='http', protocol='UDP'), port(port=80, endPort=90), port(protocol='SCTP'), port(),
])  # fmt: skip
def test_good_policies(manifest) -> None:
    assert faults(NETWORKPOLICIES, manifest) == []


@pytest.mark.parametrize('manifest, fault', [
    (policy(podSelector={'matchLabels': {'a b': 'c'}}), 'spec.podSelector.matchLabels: Invalid value: "a b": '),
    (policy(podSelector={'matchExpressions': [{'key': 'a', 'operator': 'In'}]}),
     "spec.podSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or "
     "'NotIn'"),
    (policy(policyTypes=['Out']),
     'spec.policyTypes[0]: Unsupported value: "Out": supported values: "Ingress", "Egress"'),
    (policy(policyTypes=['Ingress', 'Egress', 'Egress']),
     'spec.policyTypes: Invalid value: ["Ingress","Egress","Egress"]: may not specify more than two policyTypes'),
    (peer(), 'spec.ingress[0].from[0]: Required value: must specify a peer'),
    (peer(podSelector={}, ipBlock={'cidr': '10.0.0.0/8'}),
     'spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer'),
    (policy(egress=[{'to': [{}]}]), 'spec.egress[0].to[0]: Required value: must specify a peer'),
    (peer(namespaceSelector={'matchLabels': {'a': 'b c'}}),
     'spec.ingress[0].from[0].namespaceSelector.matchLabels: Invalid value: "b c": '),
    (peer(ipBlock={'cidr': ''}), 'spec.ingress[0].from[0].ipBlock.cidr: Required value'),
    (block('10.0.0.1'), f'spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "10.0.0.1": {CIDR}'),
    (block('300.0.0.0/8'), f'spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "300.0.0.0/8": {CIDR}'),
    (block('10.0.0.0/8', 'x'), f'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "x": {CIDR}'),
    (block('10.0.0.0/8', '11.0.0.0/16'), 'spec.ingress[0].from[0].ipBlock.except[0]: '
                                         'Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`'),
    (block('10.0.0.0/8', '10.0.0.0/8'), 'spec.ingress[0].from[0].ipBlock.except[0]: '
                                        'Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`'),
    (block('10.0.0.0/8', '2001:db8::/64'), 'spec.ingress[0].from[0].ipBlock.except[0]: '
                                           'Invalid value: "2001:db8::/64": must be a strict subset of `cidr`'),
    (port(protocol='ICMP'), 'spec.ingress[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", '
                            '"UDP", "SCTP"'),
    (port(port=0), f'spec.ingress[0].ports[0].port: Invalid value: 0: {RANGE}'),
    (port(port=70000), f'spec.ingress[0].ports[0].port: Invalid value: 70000: {RANGE}'),
    (port(port=80, endPort=79),
     'spec.ingress[0].ports[0].endPort: Invalid value: 79: must be greater than or equal to `port`'),
    (port(port=80, endPort=70000), f'spec.ingress[0].ports[0].endPort: Invalid value: 70000: {RANGE}'),
    (port(port='http', endPort=90),
     'spec.ingress[0].ports[0].endPort: Invalid value: 90: may not be specified when `port` is non-numeric'),
    (port(endPort=90),
     'spec.ingress[0].ports[0].endPort: Invalid value: 90: may not be specified when `port` is not specified'),
    (port(port='a_b'), 'spec.ingress[0].ports[0].port: Invalid value: "a_b": '),
])  # fmt: skip
def test_refusals(manifest, fault) -> None:
    first = faults(NETWORKPOLICIES, manifest)[0]
    assert first == fault or (fault.endswith(': ') and first.startswith(fault))


def test_a_cidr_that_was_there_before_is_let_pass() -> None:
    old, new = stored(NETWORKPOLICIES, block('010.0.0.0/8')), stored(NETWORKPOLICIES, block('010.0.0.0/8'))
    assert validate_update(NETWORKPOLICIES, new, old) == []
    assert validate_update(NETWORKPOLICIES, new, stored(NETWORKPOLICIES, block('10.0.0.0/8'))) != []


@pytest.mark.parametrize('spec, types', [
    ({}, ['Ingress']), ({'ingress': [{}]}, ['Ingress']), ({'egress': [{}]}, ['Ingress', 'Egress']),
    ({'policyTypes': ['Egress']}, ['Egress']),
])  # fmt: skip
def test_policy_types_follow_the_rules(spec, types) -> None:
    assert created(NETWORKPOLICIES, policy(**spec))['spec']['policyTypes'] == types


def test_other_defaults() -> None:
    assert created(NETWORKPOLICIES, named())['spec'] == {'podSelector': {}, 'policyTypes': ['Ingress']}
    assert created(NETWORKPOLICIES, port(port=80))['spec']['ingress'] == [{'ports': [{'port': 80, 'protocol': 'TCP'}]}]


def test_the_generation_follows_the_spec() -> None:
    old = stored(NETWORKPOLICIES, policy())
    assert old['metadata']['generation'] == 1
    same, other = stored(NETWORKPOLICIES, policy()), stored(NETWORKPOLICIES, ingress())
    same['metadata']['labels'] = {'a': 'b'}
    for new, generation in ((same, 1), (other, 2)):
        prepare_update(NETWORKPOLICIES, new, old)
        assert new['metadata']['generation'] == generation


@pytest.mark.parametrize('selector, shown', [
    ({}, '<none>'), ({'matchLabels': {'b': 'c', 'a': 'd'}}, 'a=d,b=c'),
    ({'matchExpressions': [{'key': 'a', 'operator': 'In', 'values': ['y', 'x']}]}, 'a in (x,y)'),
])  # fmt: skip
def test_columns(selector, shown) -> None:
    obj = stored(NETWORKPOLICIES, policy(podSelector=selector))
    now = datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
    assert table_row(NETWORKPOLICIES, obj, now) == ['x', shown, '5m']
