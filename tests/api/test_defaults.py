"""What is filled in where a manifest is silent."""

from __future__ import annotations

import pytest

from netkube.api.defaults.pod import default_pod, pull_policy
from netkube.api.resources import DEPLOYMENTS, ENDPOINTSLICES, NAMESPACES, NODES, PODS, REPLICASETS, SECRETS, SERVICES

from .objects import created, deployment, named, pod, pod_with, service


def container(**fields):
    return created(PODS, pod_with(**fields))['spec']['containers'][0]


def test_pod():
    spec = created(PODS, pod())['spec']
    spec.pop('containers')
    assert spec == {
        'restartPolicy': 'Always', 'dnsPolicy': 'ClusterFirst', 'schedulerName': 'default-scheduler',
        'terminationGracePeriodSeconds': 30, 'securityContext': {}, 'enableServiceLinks': True,
    }  # fmt: skip


def test_container():
    assert container() == {
        'name': 'main', 'image': 'host', 'imagePullPolicy': 'Always', 'terminationMessagePath': '/dev/termination-log',
        'terminationMessagePolicy': 'File', 'resources': {},
    }  # fmt: skip


@pytest.mark.parametrize('image, policy', [
    ('nginx', 'Always'), ('nginx:latest', 'Always'), ('nginx:1.2', 'IfNotPresent'), ('host:5000/nginx', 'Always'),
    ('host:5000/nginx:2', 'IfNotPresent'), ('nginx@sha256:0123', 'IfNotPresent'),
])  # fmt: skip
def test_pull_policy_follows_the_tag(image, policy):
    assert pull_policy(image) == policy


def test_ports_probes_and_hooks():
    made = container(ports=[{'containerPort': 80}], readinessProbe={'httpGet': {'port': 80}, 'periodSeconds': 3},
                     livenessProbe={'grpc': {'port': 1}}, lifecycle={'preStop': {'httpGet': {'port': 1}}})  # fmt: skip
    assert made['ports'] == [{'containerPort': 80, 'protocol': 'TCP'}]
    assert made['readinessProbe'] == {
        'httpGet': {'port': 80, 'path': '/', 'scheme': 'HTTP'}, 'periodSeconds': 3, 'timeoutSeconds': 1,
        'successThreshold': 1, 'failureThreshold': 3,
    }  # fmt: skip
    assert made['livenessProbe']['grpc'] == {'port': 1, 'service': ''}
    assert made['lifecycle']['preStop']['httpGet'] == {'port': 1, 'path': '/', 'scheme': 'HTTP'}


def test_limits_are_requests_unless_they_are_given():
    made = container(resources={'limits': {'cpu': '1', 'memory': '1Gi'}, 'requests': {'cpu': '500m'}})
    assert made['resources']['requests'] == {'cpu': '500m', 'memory': '1Gi'}


def test_host_network_ports_are_host_ports():
    obj = pod_with(ports=[{'containerPort': 80}])
    obj['spec']['hostNetwork'] = True
    assert created(PODS, obj)['spec']['containers'][0]['ports'][0]['hostPort'] == 80


@pytest.mark.parametrize('given, made', [
    ({}, {'emptyDir': {}}),
    ({'configMap': {'name': 'c'}}, {'configMap': {'name': 'c', 'defaultMode': 0o644}}),
    ({'secret': {'secretName': 's', 'defaultMode': 0}}, {'secret': {'secretName': 's', 'defaultMode': 0}}),
    ({'hostPath': {'path': '/x'}}, {'hostPath': {'path': '/x', 'type': ''}}),
    ({'projected': {'sources': [{'serviceAccountToken': {'path': 't'}}]}},
     {'projected': {'defaultMode': 0o644,
                    'sources': [{'serviceAccountToken': {'path': 't', 'expirationSeconds': 3600}}]}}),
    ({'downwardAPI': {'items': [{'path': 'p', 'fieldRef': {'fieldPath': 'metadata.name'}}]}},
     {'downwardAPI': {'defaultMode': 0o644,
                      'items': [{'path': 'p', 'fieldRef': {'fieldPath': 'metadata.name', 'apiVersion': 'v1'}}]}}),
])  # fmt: skip
def test_volumes(given, made):
    volumes = created(PODS, pod(volumes=[{'name': 'v', **given}]))['spec']['volumes']
    assert volumes == [{'name': 'v', **made}]


