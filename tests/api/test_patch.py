"""JSON patch, JSON merge patch and strategic merge patch."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netkube.api import schema
from netkube.api.errors import ApiError
from netkube.api.patch import json_patch, merge_patch, strategic_merge_patch
from netkube.api.resources import DEPLOYMENTS, PODS, SERVICES

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=8,
)  # fmt: skip


@pytest.mark.parametrize('document, patch, result', [  # RFC 7386, appendix A
    ({'a': 'b'}, {'a': 'c'}, {'a': 'c'}), ({'a': 'b'}, {'b': 'c'}, {'a': 'b', 'b': 'c'}), ({'a': 'b'}, {'a': None}, {}),
    ({'a': ['b']}, {'a': 'c'}, {'a': 'c'}), ({'a': {'b': 'c'}}, {'a': {'b': 'd', 'c': None}}, {'a': {'b': 'd'}}),
    (['a', 'b'], ['c'], ['c']), ({'a': 'foo'}, None, None), ({'e': None}, {'a': 1}, {'e': None, 'a': 1}),
    ({}, {'a': {'bb': {'ccc': None}}}, {'a': {'bb': {}}}),
])  # fmt: skip
def test_merge_patch(document, patch, result):
    assert merge_patch(document, patch) == result


@given(_json, _json)
def test_merge_patch_is_idempotent_and_leaves_its_inputs(document, patch):
    before = copy.deepcopy((document, patch))
    once = merge_patch(document, patch)
    assert merge_patch(once, patch) == once
    assert (document, patch) == before


@pytest.mark.parametrize('operations, result', [
    ([{'op': 'add', 'path': '/b', 'value': 2}], {'a': [1, 2], 'b': 2}),
    ([{'op': 'add', 'path': '/a/-', 'value': 3}], {'a': [1, 2, 3]}),
    ([{'op': 'add', 'path': '/a/0', 'value': 0}], {'a': [0, 1, 2]}),
    ([{'op': 'remove', 'path': '/a/0'}], {'a': [2]}),
    ([{'op': 'replace', 'path': '/a/1', 'value': 9}], {'a': [1, 9]}),
    ([{'op': 'replace', 'path': '', 'value': {'z': 1}}], {'z': 1}),
    ([{'op': 'move', 'from': '/a/0', 'path': '/first'}], {'a': [2], 'first': 1}),
    ([{'op': 'copy', 'from': '/a', 'path': '/c~1d'}], {'a': [1, 2], 'c/d': [1, 2]}),
    ([{'op': 'test', 'path': '/a/0', 'value': 1}], {'a': [1, 2]}),
])  # fmt: skip
def test_json_patch(operations, result):
    document = {'a': [1, 2]}
    assert json_patch(document, operations) == result
    assert document == {'a': [1, 2]}


@pytest.mark.parametrize('operations, code', [
    ([{'op': 'test', 'path': '/a/0', 'value': 2}], 422),
    ([{'op': 'test', 'path': '/a/0', 'value': True}], 422),
    ([{'op': 'remove', 'path': '/gone'}], 422),
    ([{'op': 'replace', 'path': '/gone', 'value': 1}], 422),
    ([{'op': 'add', 'path': '/gone/x', 'value': 1}], 422),
    ([{'op': 'add', 'path': '/a/7', 'value': 1}], 422),
    ([{'op': 'frobnicate', 'path': '/a'}], 422),
    ({'op': 'add'}, 400),
    ([{'op': 'test', 'path': ''}] * 10_001, 413),
])  # fmt: skip
def test_json_patch_refuses(operations, code):
    with pytest.raises(ApiError) as refusal:
        json_patch({'a': [1, 2]}, operations)
    assert refusal.value.code == code


def strategic(resource, document, patch):
    return strategic_merge_patch(document, patch, schema.load(), resource)


POD = {'spec': {'containers': [{'name': 'a', 'image': '1', 'env': [{'name': 'X', 'value': 'x'}]},
                               {'name': 'b', 'image': '1'}],
                'volumes': [{'name': 'v', 'emptyDir': {}}]},
       'metadata': {'finalizers': ['one', 'two'], 'labels': {'l': '1'}}}  # fmt: skip


def test_strategic_merges_containers_by_name():
    result = strategic(PODS, POD, {'spec': {'containers': [{'name': 'b', 'image': '2'}, {'name': 'c'}]}})
    assert [(one['name'], one.get('image')) for one in result['spec']['containers']] == [
        ('a', '1'), ('b', '2'), ('c', None),
    ]  # fmt: skip
    assert POD['spec']['containers'][1]['image'] == '1'


def test_strategic_merges_deeper_lists_by_their_own_keys():
    patch = {'spec': {'containers': [{'name': 'a', 'env': [{'name': 'Y', 'value': 'y'}]}]}}
    assert [one['name'] for one in strategic(PODS, POD, patch)['spec']['containers'][0]['env']] == ['X', 'Y']


def test_strategic_deletes_an_element():
    result = strategic(PODS, POD, {'spec': {'containers': [{'name': 'a', '$patch': 'delete'}]}})
    assert [one['name'] for one in result['spec']['containers']] == ['b']


def test_strategic_replaces_a_list():
    result = strategic(PODS, POD, {'spec': {'containers': [{'$patch': 'replace'}, {'name': 'z'}]}})
    assert result['spec']['containers'] == [{'name': 'z'}]


def test_strategic_replaces_and_deletes_maps():
    assert strategic(PODS, POD, {'metadata': {'$patch': 'replace', 'name': 'n'}})['metadata'] == {'name': 'n'}
    assert strategic(PODS, POD, {'metadata': {'labels': {'$patch': 'delete'}}})['metadata']['labels'] == {}


def test_strategic_orders_elements():
    patch = {'spec': {'$setElementOrder/containers': [{'name': 'b'}, {'name': 'a'}], 'containers': []}}
    assert [one['name'] for one in strategic(PODS, POD, patch)['spec']['containers']] == ['b', 'a']


def test_strategic_retains_only_named_keys():
    patch = {'spec': {'volumes': [{'name': 'v', '$retainKeys': ['name', 'configMap'], 'configMap': {'name': 'c'}}]}}
    assert strategic(PODS, POD, patch)['spec']['volumes'] == [{'name': 'v', 'configMap': {'name': 'c'}}]
    strategy = {'spec': {'strategy': {'type': 'RollingUpdate', 'rollingUpdate': {'maxSurge': 1}}}}
    patch = {'spec': {'strategy': {'$retainKeys': ['type'], 'type': 'Recreate'}}}
    assert strategic(DEPLOYMENTS, strategy, patch) == {'spec': {'strategy': {'type': 'Recreate'}}}


def test_strategic_merges_and_deletes_primitives():
    assert strategic(PODS, POD, {'metadata': {'finalizers': ['two', 'three']}})['metadata']['finalizers'] == [
        'one', 'two', 'three',
    ]  # fmt: skip
    patch = {'metadata': {'$deleteFromPrimitiveList/finalizers': ['one']}}
    assert strategic(PODS, POD, patch)['metadata']['finalizers'] == ['two']


def test_strategic_replaces_atomic_lists():
    document = {'spec': {'tolerations': [{'key': 'a'}]}}
    patch = {'spec': {'tolerations': [{'key': 'b'}]}}
    assert strategic(PODS, document, patch) == patch


def test_strategic_merges_service_ports_by_port():
    document = {'spec': {'ports': [{'port': 80, 'targetPort': 8080}, {'port': 81}]}}
    result = strategic(SERVICES, document, {'spec': {'ports': [{'port': 80, 'targetPort': 9090}]}})
    assert result == {'spec': {'ports': [{'port': 80, 'targetPort': 9090}, {'port': 81}]}}


@pytest.mark.parametrize('patch, message', [
    ({'spec': {'containers': [{'image': 'x'}]}}, 'map: map[image:x] does not contain declared merge key: name'),
    ({'spec': {'$patch': 'frobnicate'}}, 'unknown patch type: frobnicate'),
    ([], 'Invalid JSON document'),
])  # fmt: skip
def test_strategic_refuses(patch, message):
    with pytest.raises(ApiError) as refusal:
        strategic(PODS, POD, patch)
    assert (refusal.value.code, refusal.value.message) == (400, message)


_members = st.dictionaries(st.sampled_from(['a', 'b', 'c']), _json, max_size=3)


@given(_members, _members)
def test_strategic_without_a_schema_is_a_merge_patch(document, patch):
    obj, change = {'data': document}, {'data': patch}
    assert strategic(DEPLOYMENTS, obj, change)['data'] == _without_nulls_added(merge_patch(obj, change)['data'], patch)


def _without_nulls_added(value, patch):
    """A list that a patch puts in whole loses its nulls in nested maps under strategic merge."""
    if isinstance(value, dict):
        return {key: _without_nulls_added(item, (patch or {}).get(key) if isinstance(patch, dict) else None)
                if isinstance(patch, dict) and key in patch else item for key, item in value.items()}  # fmt: skip
    return _stripped(value)


def _stripped(value):
    if isinstance(value, list):
        return [_stripped(item) for item in value]
    if isinstance(value, dict):
        return {key: _stripped(item) for key, item in value.items() if item is not None}
    return value
