"""What a write takes from the request, and what it keeps."""

from __future__ import annotations

import copy

import pytest

from netkube.api.resources import (
    CONFIGMAPS,
    DEPLOYMENTS,
    ENDPOINTSLICES,
    NAMESPACES,
    NODES,
    PODS,
    REPLICASETS,
    SERVICES,
)
from netkube.api.strategies import (
    prepare_status_update,
    prepare_update,
)

from .objects import created, deployment, named, pod, pod_with, service, stored


def updated(resource, old, **changes):
    new = copy.deepcopy(old)
    for path, value in changes.items():
        *parents, key = path.split('__')
        node = new
        for parent in parents:
            node = node[parent]
        node[key] = value
    prepare_update(resource, new, old)
    return new


def test_create_drops_what_the_system_sets():
    metadata = {'deletionTimestamp': '2026-01-01T00:00:00Z', 'resourceVersion': '7', 'generation': 9, 'selfLink': 'x'}
    made = created(PODS, pod() | named(**metadata) | {'status': {'phase': 'Running'}})
    assert made['metadata'] == {'name': 'x', 'namespace': 'default', 'generation': 1}
    assert made['status'] == {'phase': 'Pending', 'qosClass': 'BestEffort'}


@pytest.mark.parametrize('resources, qos', [
    ({}, 'BestEffort'),
    ({'requests': {'cpu': '1'}}, 'Burstable'),
    ({'limits': {'cpu': '1'}}, 'Burstable'),
    ({'limits': {'cpu': '1', 'memory': '1Gi'}}, 'Guaranteed'),
    ({'limits': {'cpu': '1', 'memory': '1Gi'}, 'requests': {'cpu': '500m'}}, 'Burstable'),
    ({'limits': {'nvidia.com/gpu': '1'}}, 'BestEffort'),
])  # fmt: skip
def test_quality_of_service(resources, qos):
    assert created(PODS, pod_with(resources=resources))['status']['qosClass'] == qos


def test_a_gated_pod_is_not_scheduled():
    conditions = created(PODS, pod(schedulingGates=[{'name': 'a.b/c'}]))['status']['conditions']
    assert (conditions[0]['type'], conditions[0]['reason']) == ('PodScheduled', 'SchedulingGated')


@pytest.mark.parametrize('resource, obj, status', [
    (DEPLOYMENTS, deployment(), {}), (REPLICASETS, deployment(), {'replicas': 0}),
    (SERVICES, service(), {'loadBalancer': {}}),
    (NAMESPACES, {'metadata': {'name': 'n'}}, {'phase': 'Active'}),
])  # fmt: skip
def test_status_is_not_taken_on_create(resource, obj, status):
    assert created(resource, obj | {'status': {'phase': 'Terminating', 'replicas': 7}})['status'] == status


def test_a_node_brings_its_status():
    assert created(NODES, {'metadata': {'name': 'n'}, 'status': {'phase': 'x'}})['status']['phase'] == 'x'


def test_a_namespace_has_the_kubernetes_finalizer():
    assert created(NAMESPACES, {'metadata': {'name': 'n'}})['spec'] == {'finalizers': ['kubernetes']}


@pytest.mark.parametrize('resource, obj, changes, generation', [
    (DEPLOYMENTS, deployment(), {'spec__replicas': 3}, 2),
    (DEPLOYMENTS, deployment(), {'metadata__annotations': {'a': 'b'}}, 2),
    (DEPLOYMENTS, deployment(), {'metadata__labels': {'a': 'b'}}, 1),
    (DEPLOYMENTS, deployment(), {'status': {'replicas': 3}}, 1),
    (REPLICASETS, deployment(), {'spec__replicas': 3}, 2),
    (REPLICASETS, deployment(), {'metadata__annotations': {'a': 'b'}}, 1),
    (PODS, pod(), {'spec__activeDeadlineSeconds': 3}, 2),
    (ENDPOINTSLICES, named() | {'addressType': 'IPv4', 'endpoints': []}, {'metadata__labels': {'a': 'b'}}, 2),
    (ENDPOINTSLICES, named() | {'addressType': 'IPv4', 'endpoints': []}, {'metadata__annotations': {'a': 'b'}}, 1),
])  # fmt: skip
def test_generation_follows_the_spec(resource, obj, changes, generation):
    assert updated(resource, stored(resource, obj), **changes)['metadata']['generation'] == generation


