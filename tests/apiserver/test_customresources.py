"""Kinds that users define, driven by the real kubectl: defined, served, validated, shown, deleted."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any

import pytest
from served import ServedApi

from netkube.api.errors import ApiError
from netkube.api.resources import CUSTOMRESOURCEDEFINITIONS, Resource
from netkube.apiserver.registry import Registry

SPEC: dict[str, Any] = {
    'type': 'object', 'required': ['size'],
    'properties': {
        'size': {'type': 'integer', 'minimum': 1, 'maximum': 10, 'description': 'How many there shall be.'},
        'color': {'type': 'string', 'enum': ['red', 'blue'], 'default': 'red'},
        'name': {'type': 'string', 'pattern': '^[a-z]+$', 'maxLength': 5},
        'port': {'x-kubernetes-int-or-string': True},
        'nested': {'type': 'object', 'default': {}, 'properties': {'deep': {'type': 'boolean', 'default': True}}},
        'free': {'type': 'object', 'x-kubernetes-preserve-unknown-fields': True},
        'tags': {'type': 'array', 'items': {'type': 'string'}, 'x-kubernetes-list-type': 'set'},
        'ports': {
            'type': 'array', 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'],
            'items': {'type': 'object', 'required': ['name'], 'properties': {'name': {'type': 'string'}}},
        },
        'maybe': {'type': 'string', 'nullable': True},
    },
}  # fmt: skip
SCHEMA = {
    'type': 'object',
    'properties': {
        'spec': SPEC,
        'status': {'type': 'object', 'properties': {
            'replicas': {'type': 'integer'}, 'selector': {'type': 'string'}, 'phase': {'type': 'string'}}},
    },
}  # fmt: skip
CRD: dict[str, Any] = {
    'apiVersion': 'apiextensions.k8s.io/v1', 'kind': 'CustomResourceDefinition',
    'metadata': {'name': 'widgets.example.com'},
    'spec': {
        'group': 'example.com', 'scope': 'Namespaced',
        'names': {'plural': 'widgets', 'kind': 'Widget', 'shortNames': ['wd'], 'categories': ['all']},
        'versions': [
            {
                'name': 'v1', 'served': True, 'storage': True, 'schema': {'openAPIV3Schema': SCHEMA},
                'subresources': {'status': {}, 'scale': {
                    'specReplicasPath': '.spec.size', 'statusReplicasPath': '.status.replicas',
                    'labelSelectorPath': '.status.selector'}},
                'additionalPrinterColumns': [
                    {'name': 'Size', 'type': 'integer', 'jsonPath': '.spec.size'},
                    {'name': 'Color', 'type': 'string', 'jsonPath': '.spec.color', 'priority': 1},
                    {'name': 'Age', 'type': 'date', 'jsonPath': '.metadata.creationTimestamp'}],
                'selectableFields': [{'jsonPath': '.spec.color'}],
            },
            {'name': 'v1beta1', 'served': True, 'storage': False, 'deprecated': True,
             'schema': {'openAPIV3Schema': SCHEMA}, 'subresources': {'status': {}}},
        ],
    },
}  # fmt: skip
WIDGET: dict[str, Any] = {
    'apiVersion': 'example.com/v1', 'kind': 'Widget', 'metadata': {'name': 'a', 'namespace': 'default'},
    'spec': {'size': 3},
}  # fmt: skip
WIDGETS = Resource('example.com', 'v1', 'widgets', 'Widget', True)
PATH = '/apis/example.com/v1/namespaces/default/widgets'


async def test_defined_explained_created_shown_and_deleted(api: ServedApi) -> None:
    assert 'widgets.example.com created' in await api.kubectl('create', '-f', '-', stdin=json.dumps(CRD))
    waited = await api.kubectl('wait', '--for=condition=Established', 'crd/widgets.example.com', '--timeout=60s')
    assert 'condition met' in waited
    assert 'wd' in await api.kubectl('api-resources', '--api-group=example.com')
    assert 'example.com/v1\nexample.com/v1beta1' in await api.kubectl('api-versions')
    explained = await api.kubectl('explain', 'widget.spec.size')
    assert 'FIELD: size <integer>' in explained and 'How many there shall be.' in explained
    assert 'created' in await api.kubectl('apply', '-f', '-', stdin=json.dumps(WIDGET))
    lines = [line.split() for line in (await api.kubectl('get', 'wd')).splitlines()]
    assert lines[0] == ['NAME', 'SIZE', 'AGE'] and lines[1][:2] == ['a', '3']
    assert 'widget.example.com/a' in await api.kubectl('get', 'all', '-o', 'name')
    await api.kubectl('scale', 'wd/a', '--replicas=5')
    await api.kubectl('patch', 'wd/a', '--type=merge', '-p', '{"status":{"phase":"Up"}}', '--subresource=status')
    shown = json.loads(await api.kubectl('get', 'wd/a', '-o', 'json'))
    assert shown['spec'] == {'size': 5, 'color': 'red', 'nested': {'deep': True}}
    assert shown['status'] == {'phase': 'Up'} and shown['metadata']['generation'] == 2
    assert 'deleted' in await api.kubectl('delete', 'wd/a')


async def test_a_version_shows_what_another_stored(api: ServedApi) -> None:
    await api.request('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', CRD)
    old = {**WIDGET, 'apiVersion': 'example.com/v1beta1'}
    made = await api.request('POST', PATH.replace('v1', 'v1beta1'), old)
    assert made.json['apiVersion'] == 'example.com/v1beta1'
    assert 'example.com/v1beta1 Widget is deprecated' in made.headers['warning']
    assert (await api.request('GET', f'{PATH}/a')).json['apiVersion'] == 'example.com/v1'
    listed = (await api.request('GET', PATH.replace('v1', 'v1beta1'))).json
    assert [one['apiVersion'] for one in listed['items']] == ['example.com/v1beta1']


async def define(registry: Registry, crd: dict[str, Any] = CRD) -> None:
    await registry.create(CUSTOMRESOURCEDEFINITIONS, crd)


def widget(**spec: Any) -> dict[str, Any]:
    return {**WIDGET, 'spec': {'size': 1, **spec}}


@pytest.mark.parametrize(
    'spec, fault',
    [
        ({'size': '1'}, 'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"'),
        ({'size': 11}, 'spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10'),
        ({'size': 0}, 'spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1'),
        ({'color': 'green'}, 'spec.color: Unsupported value: "green": supported values: "red", "blue"'),
        ({'name': 'A'}, "spec.name: Invalid value: \"A\": spec.name in body should match '^[a-z]+$'"),
        ({'name': 'abcdef'}, 'spec.name: Too long: may not be more than 5 bytes'),
        ({'tags': ['a', 'b', 'a']}, 'spec.tags[2]: Duplicate value: "a"'),
        ({'ports': [{'name': 'a'}, {'name': 'a'}]}, 'spec.ports[1]: Duplicate value: {"name":"a"}'),
        ({'port': True}, 'spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: '
                         '"boolean"'),
    ],
)  # fmt: skip
async def test_values_are_held_to_the_schema(registry: Registry, spec: dict[str, Any], fault: str) -> None:
    await define(registry)
    with pytest.raises(ApiError) as error:
        await registry.create(WIDGETS, widget(**spec))
    assert error.value.message == f'Widget.example.com "a" is invalid: {fault}'


async def test_a_required_field(registry: Registry) -> None:
    await define(registry)
    with pytest.raises(ApiError, match='spec.size: Required value'):
        await registry.create(WIDGETS, {**WIDGET, 'spec': {}})


async def test_unknown_fields_are_dropped_but_where_they_are_preserved(registry: Registry) -> None:
    await define(registry)
    made = await registry.create(WIDGETS, widget(what=1, free={'a': {'b': 1}}, maybe=None, name=None, port='http'))
    assert made['spec'] == {
        'size': 1, 'free': {'a': {'b': 1}}, 'maybe': None, 'port': 'http', 'color': 'red', 'nested': {'deep': True},
    }  # fmt: skip


async def test_strict_validation_names_the_unknown_field(api: ServedApi) -> None:
    await define(api.registry)
    answer = await api.request('POST', f'{PATH}?fieldValidation=Strict', widget(what=1))
    assert (answer.code, answer.message) == (
        400, 'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "spec.what"',
    )  # fmt: skip
    assert 'unknown field' in (await api.request('POST', PATH, widget(what=1))).headers['warning']


async def test_strategic_merge_needs_merge_keys(api: ServedApi) -> None:
    await define(api.registry)
    await api.registry.create(WIDGETS, WIDGET)
    answer = await api.request('PATCH', f'{PATH}/a', '{}', content_type='application/strategic-merge-patch+json')
    assert answer.code == 415 and 'application/json-patch+json, application/merge-patch+json' in answer.message


async def test_selectable_fields(registry: Registry) -> None:
    await define(registry)
    await registry.create(WIDGETS, widget(color='blue'))
    assert len((await registry.list(WIDGETS, field_selector='spec.color=blue')).items) == 1
    assert not (await registry.list(WIDGETS, field_selector='spec.color=red')).items
    with pytest.raises(ApiError, match='field label not supported: spec.size'):
        await registry.list(WIDGETS, field_selector='spec.size=1')


async def test_a_watch_sees_custom_resources_and_ends_with_their_kind(registry: Registry) -> None:
    await define(registry)
    await registry.create(WIDGETS, WIDGET)
    seen: list[str] = []

    async def follow() -> None:
        async for event in registry.watch(WIDGETS):
            seen.append(event.type)

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    await registry.delete(WIDGETS, 'default', 'a')
    crd = await registry.delete(CUSTOMRESOURCEDEFINITIONS, '', 'widgets.example.com')
    assert crd['metadata']['deletionTimestamp']
    with pytest.raises(ApiError, match='create not allowed while custom resource definition is terminating'):
        await registry.create(WIDGETS, WIDGET)
    await registry.patch(CUSTOMRESOURCEDEFINITIONS, '', 'widgets.example.com', {'metadata': {'finalizers': None}})
    await asyncio.wait_for(following, 60)
    assert seen == ['ADDED', 'DELETED']
    with pytest.raises(ApiError) as error:
        await registry.list(WIDGETS)
    assert error.value.code == 404


def changed(**spec: Any) -> dict[str, Any]:
    crd = copy.deepcopy(CRD)
    crd['spec'] |= spec
    return crd


def with_spec(schema: dict[str, Any]) -> dict[str, Any]:
    version = {'name': 'v1', 'served': True, 'storage': True,
               'schema': {'openAPIV3Schema': {'type': 'object', 'properties': {'spec': schema}}}}  # fmt: skip
    return changed(versions=[version])


@pytest.mark.parametrize(
    'crd, fault',
    [
        (changed(group='other.com'), 'metadata.name: Invalid value: "widgets.example.com": must be '
                                     'spec.names.plural+"."+spec.group'),
        (changed(versions=[]), 'spec.versions: Required value'),
        (changed(versions=[{**version, 'storage': True} for version in CRD['spec']['versions']]),
         'must have exactly one version marked as storage version'),
        (changed(conversion={'strategy': 'Webhook'}), 'netkube does not call conversion webhooks'),
        (with_spec({'properties': {}}), 'properties[spec].type: Required value: must not be empty for specified '
                                        'object fields'),
        (with_spec({'type': 'array'}), 'properties[spec].items: Required value: must be specified'),
        (with_spec({'type': 'string', 'pattern': '('}), "must be a valid regular expression, but isn't"),
        (with_spec({'type': 'string', 'default': 1}), 'properties[spec].default: Invalid value: "integer"'),
        (with_spec({'type': 'object', 'anyOf': [{'type': 'object'}]}),
         'anyOf[0].type: Forbidden: must be empty to be structural'),
    ],
)  # fmt: skip
async def test_definitions_are_validated(registry: Registry, crd: dict[str, Any], fault: str) -> None:
    with pytest.raises(ApiError) as error:
        await define(registry, crd)
    assert error.value.code == 422 and fault in error.value.message


async def test_a_name_that_is_taken_is_not_established(registry: Registry) -> None:
    await define(registry)
    crd = copy.deepcopy(CRD)
    crd['metadata']['name'] = 'gadgets.example.com'
    crd['spec']['names'] = {'plural': 'gadgets', 'singular': 'gadget', 'kind': 'Widget'}
    made = await registry.create(CUSTOMRESOURCEDEFINITIONS, crd)
    conditions = {one['type']: (one['status'], one['reason']) for one in made['status']['conditions']}
    assert conditions == {'NamesAccepted': ('False', 'KindConflict'), 'Established': ('False', 'NotAccepted')}
    with pytest.raises(ApiError, match='the server could not find the requested resource'):
        await registry.list(Resource('example.com', 'v1', 'gadgets', 'Widget', True))


async def test_rules_in_cel_are_stored_and_said_to_be_no_more(api: ServedApi) -> None:
    crd = with_spec({'type': 'object', 'x-kubernetes-validations': [{'rule': 'self.a > 1'}]})
    answer = await api.request('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', crd)
    assert answer.code == 201
    assert 'netkube stores x-kubernetes-validations but does not enforce them yet' in answer.headers['warning']


async def test_a_definition_survives_a_restart(registry: Registry) -> None:
    await define(registry)
    await registry.create(WIDGETS, WIDGET)
    again = Registry(registry.store)
    assert (await again.get(WIDGETS, 'default', 'a'))['spec']['size'] == 3


async def test_server_side_apply_knows_the_structural_schema(api: ServedApi) -> None:
    await define(api.registry)
    for manager, port in (('one', 'a'), ('two', 'b')):
        body = json.dumps({**WIDGET, 'spec': {'size': 2, 'ports': [{'name': port}]}})
        await api.kubectl('apply', '--server-side', f'--field-manager={manager}', '-f', '-', stdin=body)
    shown = json.loads(await api.kubectl('get', 'wd/a', '-o', 'json'))
    assert shown['spec']['ports'] == [{'name': 'a'}, {'name': 'b'}]
    body = json.dumps({**WIDGET, 'spec': {'size': 3}})
    refused = await api.kubectl('apply', '--server-side', '--field-manager=three', '-f', '-', stdin=body, code=1)
    assert '.spec.size' in refused
