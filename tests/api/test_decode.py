"""From JSON to canonical objects: types, unknown fields, empty values."""

from __future__ import annotations

import pytest

from netkube.api.decode import decode, decode_definition, strict_error
from netkube.api.errors import ApiError
from netkube.api.resources import (
    ALL,
    CONFIGMAPS,
    DEPLOYMENTS,
    ENDPOINTS,
    ENDPOINTSLICES,
    LEASES,
    PODS,
    SECRETS,
    SERVICES,
)
from netkube.api.schema import definition, unknown_fields

from .objects import pod_with


@pytest.mark.parametrize('resource, obj, fault', [
    (DEPLOYMENTS, {'spec': {'replicas': '3'}},
     'json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32'),
    (DEPLOYMENTS, {'spec': {'replicas': 1.5}},
     'json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32'),
    (DEPLOYMENTS, {'spec': {'replicas': 2**31}},
     'json: cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32'),
    (DEPLOYMENTS, {'spec': {'paused': 'yes'}},
     'json: cannot unmarshal string into Go struct field DeploymentSpec.spec.paused of type bool'),
    (PODS, {'metadata': {'labels': {'a': 1}}},
     'json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string'),
    (PODS, {'spec': {'containers': {}}},
     'json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container'),
    (PODS, {'spec': {'containers': [{'name': 1}]}},
     'json: cannot unmarshal number into Go struct field Container.spec.containers.name of type string'),
    (PODS, {'spec': []}, 'json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec'),
    (SERVICES, {'spec': {'ports': [{'targetPort': True}]}},
     'json: cannot unmarshal bool into Go value of type int32'),
    (SECRETS, {'data': {'a': '!'}}, 'illegal base64 data at input byte 0'),
    (PODS, pod_with(resources={'limits': {'cpu': 'much'}}),
     "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
    (LEASES, {'spec': {'renewTime': 'now'}},
     'parsing time "now" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "now" as "2006"'),
])  # fmt: skip
def test_refuses_wrong_types(resource, obj, fault):
    with pytest.raises(ApiError) as refusal:
        decode(resource, obj)
    kind = resource.kind
    assert refusal.value.code == 400
    assert refusal.value.message == f'{kind} in version "v1" cannot be handled as a {kind}: {fault}'


def test_names_unknown_fields_by_path():
    obj = {'spec': {'foo': 1, 'containers': [{'nam': 'x', 'resources': {'limit': {}}}]}, 'bar': 2}
    paths = ['spec.foo', 'spec.containers[0].nam', 'spec.containers[0].resources.limit', 'bar']
    assert unknown_fields(PODS, obj) == paths
    assert strict_error(PODS, [f'unknown field "{path}"' for path in paths[:2]]).message == (
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: '
        'unknown field "spec.foo", unknown field "spec.containers[0].nam"'
    )


def test_drops_what_a_round_trip_through_go_drops():
    obj = decode(PODS, {
        'metadata': {'name': 'a', 'creationTimestamp': None, 'labels': {}},
        'spec': {'hostNetwork': False, 'nodeName': '', 'priority': 0, 'volumes': [], 'foo': 1,
                 'containers': [{'name': 'c', 'env': [{'name': 'E', 'value': ''}], 'securityContext': {}}]},
        'status': None,
    })  # fmt: skip
    assert obj == {
        'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'a'},
        'spec': {'priority': 0, 'containers': [{'name': 'c', 'env': [{'name': 'E'}], 'securityContext': {}}]},
    }  # fmt: skip


def test_keeps_zeros_behind_pointers():
    assert decode(DEPLOYMENTS, {'spec': {'replicas': 0, 'minReadySeconds': 0}})['spec'] == {'replicas': 0}
    conditions = {'ready': False}
    endpoints = [{'addresses': ['10.0.0.1'], 'conditions': conditions}]
    assert decode(ENDPOINTSLICES, {'endpoints': endpoints})['endpoints'][0]['conditions'] == conditions
    assert decode(ENDPOINTSLICES, {'ports': [{'name': ''}]})['ports'] == [{'name': ''}]
    subsets = [{'ports': [{'name': '', 'port': 1}]}]
    assert decode(ENDPOINTS, {'subsets': subsets})['subsets'] == [{'ports': [{'port': 1}]}]
    assert decode(CONFIGMAPS, {'immutable': False, 'data': {'k': ''}}).items() >= {'immutable': False}.items()


def test_brings_quantities_and_times_to_canonical_form():
    obj = pod_with(resources={'limits': {'cpu': 0.5, 'memory': '1024Mi'}})
    obj['metadata']['deletionTimestamp'] = '2026-01-01T02:00:00+02:00'
    decoded = decode(PODS, obj)
    assert decoded['spec']['containers'][0]['resources'] == {'limits': {'cpu': '500m', 'memory': '1Gi'}}
    assert decoded['metadata']['deletionTimestamp'] == '2026-01-01T00:00:00Z'


def test_decodes_what_is_no_resource():
    scale = decode_definition('io.k8s.api.autoscaling.v1.Scale', {'spec': {'replicas': 3}})
    assert scale == {'spec': {'replicas': 3}}


@pytest.mark.parametrize('resource', ALL, ids=str)
def test_every_served_kind_has_a_definition(resource):
    assert 'metadata' in definition(resource).fields


def test_merge_keys_are_known():
    containers = definition(PODS).fields['spec'].type.struct.fields['containers']
    assert (containers.merge_key, containers.list_map_keys) == ('name', ('name',))
    assert 'merge' in containers.strategies