def test_kinds_without_generation_get_none():
    assert 'generation' not in updated(CONFIGMAPS, stored(CONFIGMAPS, named()), data={'a': 'b'})['metadata']


def test_update_keeps_status_and_system_metadata():
    old = stored(PODS, pod())
    old['metadata'] |= {'deletionTimestamp': '2026-01-02T00:00:00Z', 'deletionGracePeriodSeconds': 30}
    new = copy.deepcopy(old)
    new['status'] = {'phase': 'Running'}
    for key in ('uid', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds', 'generation'):
        del new['metadata'][key]
    prepare_update(PODS, new, old)
    assert new == old


def test_status_update_takes_status_and_metadata_only():
    old = stored(DEPLOYMENTS, deployment())
    new = copy.deepcopy(old)
    new['spec']['replicas'] = 7
    new['status'] = {'replicas': 1}
    new['metadata']['annotations'] = {'a': 'b'}
    prepare_status_update(DEPLOYMENTS, new, old)
    assert new['spec'] == old['spec']
    assert (new['status'], new['metadata']['annotations']) == ({'replicas': 1}, {'a': 'b'})
    assert new['metadata']['generation'] == 1


def test_pod_status_update_keeps_owners_and_qos_and_fills_addresses():
    old = stored(PODS, pod())
    old['metadata']['ownerReferences'] = [{'uid': 'o'}]
    new = copy.deepcopy(old)
    new['metadata']['ownerReferences'] = []
    new['status'] = {'phase': 'Running', 'podIP': '10.0.0.1'}
    prepare_status_update(PODS, new, old)
    assert new['metadata']['ownerReferences'] == [{'uid': 'o'}]
    assert new['status'] == {'phase': 'Running', 'podIP': '10.0.0.1', 'podIPs': [{'ip': '10.0.0.1'}],
                             'qosClass': 'BestEffort'}  # fmt: skip


def test_an_update_leaves_a_namespaces_finalizers():
    old = stored(NAMESPACES, {'metadata': {'name': 'n'}})
    assert updated(NAMESPACES, old, spec={'finalizers': []})['spec'] == {'finalizers': ['kubernetes']}


def with_address(**spec):
    obj = stored(SERVICES, service(**spec))
    obj['spec'] |= {'clusterIP': '10.96.0.7', 'clusterIPs': ['10.96.0.7']}
    return obj


def test_a_service_keeps_its_address_and_node_ports_when_they_are_left_out():
    old = with_address(type='NodePort')
    old['spec']['ports'][0]['nodePort'] = 30000
    new = created(SERVICES, service(type='NodePort', ports=[{'port': 81}]))
    prepare_update(SERVICES, new, old)
    assert (new['spec']['clusterIP'], new['spec']['clusterIPs']) == ('10.96.0.7', ['10.96.0.7'])
    assert new['spec']['ports'][0]['nodePort'] == 30000


def test_a_service_drops_node_ports_with_their_type():
    old = with_address(type='NodePort')
    old['spec']['ports'][0]['nodePort'] = 30000
    new = updated(SERVICES, old, spec__type='ClusterIP')
    assert 'nodePort' not in new['spec']['ports'][0]
    assert 'externalTrafficPolicy' not in new['spec']


def test_a_service_that_becomes_an_external_name_drops_its_address():
    new = updated(SERVICES, with_address(), spec__type='ExternalName', spec__externalName='a.b')
    assert not {'clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy'} & new['spec'].keys()

