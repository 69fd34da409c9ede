"""One row per resource: its columns and the function that prints an object's cells."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from netkube.api import resources
from netkube.api.meta import Object
from netkube.api.printing import core, events, network, nodes, pods, rbac, workloads
from netkube.api.resources import Resource
from netkube.api.schema import descriptions

_CORE, _APPS, _META = 'io.k8s.api.core.v1.', 'io.k8s.api.apps.v1.', 'io.k8s.apimachinery.pkg.apis.meta.v1.'
Print = Callable[[Object, datetime], list[Any]]


class Column(msgspec.Struct, frozen=True):
    """``description`` is a sentence, or ``definition.property`` whose description it is."""

    name: str
    description: str
    type: str = 'string'
    format: str = ''
    priority: int = 0


def _wide(name: str, description: str, type: str = 'string') -> Column:
    return Column(name, description, type, priority=1)


_NAME = Column('Name', _META + 'ObjectMeta.name', format='name')
_AGE = Column('Age', _META + 'ObjectMeta.creationTimestamp')
_CONTAINERS = _wide('Containers', 'Names of each container in the template.')
_IMAGES = _wide('Images', 'Images referenced by each container in the template.')
_CREATED = (_NAME, Column('Created At', _META + 'ObjectMeta.creationTimestamp', 'date'))
_BINDING = (
    _NAME,
    Column('Role', 'io.k8s.api.rbac.v1.RoleBinding.roleRef'),
    _AGE,
    _wide('Users', 'Users in the RoleBinding'),
    _wide('Groups', 'Groups in the RoleBinding'),
    _wide('ServiceAccounts', 'ServiceAccounts in the RoleBinding'),
)

_TABLES: dict[Resource, tuple[tuple[Column, ...], Print]] = {
    resources.PODS: ((
        _NAME,
        Column('Ready', 'The aggregate readiness state of this pod for accepting traffic.'),
        Column('Status', 'The aggregate status of the containers in this pod.'),
        Column('Restarts', 'The number of times the containers in this pod have been restarted and when the last '
                           'container in this pod has restarted.'),
        _AGE,
        _wide('IP', _CORE + 'PodStatus.podIP'),
        _wide('Node', _CORE + 'PodSpec.nodeName'),
        _wide('Nominated Node', _CORE + 'PodStatus.nominatedNodeName'),
        _wide('Readiness Gates', _CORE + 'PodSpec.readinessGates'),
    ), pods.print_pod),
    resources.DEPLOYMENTS: ((
        _NAME,
        Column('Ready', 'Number of the pod with ready state'),
        Column('Up-to-date', _APPS + 'DeploymentStatus.updatedReplicas'),
        Column('Available', _APPS + 'DeploymentStatus.availableReplicas'),
        _AGE, _CONTAINERS, _IMAGES,
        _wide('Selector', _APPS + 'DeploymentSpec.selector'),
    ), workloads.print_deployment),
    resources.REPLICASETS: ((
        _NAME,
        Column('Desired', _APPS + 'ReplicaSetSpec.replicas', 'integer'),
        Column('Current', _APPS + 'ReplicaSetStatus.replicas', 'integer'),
        Column('Ready', _APPS + 'ReplicaSetStatus.readyReplicas', 'integer'),
        _AGE, _CONTAINERS, _IMAGES,
        _wide('Selector', _APPS + 'ReplicaSetSpec.selector'),
    ), workloads.print_replicaset),
    resources.SERVICES: ((
        _NAME,
        Column('Type', _CORE + 'ServiceSpec.type'),
        Column('Cluster-IP', _CORE + 'ServiceSpec.clusterIP'),
        Column('External-IP', _CORE + 'ServiceSpec.externalIPs'),
        Column('Port(s)', _CORE + 'ServiceSpec.ports'),
        _AGE,
        _wide('Selector', _CORE + 'ServiceSpec.selector'),
    ), network.print_service),
    resources.ENDPOINTS: ((_NAME, Column('Endpoints', _CORE + 'Endpoints.subsets'), _AGE), network.print_endpoints),
    resources.ENDPOINTSLICES: ((
        _NAME,
        Column('AddressType', 'io.k8s.api.discovery.v1.EndpointSlice.addressType'),
        Column('Ports', 'io.k8s.api.discovery.v1.EndpointSlice.ports'),
        Column('Endpoints', 'io.k8s.api.discovery.v1.EndpointSlice.endpoints'),
        _AGE,
    ), network.print_endpointslice),
    resources.SERVICECIDRS: ((
        _NAME, Column('CIDRs', 'io.k8s.api.networking.v1.ServiceCIDRSpec.cidrs'), _AGE,
    ), network.print_servicecidr),
    resources.IPADDRESSES: ((
        _NAME, Column('ParentRef', 'io.k8s.api.networking.v1.IPAddressSpec.parentRef'), _AGE,
    ), network.print_ipaddress),
    resources.NETWORKPOLICIES: ((
        _NAME, Column('Pod-Selector', 'io.k8s.api.networking.v1.NetworkPolicySpec.podSelector'), _AGE,
    ), network.print_networkpolicy),
    resources.NODES: ((
        _NAME,
        Column('Status', 'The status of the node'),
        Column('Roles', 'The roles of the node'),
        _AGE,
        Column('Version', _CORE + 'NodeSystemInfo.kubeletVersion'),
        _wide('Internal-IP', _CORE + 'NodeStatus.addresses'),
        _wide('External-IP', _CORE + 'NodeStatus.addresses'),
        _wide('OS-Image', _CORE + 'NodeSystemInfo.osImage'),
        _wide('Kernel-Version', _CORE + 'NodeSystemInfo.kernelVersion'),
        _wide('Container-Runtime', _CORE + 'NodeSystemInfo.containerRuntimeVersion'),
    ), nodes.print_node),
    resources.NAMESPACES: ((_NAME, Column('Status', 'The status of the namespace'), _AGE), core.print_namespace),
    resources.CONFIGMAPS: ((_NAME, Column('Data', _CORE + 'ConfigMap.data'), _AGE), core.print_configmap),
    resources.SECRETS: ((
        _NAME, Column('Type', _CORE + 'Secret.type'), Column('Data', _CORE + 'Secret.data'), _AGE,
    ), core.print_secret),
    resources.SERVICEACCOUNTS: ((
        _NAME, Column('Secrets', _CORE + 'ServiceAccount.secrets'), _AGE,
    ), core.print_serviceaccount),
    resources.ROLES: (_CREATED, rbac.print_role),
    resources.CLUSTERROLES: (_CREATED, rbac.print_role),
    resources.ROLEBINDINGS: (_BINDING, rbac.print_binding),
    resources.CLUSTERROLEBINDINGS: (_BINDING, rbac.print_binding),
    resources.LEASES: ((
        _NAME, Column('Holder', 'io.k8s.api.coordination.v1.LeaseSpec.holderIdentity'), _AGE,
    ), core.print_lease),
    resources.EVENTS: ((
        Column('Last Seen', _CORE + 'Event.lastTimestamp'),
        Column('Type', _CORE + 'Event.type'),
        Column('Reason', _CORE + 'Event.reason'),
        Column('Object', _CORE + 'Event.involvedObject'),
        _wide('Subobject', _CORE + 'ObjectReference.fieldPath'),
        _wide('Source', _CORE + 'Event.source'),
        Column('Message', _CORE + 'Event.message'),
        _wide('First Seen', _CORE + 'Event.firstTimestamp'),
        _wide('Count', _CORE + 'Event.count'),
        Column('Name', _META + 'ObjectMeta.name', format='name', priority=1),
    ), events.print_event),
}  # fmt: skip


@functools.cache
def _descriptions() -> dict[str, str]:
    """Of all columns that refer to one, read once."""
    wanted = {column.description for columns, _ in _TABLES.values() for column in columns}
    return descriptions(one for one in wanted if one.startswith('io.k8s.'))


def table_columns(resource: Resource) -> list[dict[str, Any]]:
    """The ``columnDefinitions`` of a metav1.Table."""
    columns, _ = _TABLES[resource]
    texts = _descriptions()
    return [
        {'name': column.name, 'type': column.type, 'format': column.format,
         'description': texts.get(column.description, column.description), 'priority': column.priority}
        for column in columns
    ]  # fmt: skip


def table_row(resource: Resource, obj: Object, now: datetime) -> list[Any]:
    """The cells of one object, wide ones included, in the order of the columns."""
    _, print_cells = _TABLES[resource]
    return print_cells(obj, now)


def row_conditions(resource: Resource, obj: Object) -> list[dict[str, str]]:
    """What a TableRow says besides its cells: that a Pod has completed."""
    return pods.completion(obj) if resource is resources.PODS else []
