"""Every refusal: the field's path and Kubernetes' words. A manifest that nothing is wrong with has no faults."""

from __future__ import annotations

import copy

import pytest

from netkube.api.errors import invalid
from netkube.api.resources import (
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
from netkube.api.strategies import prepare_status_update, prepare_update
from netkube.api.validation import validate_binding, validate_create, validate_status_update, validate_update

from .objects import created, deployment, faults, named, pod, pod_with, service, stored

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
RANGE = 'must be between 1 and 65535, inclusive'


@pytest.mark.parametrize('resource, obj', [
    (PODS, pod()), (DEPLOYMENTS, deployment()), (REPLICASETS, deployment()), (SERVICES, service()),
    (SERVICES, service(clusterIP='None', ports=[])), (CONFIGMAPS, named() | {'data': {'a.b': 'c'}}),
    (SECRETS, named() | {'stringData': {'a': 'b'}}), (SERVICEACCOUNTS, named()),
    (NAMESPACES, {'metadata': {'name': 'n'}}),
    (NODES, {'metadata': {'name': 'n'}}), (LEASES, named() | {'spec': {'leaseDurationSeconds': 40}}),
    (EVENTS, named('x.17') | {'involvedObject': {'kind': 'Pod', 'namespace': 'default'}}),
    (ENDPOINTS, named() | {'subsets': [{'addresses': [{'ip': '10.0.0.1'}], 'ports': [{'port': 80}]}]}),
    (ENDPOINTSLICES, named() | {'addressType': 'IPv4', 'endpoints': [{'addresses': ['10.0.0.1']}]}),
])  # fmt: skip
def test_good_objects(resource, obj):
    assert faults(resource, obj) == []


@pytest.mark.parametrize('metadata, fault', [
    ({'name': ''}, 'metadata.name: Required value: name or generateName is required'),
    ({'namespace': ''}, 'metadata.namespace: Required value'),
    ({'finalizers': ['mine']}, 'metadata.finalizers[0]: Invalid value: "mine": '
                               'name is neither a standard finalizer name nor is it fully qualified'),
    ({'finalizers': ['orphan', 'foregroundDeletion']},
     'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: '
     'finalizer orphan and foregroundDeletion cannot be both set'),
    ({'annotations': {'a': 'x' * 262144}}, 'metadata.annotations: Too long: may not be more than 262144 bytes'),
    ({'ownerReferences': [{'apiVersion': 'v1', 'kind': 'Pod', 'name': 'p', 'uid': ''}]},
     'metadata.ownerReferences.uid: Invalid value: "": must not be empty'),
    ({'labels': {'a': 'x' * 64}}, f'metadata.labels: Invalid value: "{"x" * 64}": must be no more than 63 bytes'),
])  # fmt: skip
def test_metadata(metadata, fault):
    assert faults(CONFIGMAPS, named(**metadata) if 'name' not in metadata else {'metadata': {
        'namespace': 'default', **metadata}}) == [fault]  # fmt: skip


def test_cluster_scoped_kinds_have_no_namespace():
    assert faults(NAMESPACES, named('n')) == ['metadata.namespace: Forbidden: not allowed on this type']


CONTAINER_FAULTS = [
    ({'name': ''}, ['spec.containers[0].name: Required value']),
    ({'name': 'A'}, [f'spec.containers[0].name: Invalid value: "A": {LABEL}']),
    ({'image': ''}, ['spec.containers[0].image: Required value']),
    ({'image': ' a'}, ['spec.containers[0].image: Invalid value: " a": must not have leading or trailing whitespace']),
    ({'ports': [{'containerPort': 0}]}, ['spec.containers[0].ports[0].containerPort: Required value']),
    ({'ports': [{'containerPort': 70000}]},
     [f'spec.containers[0].ports[0].containerPort: Invalid value: 70000: {RANGE}']),
    ({'ports': [{'containerPort': 1, 'protocol': 'tcp'}]},
     ['spec.containers[0].ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP"']),
    ({'ports': [{'containerPort': 1, 'name': 'a'}, {'containerPort': 2, 'name': 'a'}]},
     ['spec.containers[0].ports[1].name: Duplicate value: "a"']),
    ({'ports': [{'containerPort': 1, 'hostPort': 5}, {'containerPort': 2, 'hostPort': 5}]},
     ['spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//5"']),
    ({'imagePullPolicy': 'Sometimes'},
     ['spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": '
      'supported values: "Always", "IfNotPresent", "Never"']),
    ({'terminationMessagePolicy': 'x'},
     ['spec.containers[0].terminationMessagePolicy: Unsupported value: "x": '
      'supported values: "File", "FallbackToLogsOnError"']),
    ({'restartPolicy': 'Always', 'restartPolicyRules': [{
        'action': 'RestartAllContainers', 'exitCodes': {'operator': 'NotIn', 'values': [0]}}]}, []),
    ({'restartPolicy': 'Maybe'},
     ['spec.containers[0].restartPolicy: Unsupported value: "Maybe": supported values: "Always", "Never", '
      '"OnFailure"']),
    ({'restartPolicyRules': [{'action': 'Restart', 'exitCodes': {'operator': 'Equals', 'values': [3]}}]},
     ['spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used',
      'spec.containers[0].restartPolicyRules[0].exitCodes.operator: Unsupported value: "Equals": supported values: '
      '"In", "NotIn"']),
    ({'restartPolicy': 'Never', 'restartPolicyRules': [{'action': 'Stop'}]},
     ['spec.containers[0].restartPolicyRules[0].action: Unsupported value: "Stop": supported values: "Restart", '
      '"RestartAllContainers"',
      'spec.containers[0].restartPolicyRules[0].exitCodes: Required value: must be specified']),
    ({'lifecycle': {'stopSignal': 'SIGUSR1'}},
     ['spec.containers[0].lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`']),
    ({'env': [{'name': ''}]}, ['spec.containers[0].env[0].name: Required value']),
    ({'env': [{'name': 'A', 'valueFrom': {}}]},
     ['spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, '
      '`configMapKeyRef`, `secretKeyRef` or `fileKeyRef`']),
    ({'env': [{'name': 'A', 'value': 'x', 'valueFrom': {'fieldRef': {'fieldPath': 'metadata.name'}}}]},
     ['spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty']),
    ({'env': [{'name': 'A', 'valueFrom': {'fieldRef': {'fieldPath': 'status.phase'}}}]},
     ['spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": supported values: '
      '"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", '
      '"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"']),
    ({'env': [{'name': 'A', 'valueFrom': {'fieldRef': {'fieldPath': 'spec.foo'}}}]},
     ['spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.foo": '
      'error converting fieldPath: field label not supported: spec.foo']),
    ({'env': [{'name': 'A', 'valueFrom': {'configMapKeyRef': {'name': 'c'}}}]},
     ['spec.containers[0].env[0].valueFrom.configMapKeyRef.key: Required value']),
    ({'env': [{'name': 'A', 'valueFrom': {'fileKeyRef': {'volumeName': 'V', 'path': '../x', 'key': 'k'}}},
              {'name': 'B', 'valueFrom': {'fileKeyRef': {}}}]},
     ['spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Invalid value: "V": ' + LABEL,
      'spec.containers[0].env[0].valueFrom.fileKeyRef.path: Invalid value: "../x": must not contain \'..\'',
      'spec.containers[0].env[1].valueFrom.fileKeyRef.key: Required value',
      'spec.containers[0].env[1].valueFrom.fileKeyRef.volumeName: Required value',
      'spec.containers[0].env[1].valueFrom.fileKeyRef.path: Required value']),
    ({'envFrom': [{}]},
     ['spec.containers[0].envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`']),
    ({'volumeMounts': [{'name': 'gone', 'mountPath': '/x'}]},
     ['spec.containers[0].volumeMounts[0].name: Not found: "gone"']),
    ({'resources': {'limits': {'cpu': '1'}, 'requests': {'cpu': '2'}}},
     ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1']),
    ({'resources': {'limits': {'cpus': '1'}}},
     ['spec.containers[0].resources.limits[cpus]: Invalid value: "cpus": must be a standard resource for containers',
      'spec.containers[0].resources.requests[cpus]: Invalid value: "cpus": '
      'must be a standard resource for containers']),
    ({'resources': {'requests': {'cpu': '-1'}}},
     ['spec.containers[0].resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0']),
    ({'readinessProbe': {}}, ['spec.containers[0].readinessProbe: Required value: must specify a handler type']),
    ({'livenessProbe': {'exec': {'command': ['x']}, 'successThreshold': 2}},
     ['spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1']),
    ({'livenessProbe': {'exec': {}, 'tcpSocket': {'port': 1}}},
     ['spec.containers[0].livenessProbe.exec.command: Required value',
      'spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type']),
    ({'readinessProbe': {'httpGet': {'port': 0, 'scheme': 'FTP'}, 'periodSeconds': -1}},
     [f'spec.containers[0].readinessProbe.httpGet.port: Invalid value: 0: {RANGE}',
      'spec.containers[0].readinessProbe.httpGet.scheme: Unsupported value: "FTP": supported values: "HTTP", "HTTPS"',
      'spec.containers[0].readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0']),
    ({'lifecycle': {'preStop': {'sleep': {'seconds': 31}}}},
     ['spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: '
      'must be non-negative and less than terminationGracePeriodSeconds (30)']),
    ({'securityContext': {'runAsUser': -1}},
     ['spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive']),
    ({'securityContext': {'allowPrivilegeEscalation': False, 'privileged': True}},
     ['spec.containers[0].securityContext: Invalid value: {"allowPrivilegeEscalation":false,"privileged":true}: '
      'cannot set `allowPrivilegeEscalation` to false and `privileged` to true']),
    ({'securityContext': {'procMount': 'Unmasked'}},
     ['spec.containers[0].securityContext.procMount: Invalid value: "Unmasked": '
      '`hostUsers` must be false to use `Unmasked`']),
    ({'securityContext': {'procMount': 'Bare'}},
     ['spec.containers[0].securityContext.procMount: Unsupported value: "Bare": '
      'supported values: "Default", "Unmasked"']),
]  # fmt: skip


@pytest.mark.parametrize('container, expected', CONTAINER_FAULTS, ids=lambda value: str(value)[:60])
def test_containers(container, expected):
    assert faults(PODS, pod_with(**container)) == expected


POD_FAULTS = [
    ({'containers': []}, ['spec.containers: Required value']),
    ({'restartPolicy': 'Maybe'},
     ['spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"']),
    ({'dnsPolicy': 'None'}, ['spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None']),
    ({'dnsConfig': {'nameservers': ['x']}},
     ['spec.dnsConfig.nameservers[0]: Invalid value: "x": must be a valid IP address, '
      '(e.g. 10.9.8.7 or 2001:db8::ffff)']),
    ({'resources': {'limits': {'pods': '1'}, 'claims': [{'name': 'c'}]}},
     ['spec.resources.claims: Forbidden: claims cannot be set for Resources at pod-level',
      'spec.resources.limits[pods]: Unsupported value: "pods": supported values: "cpu", "memory"',
      'spec.resources.requests[pods]: Unsupported value: "pods": supported values: "cpu", "memory"']),
    ({'resources': {'limits': {'cpu': '1'}, 'requests': {'cpu': '100m'}},
      'containers': [{'name': 'main', 'image': 'i', 'resources': {
          'limits': {'cpu': '2'}, 'requests': {'cpu': '200m', 'ephemeral-storage': '1Gi'}}}]},
     ['spec.resources.requests[cpu]: Invalid value: "100m": must be greater than or equal to aggregate container '
      'requests of 200m',
      'spec.resources.containers[0][cpu].limits: Invalid value: "2": must be less than or equal to pod limits of 1']),
    ({'hostname': 'a.b'}, ['spec.hostname: Invalid value: "a.b": must not contain dots']),
    ({'activeDeadlineSeconds': 0},
     ['spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive']),
    ({'hostAliases': [{'ip': 'x', 'hostnames': ['h']}]},
     ['spec.hostAliases[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)']),
    ({'tolerations': [{'key': 'a', 'operator': 'In'}]},
     ['spec.tolerations[0].operator: Unsupported value: "In": supported values: "Equal", "Exists"']),
    ({'tolerations': [{'operator': 'Equal'}]},
     ['spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, '
      'which means "match all values and all keys"']),
    ({'initContainers': [{'name': 'main', 'image': 'i', 'livenessProbe': {'tcpSocket': {'port': 1}}}]},
     ['spec.initContainers[0].name: Duplicate value: "main"',
      'spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without '
      'restartPolicy=Always']),
    ({'ephemeralContainers': [{'name': 'e', 'image': 'i'}]},
     ['spec.ephemeralContainers: Forbidden: cannot be set on create']),
    ({'volumes': [{'name': 'v', 'emptyDir': {'mode': 0o2777}}]},
     ['spec.volumes[0].emptyDir.mode: Invalid value: 1535: '
      'must be a number between 0 and 01777 (octal), both inclusive']),
    ({'volumes': [{'name': 'v', 'emptyDir': {}, 'configMap': {'name': 'c'}}]},
     ['spec.volumes[0].configMap: Forbidden: may not specify more than 1 volume type']),
    ({'volumes': [{'name': 'v'}, {'name': 'v'}]}, ['spec.volumes[1].name: Duplicate value: "v"']),
    ({'volumes': [{'name': 'v', 'configMap': {'name': 'c', 'items': [{'key': 'k', 'path': '../x'}]}}]},
     ['spec.volumes[0].configMap.items[0].path: Invalid value: "../x": must not contain \'..\'']),
    ({'volumes': [{'name': 'v', 'secret': {'secretName': 's', 'defaultMode': 512}}]},
     ['spec.volumes[0].secret.defaultMode: Invalid value: 512: '
      'must be a number between 0 and 0777 (octal), both inclusive']),
    ({'volumes': [{'name': 'v', 'hostPath': {'path': '/x', 'type': 'Dir'}}]},
     ['spec.volumes[0].hostPath.type: Unsupported value: "Dir": supported values: "", "BlockDevice", "CharDevice", '
      '"Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"']),
    ({'volumes': [{'name': 'v', 'projected': {'sources': [{'configMap': {'name': 'a'}, 'secret': {'name': 'b'}}]}}]},
     ['spec.volumes[0].projected.sources[0]: Forbidden: may not specify more than 1 volume type per source']),
    ({'affinity': {'podAntiAffinity': {'requiredDuringSchedulingIgnoredDuringExecution': [{'topologyKey': ''}]}}},
     ['spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: '
      'Required value: can not be empty']),
    ({'topologySpreadConstraints': [{'maxSkew': 0, 'topologyKey': 'k', 'whenUnsatisfiable': 'DoNotSchedule'}]},
     ['spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero']),
    ({'hostUsers': False, 'hostNetwork': True}, ['spec.hostNetwork: Forbidden: when `pod.Spec.HostUsers` is false']),
]  # fmt: skip


@pytest.mark.parametrize('spec, expected', POD_FAULTS, ids=lambda value: str(value)[:60])
def test_pods(spec, expected):
    found = faults(PODS, pod(**spec))
    assert found[: len(expected)] == expected


def pod_update(change, **spec):
    old = stored(PODS, pod(**spec))
    new = copy.deepcopy(old)
    change(new)
    prepare_update(PODS, new, old)
    return [str(error) for error in validate_update(PODS, new, old)]


def test_a_pods_image_and_deadline_may_change_and_tolerations_be_added():
    def change(new):
        new['spec']['containers'][0]['image'] = 'other'
        new['spec']['activeDeadlineSeconds'] = 9
        new['spec']['tolerations'] = [{'key': 'a', 'operator': 'Exists'}]

    assert pod_update(change) == []


def test_nothing_else_of_a_pod_may_change():
    [fault] = pod_update(lambda new: new['spec']['containers'][0].update(command=['false']))
    assert fault.startswith(
        'spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,'
        '`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing '
        'tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n'
    )
    assert 'containers[0].command' in fault


@pytest.mark.parametrize('change, spec, fault', [
    (lambda new: new['spec']['containers'].append({**new['spec']['containers'][0], 'name': 'b'}), {},
     'spec.containers: Forbidden: pod updates may not add or remove containers'),
    (lambda new: new['spec'].pop('activeDeadlineSeconds'), {'activeDeadlineSeconds': 5},
     'spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value'),
    (lambda new: new['spec'].update(activeDeadlineSeconds=9), {'activeDeadlineSeconds': 5},
     'spec.activeDeadlineSeconds: Invalid value: 9: must be less than or equal to previous value'),
    (lambda new: new['spec'].pop('tolerations'), {'tolerations': [{'key': 'a', 'operator': 'Exists'}]},
     'spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds'),
    (lambda new: new['metadata'].update(name='y'), {}, 'metadata.name: Invalid value: "y": field is immutable'),
    (lambda new: new['metadata'].pop('resourceVersion'), {},
     'metadata.resourceVersion: Invalid value: "": must be specified for an update'),
])  # fmt: skip
def test_pod_updates(change, spec, fault):
    assert pod_update(change, **spec) == [fault]


def test_a_deleted_object_gets_no_new_finalizers():
    old = stored(CONFIGMAPS, named())
    old['metadata']['deletionTimestamp'] = '2026-01-01T00:00:00Z'
    new = copy.deepcopy(old)
    new['metadata']['finalizers'] = ['a.b/c']
    assert [str(error) for error in validate_update(CONFIGMAPS, new, old)] == [
        'metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, '
        'found new finalizers []string{"a.b/c"}'
    ]


def test_a_terminated_container_stays_terminated():
    old = stored(PODS, pod(restartPolicy='Never'))
    old['status']['containerStatuses'] = [{'name': 'main', 'state': {'terminated': {'exitCode': 0}}}]
    new = copy.deepcopy(old)
    new['status']['containerStatuses'] = [{'name': 'main', 'state': {'running': {}}}]
    prepare_status_update(PODS, new, old)
    assert [str(error) for error in validate_status_update(PODS, new, old)] == [
        'status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state'
    ]


SERVICE_FAULTS = [
    ({'ports': []}, ['spec.ports: Required value']),
    ({'ports': [{'port': 80}, {'port': 81}]},
     ['spec.ports[0].name: Required value', 'spec.ports[1].name: Required value']),
    ({'ports': [{'port': 99999, 'targetPort': 80}]}, [f'spec.ports[0].port: Invalid value: 99999: {RANGE}']),
    ({'ports': [{'port': 80, 'nodePort': 30000}]},
     ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"]),
    ({'ports': [{'port': 80, 'name': 'a'}, {'port': 80, 'name': 'b'}]},
     ['spec.ports[1]: Duplicate value: '
      '{"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}']),
    ({'type': 'Cluster'},
     ['spec.type: Unsupported value: "Cluster": '
      'supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"']),
    ({'type': 'NodePort', 'clusterIP': 'None'},
     ['spec.clusterIPs[0]: Invalid value: "None": may not be set to \'None\' for NodePort services']),
    ({'type': 'ExternalName'}, ['spec.externalName: Required value']),
    ({'clusterIP': 'x'},
     ['spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)']),
    ({'externalIPs': ['127.0.0.1']},
     ['spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)']),
    ({'sessionAffinity': 'Cookie'},
     ['spec.sessionAffinity: Unsupported value: "Cookie": supported values: "ClientIP", "None"']),
    ({'externalTrafficPolicy': 'Local'},
     ['spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services']),
    ({'loadBalancerSourceRanges': ['10.0.0.0/8']},
     ["spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'"]),
    ({'type': 'LoadBalancer', 'loadBalancerSourceRanges': ['10.0.0.1']},
     ['spec.LoadBalancerSourceRanges[0]: Invalid value: "10.0.0.1": must be a valid CIDR value, (e.g. 10.9.8.0/24 or '
      '2001:db8::/64)']),
    ({'loadBalancerClass': 'a/b'},
     ["spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"]),
    ({'allocateLoadBalancerNodePorts': True},
     ["spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'"]),
    ({'sessionAffinity': 'ClientIP', 'sessionAffinityConfig': {'clientIP': {'timeoutSeconds': 86401}}},
     ['spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less than '
      '86400']),
    ({'internalTrafficPolicy': 'Near'},
     ['spec.internalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local"']),
    ({'trafficDistribution': 'Near'},
     ['spec.trafficDistribution: Unsupported value: "Near": '
      'supported values: "PreferClose", "PreferSameNode", "PreferSameZone"']),
    ({'ports': [{'port': 80, 'protocol': 'HTTP'}]},
     ['spec.ports[0].protocol: Unsupported value: "HTTP": supported values: "SCTP", "TCP", "UDP"']),
    ({'clusterIP': '10.96.0.1', 'clusterIPs': ['10.96.0.2']},
     ['spec.clusterIPs: Invalid value: ["10.96.0.2"]: first value must match `clusterIP`']),
    ({'clusterIP': '10.96.0.1', 'clusterIPs': ['10.96.0.1', '10.96.0.2']},
     ['spec.clusterIPs: Invalid value: ["10.96.0.1","10.96.0.2"]: may specify no more than one IP for each IP family']),
    ({'ipFamilies': ['IPv4', 'IPv4']}, ['spec.ipFamilies[1]: Duplicate value: "IPv4"']),
    ({'type': 'ExternalName', 'externalName': 'a.b', 'ipFamilyPolicy': 'SingleStack'},
     ['spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services']),
    ({'ipFamilies': ['IPv5']}, ['spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"']),
]  # fmt: skip


@pytest.mark.parametrize('spec, expected', SERVICE_FAULTS, ids=lambda value: str(value)[:60])
def test_services(spec, expected):
    assert faults(SERVICES, service(**spec)) == expected


def test_source_ranges_by_annotation():
    annotated = service(type='LoadBalancer')
    annotated['metadata']['annotations'] = {'service.beta.kubernetes.io/load-balancer-source-ranges': '10.0.0.0/8, x'}
    assert faults(SERVICES, annotated) == [
        'metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]: Invalid value: "x": '
        'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'
    ]


def test_a_services_address_is_immutable():
    old = stored(SERVICES, service(clusterIP='10.96.0.1'))
    new = copy.deepcopy(old)
    new['spec']['clusterIP'] = '10.96.0.2'
    prepare_update(SERVICES, new, old)
    assert [str(error) for error in validate_update(SERVICES, new, old)] == [
        'spec.clusterIPs[0]: Invalid value: ["10.96.0.2"]: may not change once set'
    ]


DEPLOYMENT_FAULTS = [
    ({'selector': None},
     ['spec.selector: Required value',
      'spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match template `labels`']),
    ({'selector': {}}, ['spec.selector: Invalid value: {}: empty selector is invalid for deployment']),
    ({'selector': {'matchLabels': {'app': 'b'}}},
     ['spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match template `labels`']),
    ({'selector': {'matchExpressions': [{'key': 'a', 'operator': 'Is'}]}},
     ['spec.selector.matchExpressions[0].operator: Invalid value: "Is": not a valid selector operator',
      'spec.selector: Invalid value: {"matchExpressions":[{"key":"a","operator":"Is"}]}: invalid label selector']),
    ({'replicas': -1}, ['spec.replicas: Invalid value: -1: must be greater than or equal to 0']),
    ({'strategy': {'type': 'Blue'}},
     ['spec.strategy: Unsupported value: {"Type":"Blue","RollingUpdate":null}: '
      'supported values: "Recreate", "RollingUpdate"']),
    ({'strategy': {'type': 'Recreate', 'rollingUpdate': {'maxSurge': 1}}},
     ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"]),
    ({'strategy': {'rollingUpdate': {'maxSurge': 0, 'maxUnavailable': 0}}},
     ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0']),
    ({'strategy': {'rollingUpdate': {'maxUnavailable': '101%'}}},
     ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%']),
    ({'minReadySeconds': 600},
     ['spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds']),
]  # fmt: skip


@pytest.mark.parametrize('spec, expected', DEPLOYMENT_FAULTS, ids=lambda value: str(value)[:60])
def test_deployments(spec, expected):
    assert faults(DEPLOYMENTS, deployment(**spec)) == expected


def test_a_template_restarts_always():
    obj = deployment()
    obj['spec']['template']['spec'] |= {'restartPolicy': 'Never', 'activeDeadlineSeconds': 3}
    assert faults(DEPLOYMENTS, obj) == [
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
        'spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported',
    ]


@pytest.mark.parametrize('resource', [DEPLOYMENTS, REPLICASETS], ids=str)
def test_a_selector_is_immutable(resource):
    old = stored(resource, deployment())
    new = copy.deepcopy(old)
    new['spec']['selector']['matchLabels'] = {'app': 'b'}
    new['spec']['template']['metadata']['labels'] = {'app': 'b'}
    assert [str(error) for error in validate_update(resource, new, old)] == [
        'spec.selector: Invalid value: {"matchLabels":{"app":"b"}}: field is immutable'
    ]


def test_status_counts_are_plausible():
    old = stored(DEPLOYMENTS, deployment())
    new = copy.deepcopy(old)
    new['status'] = {'replicas': 1, 'readyReplicas': 2}
    assert [str(error) for error in validate_status_update(DEPLOYMENTS, new, old)] == [
        'status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas'
    ]


@pytest.mark.parametrize('resource, obj, expected', [
    (CONFIGMAPS, {'data': {'a': 'x'}, 'binaryData': {'a': 'eA=='}},
     ['data[a]: Invalid value: "a": duplicate of key present in binaryData']),
    (CONFIGMAPS, {'data': {'a': 'x' * 1048577}}, [': Too long: may not be more than 1048576 bytes']),
    (SECRETS, {'type': 'kubernetes.io/tls', 'stringData': {'tls.crt': 'x'}}, ['data[tls.key]: Required value']),
    (SECRETS, {'type': 'kubernetes.io/basic-auth'},
     ['data[username]: Required value', 'data[password]: Required value']),
    (SECRETS, {'type': 'kubernetes.io/dockerconfigjson', 'stringData': {'.dockerconfigjson': '{}'}}, []),
    (SECRETS, {'type': 'kubernetes.io/service-account-token'},
     ['metadata.annotations[kubernetes.io/service-account.name]: Required value']),
    (LEASES, {'spec': {'leaseDurationSeconds': 0}},
     ['spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0']),
    (EVENTS, {'involvedObject': {'namespace': 'other'}},
     ['involvedObject.namespace: Invalid value: "other": does not match event.namespace']),
    (ENDPOINTS, {'subsets': [{}]}, ['subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`']),
    (ENDPOINTSLICES, {'endpoints': []}, ['addressType: Required value']),
    (ENDPOINTSLICES, {'addressType': 'IP', 'endpoints': []},
     ['addressType: Unsupported value: "IP": supported values: "FQDN", "IPv4", "IPv6"']),
    (ENDPOINTSLICES, {'addressType': 'IPv4', 'endpoints': [{'addresses': []}]},
     ['endpoints[0].addresses: Required value: must contain at least 1 address']),
])  # fmt: skip
def test_other_kinds(resource, obj, expected):
    assert faults(resource, named() | obj) == expected


@pytest.mark.parametrize('resource', [CONFIGMAPS, SECRETS], ids=str)
def test_immutable_data(resource):
    old = stored(resource, named() | {'immutable': True, 'data': {'a': 'eA=='}})
    new = copy.deepcopy(old)
    new['data'] = {'a': 'eQ=='}
    del new['immutable']
    assert [str(error) for error in validate_update(resource, new, old)] == [
        'immutable: Forbidden: field is immutable when `immutable` is set',
        'data: Forbidden: field is immutable when `immutable` is set',
    ]


def test_a_secrets_type_and_a_slices_address_type_are_immutable():
    old = stored(SECRETS, named())
    assert [str(error) for error in validate_update(SECRETS, {**old, 'type': 'a/b'}, old)] == [
        'type: Invalid value: "a/b": field is immutable'
    ]
    old = stored(ENDPOINTSLICES, named() | {'addressType': 'IPv4', 'endpoints': []})
    assert [str(error) for error in validate_update(ENDPOINTSLICES, {**old, 'addressType': 'IPv6'}, old)] == [
        'addressType: Invalid value: "IPv6": field is immutable'
    ]


def test_a_binding_names_its_node():
    assert [str(error) for error in validate_binding({'target': {'kind': 'Pod'}})] == [
        'target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"', 'target.name: Required value',
    ]  # fmt: skip


def test_the_status_of_a_refusal_lists_every_cause():
    errors = validate_create(SERVICES, created(SERVICES, service(ports=[{'port': 80}, {'port': 81}])))
    status = invalid(SERVICES, 'x', errors).status()
    assert status['message'] == (
        'Service "x" is invalid: [spec.ports[0].name: Required value, spec.ports[1].name: Required value]'
    )
    assert status['details']['causes'][0] == {
        'reason': 'FieldValueRequired', 'message': 'Required value', 'field': 'spec.ports[0].name',
    }  # fmt: skip
