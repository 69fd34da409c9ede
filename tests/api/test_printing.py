"""Server-side tables: the columns and the words in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from netkube.api.durations import human_duration
from netkube.api.meta import timestamp
from netkube.api.printing import row_conditions, table_columns, table_row
from netkube.api.resources import (
    ALL,
    CONFIGMAPS,
    DEPLOYMENTS,
    ENDPOINTS,
    ENDPOINTSLICES,
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    REPLICASETS,
    SECRETS,
    SERVICEACCOUNTS,
    SERVICES,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def ago(**delta):
    return timestamp(NOW - timedelta(**delta))


def meta(**rest):
    return {'name': 'x', 'creationTimestamp': ago(minutes=5), **rest}


@pytest.mark.parametrize('seconds, long', [
    (-5, '<invalid>'), (-1, '0s'), (0, '0s'), (59, '59s'), (119, '119s'),
    (120, '2m'), (199, '3m19s'), (601, '10m'), (10799, '179m'), (10860, '3h1m'),
    (8 * 3600, '8h'), (47 * 3600, '47h'), (50 * 3600, '2d2h'), (9 * 86400, '9d'),
    (800 * 86400, '2y70d'), (3000 * 86400, '8y'),
])  # fmt: skip
def test_durations(seconds, long):
    assert human_duration(timedelta(seconds=seconds)) == long


def pod(status, *, containers=1, init=(), metadata=None, **spec):
    names = [{'name': f'c{index}'} for index in range(containers)]
    spec = {'containers': names, 'initContainers': list(init), **spec}
    return {'metadata': metadata or meta(), 'spec': spec, 'status': status}


def running(name='c0', *, ready=True, restarts=0, **rest):
    return {'name': name, 'ready': ready, 'restartCount': restarts, 'state': {'running': {}}, **rest}


def waiting(reason, name='c0'):
    return {'name': name, 'ready': False, 'restartCount': 0, 'state': {'waiting': {'reason': reason}}}


def ended(name='c0', **terminated):
    return {'name': name, 'ready': False, 'restartCount': 0, 'state': {'terminated': terminated}}


INIT = ({'name': 'i0'}, {'name': 'i1'})
SIDECAR = ({'name': 's', 'restartPolicy': 'Always'},)
COMPLETED = ended(exitCode=0, reason='Completed')
GATED = [{'type': 'PodScheduled', 'status': 'False', 'reason': 'SchedulingGated'}]
READY = [{'type': 'Ready', 'status': 'True'}]


@pytest.mark.parametrize('obj, ready, reason', [
    (pod({'phase': 'Pending'}), '0/1', 'Pending'),
    (pod({'phase': 'Running', 'containerStatuses': [running()]}), '1/1', 'Running'),
    (pod({'phase': 'Running', 'containerStatuses': [running(ready=False)]}), '0/1', 'Running'),
    (pod({'phase': 'Pending', 'containerStatuses': [waiting('ContainerCreating')]}), '0/1', 'ContainerCreating'),
    (pod({'phase': 'Running', 'containerStatuses': [waiting('CrashLoopBackOff'), running('c1')]}, containers=2),
     '1/2', 'CrashLoopBackOff'),
    (pod({'phase': 'Failed', 'containerStatuses': [ended(exitCode=1, reason='Error')]}), '0/1', 'Error'),
    (pod({'phase': 'Failed', 'containerStatuses': [ended(exitCode=7)]}), '0/1', 'ExitCode:7'),
    (pod({'phase': 'Failed', 'containerStatuses': [ended(exitCode=137, signal=9)]}), '0/1', 'Signal:9'),
    (pod({'phase': 'Succeeded', 'containerStatuses': [COMPLETED]}), '0/1', 'Completed'),
    (pod({'phase': 'Running', 'conditions': READY, 'containerStatuses': [COMPLETED, running('c1')]}, containers=2),
     '1/2', 'Running'),
    (pod({'phase': 'Running', 'containerStatuses': [COMPLETED, running('c1')]}, containers=2), '1/2', 'NotReady'),
    (pod({'phase': 'Failed', 'reason': 'Evicted'}), '0/1', 'Evicted'),
    (pod({'phase': 'Pending', 'conditions': GATED}), '0/1', 'SchedulingGated'),
    (pod({'phase': 'Pending', 'initContainerStatuses': [running('i0')]}, init=INIT), '0/1', 'Init:0/2'),
    (pod({'phase': 'Pending', 'initContainerStatuses': [ended('i0', exitCode=0), waiting('PodInitializing', 'i1')]},
         init=INIT), '0/1', 'Init:1/2'),
    (pod({'phase': 'Pending', 'initContainerStatuses': [waiting('CrashLoopBackOff', 'i0')]}, init=INIT),
     '0/1', 'Init:CrashLoopBackOff'),
    (pod({'phase': 'Pending', 'initContainerStatuses': [ended('i0', exitCode=3)]}, init=INIT),
     '0/1', 'Init:ExitCode:3'),
    (pod({'phase': 'Running', 'initContainerStatuses': [running('s', started=True)], 'containerStatuses': [running()]},
         init=SIDECAR), '2/2', 'Running'),
    (pod({'phase': 'Running', 'containerStatuses': [running()]}, metadata=meta(deletionTimestamp=ago(seconds=1))),
     '1/1', 'Terminating'),
    (pod({'phase': 'Succeeded', 'containerStatuses': [COMPLETED]},
         metadata=meta(deletionTimestamp=ago(seconds=1))), '0/1', 'Completed'),
])  # fmt: skip
def test_pod_status(obj, ready, reason):
    assert table_row(PODS, obj, NOW)[1:3] == [ready, reason]


def test_pod_restarts_and_wide_columns():
    last = {'terminated': {'finishedAt': ago(seconds=65)}}
    status = {'phase': 'Running', 'podIP': '10.0.0.1', 'containerStatuses': [running(restarts=3, lastState=last)]}
    assert table_row(PODS, pod(status, nodeName='n', readinessGates=[{'conditionType': 'a'}]), NOW) == [
        'x', '1/1', 'Running', '3 (65s ago)', '5m', '10.0.0.1', 'n', '<none>', '0/1',
    ]  # fmt: skip


def test_a_finished_pod_says_so_in_its_rows_conditions():
    assert row_conditions(PODS, pod({'phase': 'Succeeded'}))[0]['reason'] == 'Succeeded'
    assert row_conditions(PODS, pod({'phase': 'Running'})) == []


TEMPLATE = {'spec': {'containers': [{'name': 'a', 'image': 'i'}, {'name': 'b', 'image': 'j'}]}}
WORKLOAD = {'replicas': 3, 'selector': {'matchLabels': {'app': 'x'}}, 'template': TEMPLATE}


@pytest.mark.parametrize('resource, obj, cells', [
    (DEPLOYMENTS, {'spec': WORKLOAD, 'status': {'readyReplicas': 2, 'updatedReplicas': 3, 'availableReplicas': 1}},
     ['x', '2/3', 3, 1, '5m', 'a,b', 'i,j', 'app=x']),
    (REPLICASETS, {'spec': WORKLOAD, 'status': {'replicas': 3}}, ['x', 3, 3, 0, '5m', 'a,b', 'i,j', 'app=x']),
    (SERVICES, {'spec': {'type': 'ClusterIP', 'clusterIPs': ['10.96.0.1'], 'ports': [{'port': 80, 'protocol': 'TCP'}],
                         'selector': {'b': '2', 'a': '1'}}},
     ['x', 'ClusterIP', '10.96.0.1', '<none>', '80/TCP', '5m', 'a=1,b=2']),
    (SERVICES, {'spec': {'type': 'NodePort', 'clusterIPs': ['10.96.0.1'], 'externalIPs': ['1.2.3.4'],
                         'ports': [{'port': 80, 'nodePort': 30000, 'protocol': 'TCP'},
                                   {'port': 53, 'protocol': 'UDP'}]}},
     ['x', 'NodePort', '10.96.0.1', '1.2.3.4', '80:30000/TCP,53/UDP', '5m', '<none>']),
    (SERVICES, {'spec': {'type': 'LoadBalancer', 'clusterIPs': ['10.96.0.1'], 'ports': []}},
     ['x', 'LoadBalancer', '10.96.0.1', '<pending>', '<none>', '5m', '<none>']),
    (SERVICES, {'spec': {'type': 'LoadBalancer', 'clusterIPs': ['10.96.0.1'], 'ports': []},
                'status': {'loadBalancer': {'ingress': [{'ip': 'fd00:10:244:e0::1'}, {'ip': '10.244.224.1'}]}}},
     ['x', 'LoadBalancer', '10.96.0.1', '10.244.224.1,fd00:10:244:e0::1', '<none>', '5m', '<none>']),
    (SERVICES, {'spec': {'type': 'ExternalName', 'externalName': 'a.b'}},
     ['x', 'ExternalName', '<none>', 'a.b', '<none>', '5m', '<none>']),
    (ENDPOINTS, {'subsets': [{'addresses': [{'ip': f'10.0.0.{i}'} for i in range(5)], 'ports': [{'port': 80}]}]},
     ['x', '10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 2 more...', '5m']),
    (ENDPOINTS, {}, ['x', '<none>', '5m']),
    (ENDPOINTSLICES, {'addressType': 'IPv4', 'ports': [{'port': 80}, {}], 'endpoints': [{'addresses': ['10.0.0.1']}]},
     ['x', 'IPv4', '80,*', '10.0.0.1', '5m']),
    (ENDPOINTSLICES, {'addressType': 'IPv4'}, ['x', 'IPv4', '<unset>', '<unset>', '5m']),
    (NAMESPACES, {'status': {'phase': 'Active'}}, ['x', 'Active', '5m']),
    (CONFIGMAPS, {'data': {'a': 'b'}, 'binaryData': {'c': 'd'}}, ['x', 2, '5m']),
    (SECRETS, {'type': 'Opaque', 'data': {'a': 'b'}}, ['x', 'Opaque', 1, '5m']),
    (SERVICEACCOUNTS, {}, ['x', 0, '5m']),
    (LEASES, {'spec': {'holderIdentity': 'me'}}, ['x', 'me', '5m']),
    (NODES, {'spec': {'unschedulable': True},
             'status': {'conditions': [{'type': 'Ready', 'status': 'True'}], 'nodeInfo': {'kubeletVersion': 'v1'},
                        'addresses': [{'type': 'InternalIP', 'address': '10.0.0.1'}]}},
     ['x', 'Ready,SchedulingDisabled', '<none>', '5m', 'v1', '10.0.0.1', '<none>', *['<unknown>'] * 3]),
    (EVENTS, {'type': 'Normal', 'reason': 'Started', 'message': 'm\n', 'source': {'component': 'kubelet', 'host': 'n'},
              'involvedObject': {'kind': 'Pod', 'name': 'p', 'fieldPath': 'f'}, 'firstTimestamp': ago(seconds=9),
              'lastTimestamp': ago(seconds=3), 'count': 2},
     ['3s', 'Normal', 'Started', 'pod/p', 'f', 'kubelet, n', 'm', '9s', 2, 'x']),
])  # fmt: skip
def test_rows(resource, obj, cells):
    assert table_row(resource, {'metadata': meta()} | obj, NOW) == cells


@pytest.mark.parametrize('resource', ALL, ids=str)
def test_columns(resource):
    columns = table_columns(resource)
    assert [column['name'] for column in columns if column['format'] == 'name'][:1] == ['Name']
    assert all(column['description'] and not column['description'].startswith('io.k8s') for column in columns)


def test_an_age_that_is_not_known():
    assert table_row(NAMESPACES, {'metadata': {'name': 'x'}}, NOW)[-1] == '<unknown>'
