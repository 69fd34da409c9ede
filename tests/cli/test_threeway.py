"""Apply: what the manifest dropped goes, what others added stays, lists merge by what identifies their items."""

import copy

import pytest

from netkube.api import schema
from netkube.api.resources import DEPLOYMENTS, PODS, SERVICES
from netkube.api.threeway import LAST_APPLIED, last_applied, three_way_merge, with_last_applied

A, B, C = ({'name': name, 'image': 'none'} for name in 'abc')
TCP, UDP = ({'port': 53, 'protocol': protocol} for protocol in ('TCP', 'UDP'))
RECREATE = {'type': 'Recreate'}
ROLLING = {'type': 'RollingUpdate', 'rollingUpdate': {'maxSurge': 1}}

CASES = {
    'nothing changed': (PODS, {'a': 1}, {'a': 1}, {'a': 1, 'b': 2}, {'a': 1, 'b': 2}),
    'changed': (PODS, {'nodeName': 'a'}, {'nodeName': 'b'}, {'nodeName': 'a'}, {'nodeName': 'b'}),
    'changed by another, and back': (PODS, {'nodeName': 'a'}, {'nodeName': 'a'}, {'nodeName': 'x'}, {'nodeName': 'a'}),
    'dropped': (PODS, {'nodeName': 'a', 'hostname': 'h'}, {'nodeName': 'a'}, {'nodeName': 'a', 'hostname': 'h'},
                {'nodeName': 'a'}),
    'never ours': (PODS, {}, {'nodeName': 'a'}, {'hostname': 'h'}, {'hostname': 'h', 'nodeName': 'a'}),
    'null drops': (PODS, {}, {'hostname': None}, {'hostname': 'h'}, {}),
    'a map drops and keeps key by key': (
        PODS, {'nodeSelector': {'a': '1', 'b': '2'}}, {'nodeSelector': {'a': '9'}},
        {'nodeSelector': {'a': '1', 'b': '2', 'c': '3'}}, {'nodeSelector': {'a': '9', 'c': '3'}}),
    'an item of a list is changed by its key': (
        PODS, {'containers': [A]}, {'containers': [A | {'image': 'new'}]}, {'containers': [A | {'tty': True}]},
        {'containers': [{'name': 'a', 'image': 'new', 'tty': True}]}),
    'an item that was dropped goes, one of others stays': (
        PODS, {'containers': [A, B]}, {'containers': [A]}, {'containers': [A, B, C]}, {'containers': [A, C]}),
    'the order is the manifest\'s': (
        PODS, {'containers': [A, B]}, {'containers': [B, A]}, {'containers': [A, B]}, {'containers': [B, A]}),
    'a list of plain values that is atomic is replaced': (
        PODS, {'containers': [A | {'command': ['x', 'y']}]}, {'containers': [A | {'command': ['z']}]},
        {'containers': [A | {'command': ['x', 'y']}]}, {'containers': [A | {'command': ['z']}]}),
    'an atomic list of objects is replaced': (
        PODS, {}, {'tolerations': [{'key': 'a'}]}, {'tolerations': [{'key': 'b'}]}, {'tolerations': [{'key': 'a'}]}),
    'ports of a Service are told apart by their number': (
        SERVICES, {'ports': [{'port': 80}]}, {'ports': [{'port': 80}, {'port': 81}]},
        {'ports': [{'port': 80, 'nodePort': 30000}]}, {'ports': [{'port': 80, 'nodePort': 30000}, {'port': 81}]}),
    'retainKeys: what the new kind of strategy has not goes': (
        DEPLOYMENTS, {}, {'strategy': RECREATE}, {'strategy': ROLLING}, {'strategy': RECREATE}),
    'retainKeys: what the same kind has stays': (
        DEPLOYMENTS, {}, {'strategy': {'type': 'RollingUpdate', 'rollingUpdate': {'maxUnavailable': 0}}},
        {'strategy': ROLLING}, {'strategy': {'type': 'RollingUpdate', 'rollingUpdate': {'maxSurge': 1,
                                                                                    'maxUnavailable': 0}}}),
    'retainKeys in a list: a volume of another kind': (
        PODS, {}, {'volumes': [{'name': 'v', 'emptyDir': {}}]}, {'volumes': [{'name': 'v', 'secret': {'x': 'y'}}]},
        {'volumes': [{'name': 'v', 'emptyDir': {}}]}),
}  # fmt: skip


@pytest.mark.parametrize('case', list(CASES))
def test_the_spec(case):
    resource, original, modified, current, expected = copy.deepcopy(CASES[case])
    before = copy.deepcopy((original, modified, current))
    definition = schema.definition(resource)
    merged = three_way_merge({'spec': original}, {'spec': modified}, {'spec': current}, definition)
    assert merged == {'spec': expected}
    assert (original, modified, current) == before
    assert three_way_merge({'spec': modified}, {'spec': modified}, merged, definition) == merged


def test_a_kind_without_definition_merges_as_plain_json():
    assert three_way_merge({'a': [1], 'b': 1}, {'a': [2]}, {'a': [1], 'b': 1, 'c': 1}, None) == {'a': [2], 'c': 1}


def test_the_record_is_kubectls_own_to_the_byte():
    """As kubectl 1.37 wrote it: sorted, the empty annotations in it, Go's escapes, a line feed at the end."""
    manifest = {'kind': 'ConfigMap', 'apiVersion': 'v1', 'metadata': {'name': 'k', 'namespace': 'default'},
                'data': {'text': 'a < b & "ü"'}}  # fmt: skip
    assert with_last_applied(manifest)['metadata']['annotations'] == {
        LAST_APPLIED: '{"apiVersion":"v1","data":{"text":"a \\u003c b \\u0026 \\"ü\\""},"kind":"ConfigMap",'
        '"metadata":{"annotations":{},"name":"k","namespace":"default"}}\n'
    }
    assert 'annotations' not in manifest['metadata']


def test_the_record_never_holds_itself():
    once = with_last_applied({'metadata': {'name': 'k', 'annotations': {'a': 'b'}}})
    twice = with_last_applied(once)
    assert twice == once
    assert last_applied(twice) == {'metadata': {'name': 'k', 'annotations': {'a': 'b'}}}


def test_without_a_record_nothing_was_applied():
    assert last_applied({'metadata': {'name': 'k'}}) == {}
