"""The OpenAPI documents kubectl reads."""

from __future__ import annotations

import json
from pathlib import Path

from netkube.api.openapi import openapi_v2, openapi_v3
from netkube.api.resources import ALL, stored_only


def of_version(version):
    return [resource for resource in ALL if resource.api_version == version]


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get('$ref'), str):
            yield node['$ref']
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_resolves():
    document = openapi_v3(of_version('apps/v1'))
    known = {f'#/components/schemas/{name}' for name in document['components']['schemas']}
    assert set(references(document)) <= known
    document = openapi_v2(ALL)
    assert set(references(document)) <= {f'#/definitions/{name}' for name in document['definitions']}


def test_explain_finds_the_kind_by_its_path():
    document = openapi_v3(of_version('apps/v1'))
    operations = document['paths']['/apis/apps/v1/namespaces/{namespace}/deployments']
    kind = {'group': 'apps', 'version': 'v1', 'kind': 'Deployment'}
    assert operations['get']['x-kubernetes-group-version-kind'] == kind
    assert kind in document['components']['schemas']['io.k8s.api.apps.v1.Deployment']['x-kubernetes-group-version-kind']


def test_apply_learns_that_fields_are_validated_here():
    patch = openapi_v3(of_version('v1'))['paths']['/api/v1/namespaces/{namespace}/pods/{name}']['patch']
    assert {'fieldValidation', 'dryRun'} <= {parameter['name'] for parameter in patch['parameters']}


def test_schemas_are_kubernetes_own():
    schemas = openapi_v3(of_version('v1'))['components']['schemas']
    containers = schemas['io.k8s.api.core.v1.PodSpec']['properties']['containers']
    assert containers['x-kubernetes-patch-merge-key'] == 'name'
    assert containers['type'] == 'array'
    assert schemas['io.k8s.apimachinery.pkg.util.intstr.IntOrString']['format'] == 'int-or-string'
    assert '"null"' not in json.dumps(schemas)


def test_the_documentation_names_every_kind():
    text = (Path(__file__).parents[2] / 'docs' / 'api-groups.md').read_text()
    for resource in ALL:
        assert f'| {resource.plural} | {resource.kind} | {resource.version} |' in text, resource
        if stored_only(resource):
            assert 'stored only' in next(line for line in text.splitlines() if line.startswith(f'| {resource.plural} '))
