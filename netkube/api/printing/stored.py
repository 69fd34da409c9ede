"""The tables of the kinds whose cells are plain fields: a row of this file is a kind.

pkg/printers/internalversion/printers.go.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from netkube.api import resources
from netkube.api.durations import age
from netkube.api.meta import Object
from netkube.api.printing import autoscaling, batch, storage
from netkube.api.printing.column import AGE, CONTAINERS, CREATED_AT, IMAGES, NAME, Column, Table, wide
from netkube.api.printing.workloads import print_daemonset, print_replicaset, print_statefulset, template_cells
from netkube.api.resources import Resource

_APPS, _CORE, _BATCH = 'io.k8s.api.apps.v1.', 'io.k8s.api.core.v1.', 'io.k8s.api.batch.v1.'
_STORAGE, _POLICY, _NETWORKING = 'io.k8s.api.storage.v1.', 'io.k8s.api.policy.v1.', 'io.k8s.api.networking.v1.'
_SCALING, _SCHEDULING = 'io.k8s.api.autoscaling.v2.', 'io.k8s.api.scheduling.v1.'
Read = Callable[[Object], Any]


def _at(path: str, default: Any = '') -> Read:
    keys = path.split('.')

    def read(obj: Object) -> Any:
        value: Any = obj
        for key in keys:
            value = (value or {}).get(key)
        return default if value is None else value

    return read


def _count(path: str) -> Read:
    read = _at(path)
    return lambda obj: len(read(obj) or ())


def _fields(*cells: tuple[Column, Read]) -> Table:
    """Name, the cells given, Age; wide columns come behind it."""
    narrow = [cell for cell in cells if not cell[0].priority]
    rest = [cell for cell in cells if cell[0].priority]
    columns = (NAME, *(column for column, _ in narrow), AGE, *(column for column, _ in rest))

    def row(obj: Object, now: datetime) -> list[Any]:
        born = age(obj['metadata'].get('creationTimestamp'), now)
        return [obj['metadata']['name'], *(read(obj) for _, read in narrow), born, *(read(obj) for _, read in rest)]

    return columns, row


def _created_at(obj: Object, now: datetime) -> list[Any]:
    return [obj['metadata']['name'], obj['metadata'].get('creationTimestamp')]


PLAIN: Table = ((NAME, CREATED_AT), _created_at)  # what upstream prints of a kind without columns of its own


def _hosts(ingress: Object) -> str:
    hosts = [rule['host'] for rule in _at('spec.rules')(ingress) or () if rule.get('host')]
    return ','.join(hosts[:3]) + (f' + {len(hosts) - 3} more...' if len(hosts) > 3 else '') if hosts else '*'


def _ingress_address(ingress: Object) -> str:
    balancers = _at('status.loadBalancer.ingress')(ingress) or ()
    return ','.join(one.get('ip') or one.get('hostname', '') for one in balancers)


def _parameters(ingress_class: Object) -> str:
    parameters = (ingress_class.get('spec') or {}).get('parameters')
    if not parameters:
        return '<none>'
    group = parameters.get('apiGroup')
    return f'{parameters["kind"]}{"." + group if group else ""}/{parameters["name"]}'


def _quota(word: str) -> Read:
    """``requests.cpu: 1/2`` of each resource that is, or is not, a limit."""

    def read(quota: Object) -> str:
        status = quota.get('status') or {}
        hard, used = status.get('hard') or quota.get('spec', {}).get('hard') or {}, status.get('used') or {}
        limits = {name for name in hard if name.startswith('limits.')}
        names = limits if word == 'limits' else set(hard) - limits
        return ', '.join(f'{name}: {used.get(name, "0")}/{hard[name]}' for name in sorted(names))

    return read


def _csr_condition(request: Object) -> str:
    conditions = [one['type'] for one in _at('status.conditions')(request) or ()]
    found = [one for one in ('Approved', 'Denied', 'Failed') if one in conditions]
    if not found:
        return 'Pending'
    issued = 'Issued' if 'Approved' in found and _at('status.certificate')(request) else ''
    return ','.join([*found, issued] if issued else found)


def _owner(revision: Object) -> str:
    owners = revision['metadata'].get('ownerReferences') or ()
    owner = next((one for one in owners if one.get('controller')), None)
    if owner is None:
        return '<none>'
    group = owner['apiVersion'].partition('/')[0] if '/' in owner['apiVersion'] else ''
    return f'{owner["kind"].lower()}{"." + group if group else ""}/{owner["name"]}'


def _podtemplate(template: Object, now: datetime) -> list[Any]:
    labels = ((template.get('template') or {}).get('metadata') or {}).get('labels') or {}
    shown = ','.join(f'{key}={value}' for key, value in sorted(labels.items())) or '<none>'
    return [template['metadata']['name'], *template_cells(template), shown]


def _bool(path: str) -> Read:
    read = _at(path, False)
    return lambda obj: bool(read(obj))


def _available(service: Object) -> str:
    for condition in _at('status.conditions')(service) or ():
        if condition.get('type') == 'Available':
            status = condition.get('status', '')
            return status if status == 'True' else f'{status} ({condition.get("reason", "")})'
    return 'Unknown'


def _service_of(service: Object) -> str:
    reference = _at('spec.service')(service)
    return f'{reference.get("namespace", "")}/{reference.get("name", "")}' if reference else 'Local'


_SELECTOR = wide('Selector', _APPS + 'StatefulSetSpec.selector')
_AUTOSCALER: Table = ((
    NAME,
    Column('Reference', _SCALING + 'HorizontalPodAutoscalerSpec.scaleTargetRef'),
    Column('Targets', _SCALING + 'HorizontalPodAutoscalerSpec.metrics'),
    Column('MinPods', _SCALING + 'HorizontalPodAutoscalerSpec.minReplicas'),
    Column('MaxPods', _SCALING + 'HorizontalPodAutoscalerSpec.maxReplicas', 'integer'),
    Column('Replicas', _SCALING + 'HorizontalPodAutoscalerStatus.currentReplicas', 'integer'),
    AGE,
), autoscaling.print_autoscaler)  # fmt: skip

TABLES: dict[Resource, Table] = {
    resources.STATEFULSETS: ((
        NAME, Column('Ready', 'Number of the pod with ready state'), AGE, CONTAINERS, IMAGES,
    ), print_statefulset),
    resources.DAEMONSETS: ((
        NAME,
        Column('Desired', _APPS + 'DaemonSetStatus.desiredNumberScheduled', 'integer'),
        Column('Current', _APPS + 'DaemonSetStatus.currentNumberScheduled', 'integer'),
        Column('Ready', _APPS + 'DaemonSetStatus.numberReady', 'integer'),
        Column('Up-to-date', _APPS + 'DaemonSetStatus.updatedNumberScheduled', 'integer'),
        Column('Available', _APPS + 'DaemonSetStatus.numberAvailable', 'integer'),
        Column('Node Selector', _CORE + 'PodSpec.nodeSelector'),
        AGE, CONTAINERS, IMAGES, _SELECTOR,
    ), print_daemonset),
    resources.REPLICATIONCONTROLLERS: ((
        NAME,
        Column('Desired', _CORE + 'ReplicationControllerSpec.replicas', 'integer'),
        Column('Current', _CORE + 'ReplicationControllerStatus.replicas', 'integer'),
        Column('Ready', _CORE + 'ReplicationControllerStatus.readyReplicas', 'integer'),
        AGE, CONTAINERS, IMAGES, wide('Selector', _CORE + 'ReplicationControllerSpec.selector'),
    ), print_replicaset),
    resources.PODTEMPLATES: ((
        NAME,
        Column('Containers', 'Names of each container in the template.'),
        Column('Images', 'Images referenced by each container in the template.'),
        Column('Pod Labels', 'The labels for the pod template.'),
    ), _podtemplate),
    resources.JOBS: ((
        NAME,
        Column('Status', 'Status of the job.'),
        Column('Completions', _BATCH + 'JobStatus.succeeded'),
        Column('Duration', 'Time required to complete the job.'),
        AGE, CONTAINERS, IMAGES, wide('Selector', _BATCH + 'JobSpec.selector'),
    ), batch.print_job),
    resources.CRONJOBS: ((
        NAME,
        Column('Schedule', _BATCH + 'CronJobSpec.schedule'),
        Column('Timezone', _BATCH + 'CronJobSpec.timeZone'),
        Column('Suspend', _BATCH + 'CronJobSpec.suspend', 'boolean'),
        Column('Active', _BATCH + 'CronJobStatus.active', 'integer'),
        Column('Last Schedule', _BATCH + 'CronJobStatus.lastScheduleTime'),
        AGE, CONTAINERS, IMAGES, wide('Selector', _BATCH + 'JobSpec.selector'),
    ), batch.print_cronjob),
    resources.HORIZONTALPODAUTOSCALERS: _AUTOSCALER,
    resources.PODDISRUPTIONBUDGETS: _fields(
        (Column('Min Available', 'The minimum number of pods that must be available.'),
         _at('spec.minAvailable', 'N/A')),
        (Column('Max Unavailable', 'The maximum number of pods that may be unavailable.'),
         _at('spec.maxUnavailable', 'N/A')),
        (Column('Allowed Disruptions', 'Calculated number of pods that may be disrupted at this time.', 'integer'),
         _at('status.disruptionsAllowed', 0)),
    ),
    resources.INGRESSES: _fields(
        (Column('Class', 'The name of the IngressClass resource that should be used for additional configuration'),
         _at('spec.ingressClassName', '<none>')),
        (Column('Hosts', 'Hosts that incoming requests are matched against before the ingress rule'), _hosts),
        (Column('Address', 'Address is a list containing ingress points for the load-balancer'), _ingress_address),
        (Column('Ports', 'Ports of TLS configurations that open'),
         lambda ingress: '80, 443' if _at('spec.tls')(ingress) else '80'),
    ),
    resources.INGRESSCLASSES: _fields(
        (Column('Controller', 'Controller that is responsible for handling this class'),
         _at('spec.controller', '<none>')),
        (Column('Parameters', 'A reference to a resource with additional parameters'), _parameters),
    ),
    resources.PERSISTENTVOLUMES: ((
        NAME,
        Column('Capacity', _CORE + 'PersistentVolumeSpec.capacity'),
        Column('Access Modes', _CORE + 'PersistentVolumeSpec.accessModes'),
        Column('Reclaim Policy', _CORE + 'PersistentVolumeSpec.persistentVolumeReclaimPolicy'),
        Column('Status', _CORE + 'PersistentVolumeStatus.phase'),
        Column('Claim', _CORE + 'PersistentVolumeSpec.claimRef'),
        Column('StorageClass', _CORE + 'PersistentVolumeSpec.storageClassName'),
        Column('VolumeAttributesClass', _CORE + 'PersistentVolumeSpec.volumeAttributesClassName'),
        Column('Reason', _CORE + 'PersistentVolumeStatus.reason'),
        AGE, wide('VolumeMode', _CORE + 'PersistentVolumeSpec.volumeMode'),
    ), storage.print_persistentvolume),
    resources.PERSISTENTVOLUMECLAIMS: ((
        NAME,
        Column('Status', _CORE + 'PersistentVolumeClaimStatus.phase'),
        Column('Volume', _CORE + 'PersistentVolumeClaimSpec.volumeName'),
        Column('Capacity', _CORE + 'PersistentVolumeClaimStatus.capacity'),
        Column('Access Modes', _CORE + 'PersistentVolumeClaimStatus.accessModes'),
        Column('StorageClass', _CORE + 'PersistentVolumeClaimSpec.storageClassName'),
        Column('VolumeAttributesClass', _CORE + 'PersistentVolumeClaimSpec.volumeAttributesClassName'),
        AGE, wide('VolumeMode', _CORE + 'PersistentVolumeClaimSpec.volumeMode'),
    ), storage.print_persistentvolumeclaim),
    resources.STORAGECLASSES: ((
        NAME,
        Column('Provisioner', _STORAGE + 'StorageClass.provisioner'),
        Column('ReclaimPolicy', _STORAGE + 'StorageClass.reclaimPolicy'),
        Column('VolumeBindingMode', _STORAGE + 'StorageClass.volumeBindingMode'),
        Column('AllowVolumeExpansion', _STORAGE + 'StorageClass.allowVolumeExpansion'),
        AGE,
    ), storage.print_storageclass),
    resources.CSIDRIVERS: ((
        NAME,
        Column('AttachRequired', _STORAGE + 'CSIDriverSpec.attachRequired', 'boolean'),
        Column('PodInfoOnMount', _STORAGE + 'CSIDriverSpec.podInfoOnMount', 'boolean'),
        Column('StorageCapacity', _STORAGE + 'CSIDriverSpec.storageCapacity', 'boolean'),
        Column('TokenRequests', _STORAGE + 'CSIDriverSpec.tokenRequests'),
        Column('RequiresRepublish', _STORAGE + 'CSIDriverSpec.requiresRepublish', 'boolean'),
        Column('Modes', _STORAGE + 'CSIDriverSpec.volumeLifecycleModes'),
        AGE,
    ), storage.print_csidriver),
    resources.CSINODES: _fields(
        (Column('Drivers', _STORAGE + 'CSINodeSpec.drivers', 'integer'), _count('spec.drivers')),
    ),
    resources.VOLUMEATTACHMENTS: _fields(
        (Column('Attacher', _STORAGE + 'VolumeAttachmentSpec.attacher', format='name'), _at('spec.attacher')),
        (Column('PV', _STORAGE + 'VolumeAttachmentSource.persistentVolumeName'),
         _at('spec.source.persistentVolumeName')),
        (Column('Node', _STORAGE + 'VolumeAttachmentSpec.nodeName'), _at('spec.nodeName')),
        (Column('Attached', _STORAGE + 'VolumeAttachmentStatus.attached', 'boolean'), _bool('status.attached')),
    ),
    resources.VOLUMEATTRIBUTESCLASSES: _fields(
        (Column('DriverName', _STORAGE + 'VolumeAttributesClass.driverName'), _at('driverName')),
    ),
    resources.PRIORITYCLASSES: _fields(
        (Column('Value', _SCHEDULING + 'PriorityClass.value', 'integer'), _at('value', 0)),
        (Column('Global-Default', _SCHEDULING + 'PriorityClass.globalDefault', 'boolean'), _bool('globalDefault')),
        (wide('PreemptionPolicy', _SCHEDULING + 'PriorityClass.preemptionPolicy'), _at('preemptionPolicy')),
    ),
    resources.RUNTIMECLASSES: _fields(
        (Column('Handler', 'io.k8s.api.node.v1.RuntimeClass.handler'), _at('handler')),
    ),
    resources.RESOURCEQUOTAS: _fields(
        (Column('Request', 'Request represents a minimum amount of cpu/memory that a container may consume.'),
         _quota('requests')),
        (Column('Limit', 'Limits control the maximum amount of cpu/memory that a container may use independent of '
                         'contention on the node.'), _quota('limits')),
    ),
    resources.CONTROLLERREVISIONS: _fields(
        (Column('Controller', 'Controller of the object'), _owner),
        (Column('Revision', _APPS + 'ControllerRevision.revision'), _at('revision', 0)),
    ),
    resources.CERTIFICATESIGNINGREQUESTS: _fields(
        (Column('SignerName', 'io.k8s.api.certificates.v1.CertificateSigningRequestSpec.signerName'),
         _at('spec.signerName')),
        (Column('Requestor', 'io.k8s.api.certificates.v1.CertificateSigningRequestSpec.request'),
         _at('spec.username')),
        (Column('RequestedDuration', 'io.k8s.api.certificates.v1.CertificateSigningRequestSpec.expirationSeconds'),
         _at('spec.expirationSeconds', '<none>')),
        (Column('Condition', 'io.k8s.api.certificates.v1.CertificateSigningRequestStatus.conditions'),
         _csr_condition),
    ),
    resources.MUTATINGWEBHOOKCONFIGURATIONS: _fields(
        (Column('Webhooks', 'Webhooks indicates the number of webhooks registered in this configuration', 'integer'),
         _count('webhooks')),
    ),
    resources.VALIDATINGWEBHOOKCONFIGURATIONS: _fields(
        (Column('Webhooks', 'Webhooks indicates the number of webhooks registered in this configuration', 'integer'),
         _count('webhooks')),
    ),
    resources.VALIDATINGADMISSIONPOLICIES: _fields(
        (Column('Validations', 'Validations indicates the number of validation rules defined in this configuration',
                'integer'), _count('spec.validations')),
        (Column('ParamKind', 'ParamKind specifies the kind of resources used to parameterize this policy'),
         _at('spec.paramKind.kind', '<unset>')),
    ),
    resources.VALIDATINGADMISSIONPOLICYBINDINGS: _fields(
        (Column('PolicyName', 'PolicyName indicates the policy definition which the policy binding binded to'),
         _at('spec.policyName')),
        (Column('ParamRef', 'ParamRef indicates the param resource which sets the configration param'),
         _at('spec.paramRef.name', '<unset>')),
    ),
    resources.MUTATINGADMISSIONPOLICIES: _fields(
        (Column('Mutations', 'Mutation indicates the number of mutations rules defined in this configuration',
                'integer'), _count('spec.mutations')),
        (Column('ParamKind', 'ParamKind specifies the kind of resources used to parameterize this policy'),
         _at('spec.paramKind.kind', '<unset>')),
    ),
    resources.MUTATINGADMISSIONPOLICYBINDINGS: _fields(
        (Column('PolicyName', 'PolicyName indicates the policy definition which the policy binding binded to'),
         _at('spec.policyName')),
        (Column('ParamRef', 'ParamRef indicates the param resource which sets the configration param'),
         _at('spec.paramRef.name', '<unset>')),
    ),
    resources.APISERVICES: _fields(
        (Column('Service', 'The reference to the service that hosts this API endpoint.'), _service_of),
        (Column('Available', 'Whether this service is available.'), _available),
    ),
    resources.FLOWSCHEMAS: _fields(
        (Column('PriorityLevel', 'Name of the priority level configuration', format='name'),
         _at('spec.priorityLevelConfiguration.name')),
        (Column('MatchingPrecedence', 'Used to choose among the flow schemas', 'integer'),
         _at('spec.matchingPrecedence', 0)),
        (Column('DistinguisherMethod', 'How flows are told apart'), _at('spec.distinguisherMethod.type', '<none>')),
    ),
    resources.PRIORITYLEVELCONFIGURATIONS: _fields(
        (Column('Type', 'Whether this priority level is subject to limitation'), _at('spec.type')),
        (Column('NominalConcurrencyShares', 'Of the server\'s concurrency limit'),
         _at('spec.limited.nominalConcurrencyShares', '<none>')),
    ),
    resources.DEVICECLASSES: _fields(),
    resources.RESOURCECLAIMS: _fields(
        (Column('State', 'A summary of the current state (allocated, pending, reserved, etc.).'),
         lambda claim: 'allocated' if _at('status.allocation')(claim) else 'pending'),
    ),
    resources.RESOURCECLAIMTEMPLATES: _fields(),
    resources.RESOURCESLICES: _fields(
        (Column('Node', 'The node the resources belong to'), _at('spec.nodeName', '<unset>')),
        (Column('Driver', 'The driver that publishes them'), _at('spec.driver')),
        (Column('Pool', 'The pool the resources belong to'), _at('spec.pool.name')),
    ),
}  # fmt: skip