def test_a_divisor_is_always_shown():
    reference = {'resourceFieldRef': {'resource': 'limits.cpu'}}
    made = created(PODS, pod_with(env=[{'name': 'A', 'valueFrom': reference}]))['spec']
    assert made['containers'][0]['env'][0]['valueFrom']['resourceFieldRef']['divisor'] == '0'


def test_service_account_has_two_names():
    spec = created(PODS, pod(serviceAccount='robot'))['spec']
    assert (spec['serviceAccountName'], spec['serviceAccount']) == ('robot', 'robot')


def test_service():
    assert created(SERVICES, service())['spec'] == {
        'ports': [{'port': 80, 'protocol': 'TCP', 'targetPort': 80}], 'sessionAffinity': 'None', 'type': 'ClusterIP',
        'internalTrafficPolicy': 'Cluster',
    }  # fmt: skip


def test_node_port_service_is_external():
    assert created(SERVICES, service(type='NodePort'))['spec']['externalTrafficPolicy'] == 'Cluster'
    assert created(SERVICES, service(type='LoadBalancer'))['spec']['allocateLoadBalancerNodePorts'] is True


def test_client_ip_affinity_has_a_timeout():
    config = created(SERVICES, service(sessionAffinity='ClientIP'))['spec']['sessionAffinityConfig']
    assert config == {'clientIP': {'timeoutSeconds': 10800}}


def test_external_name_has_no_families():
    spec = created(SERVICES, named() | {'spec': {'type': 'ExternalName', 'externalName': 'a.b'}})['spec']
    assert spec == {'type': 'ExternalName', 'externalName': 'a.b', 'sessionAffinity': 'None'}


def test_deployment():
    spec = created(DEPLOYMENTS, deployment())['spec']
    assert spec['replicas'] == 1
    assert spec['strategy'] == {'type': 'RollingUpdate', 'rollingUpdate': {'maxUnavailable': '25%', 'maxSurge': '25%'}}
    assert (spec['revisionHistoryLimit'], spec['progressDeadlineSeconds']) == (10, 600)
    assert 'enableServiceLinks' not in spec['template']['spec']
    assert spec['template']['spec']['restartPolicy'] == 'Always'


def test_recreate_has_no_rolling_update():
    assert created(DEPLOYMENTS, deployment(strategy={'type': 'Recreate'}))['spec']['strategy'] == {'type': 'Recreate'}


def test_replicaset_of_zero_stays_zero():
    assert created(REPLICASETS, deployment(replicas=0))['spec']['replicas'] == 0


def test_namespace_is_labelled_with_its_name():
    made = created(NAMESPACES, {'metadata': {'name': 'n', 'labels': {'a': 'b'}}})
    assert made['metadata']['labels'] == {'a': 'b', 'kubernetes.io/metadata.name': 'n'}


def test_string_data_becomes_data():
    made = created(SECRETS, named() | {'data': {'a': 'YQ=='}, 'stringData': {'a': 'x', 'b': 'y'}})
    assert (made['type'], made['data']) == ('Opaque', {'a': 'eA==', 'b': 'eQ=='})
    assert 'stringData' not in made


def test_endpointslice_ports():
    made = created(ENDPOINTSLICES, named() | {'addressType': 'IPv4', 'endpoints': [], 'ports': [{'port': 1}]})
    assert made['ports'] == [{'port': 1, 'name': '', 'protocol': 'TCP'}]


def test_node_allocatable_is_its_capacity():
    made = created(NODES, {'metadata': {'name': 'n'}, 'spec': {'podCIDR': '10.0.0.0/24'},
                           'status': {'capacity': {'pods': '110'}}})  # fmt: skip
    assert made['status']['allocatable'] == {'pods': '110'}
    assert made['spec']['podCIDRs'] == ['10.0.0.0/24']


def test_what_a_pod_requests_as_a_whole():
    """What it says; else what its containers request together, an init container included; else its limit."""
    ask = {'requests': {'cpu': '250m', 'memory': '64Mi'}}
    one = {'name': 'a', 'image': 'i', 'resources': ask}
    init = {**one, 'name': 'i', 'resources': {'requests': {'cpu': '1'}}}
    pod = {'metadata': {'name': 'p'}, 'spec': {
        'containers': [one, {**one, 'name': 'b'}], 'initContainers': [init],
        'resources': {'limits': {'cpu': '2', 'memory': '1Gi', 'hugepages-2Mi': '4Mi'}},
    }}  # fmt: skip
    default_pod(pod)
    assert pod['spec']['resources']['requests'] == {'cpu': '1', 'memory': '128Mi', 'hugepages-2Mi': '4Mi'}
