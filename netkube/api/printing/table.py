"""One row per resource: its columns and the function that prints an object's cells."""

from __future__ import annotations

import functools
from datetime import datetime
from typing import Any

from netkube.api import resources
from netkube.api.meta import Object
from netkube.api.printing import core, events, network, nodes, pods, rbac, stored, workloads
from netkube.api.printing.column import AGE, CONTAINERS, CREATED_AT, IMAGES, NAME, Column, Table, wide
from netkube.api.resources import STORED_AS, CustomResource, Resource
from netkube.api.schema import descriptions

_CORE, _APPS, _META = 'io.k8s.api.core.v1.', 'io.k8s.api.apps.v1.', 'io.k8s.apimachinery.pkg.apis.meta.v1.'
_CREATED = (NAME, CREATED_AT)
_BINDING = (
    NAME,
    Column('Role', 'io.k8s.api.rbac.v1.RoleBinding.roleRef'),
    AGE,
    wide('Users', 'Users in the RoleBinding'),
    wide('Groups', 'Groups in the RoleBinding'),
    wide('ServiceAccounts', 'ServiceAccounts in the RoleBinding'),
)
_TABLES: dict[Resource, Table] = {
    resources.PODS: ((
        NAME,
        Column('Ready', 'The aggregate readiness state of this pod for accepting traffic.'),
        Column('Status', 'The aggregate status of the containers in this pod.'),
        Column('Restarts', 'The number of times the containers in this pod have been restarted and when the last '
                           'container in this pod has restarted.'),
        AGE,
        wide('IP', _CORE + 'PodStatus.podIP'),
        wide('Node', _CORE + 'PodSpec.nodeName'),
        wide('Nominated Node', _CORE + 'PodStatus.nominatedNodeName'),
        wide('Readiness Gates', _CORE + 'PodSpec.readinessGates'),
    ), pods.print_pod),
    resources.DEPLOYMENTS: ((
        NAME,
        Column('Ready', 'Number of the pod with ready state'),
        Column('Up-to-date', _APPS + 'DeploymentStatus.updatedReplicas'),
        Column('Available', _APPS + 'DeploymentStatus.availableReplicas'),
        AGE, CONTAINERS, IMAGES,
        wide('Selector', _APPS + 'DeploymentSpec.selector'),
    ), workloads.print_deployment),
    resources.REPLICASETS: ((
        NAME,
        Column('Desired', _APPS + 'ReplicaSetSpec.replicas', 'integer'),
        Column('Current', _APPS + 'ReplicaSetStatus.replicas', 'integer'),
        Column('Ready', _APPS + 'ReplicaSetStatus.readyReplicas', 'integer'),
        AGE, CONTAINERS, IMAGES,
        wide('Selector', _APPS + 'ReplicaSetSpec.selector'),
    ), workloads.print_replicaset),
    resources.SERVICES: ((
        NAME,
        Column('Type', _CORE + 'ServiceSpec.type'),
        Column('Cluster-IP', _CORE + 'ServiceSpec.clusterIP'),
        Column('External-IP', _CORE + 'ServiceSpec.externalIPs'),
        Column('Port(s)', _CORE + 'ServiceSpec.ports'),
        AGE,
        wide('Selector', _CORE + 'ServiceSpec.selector'),
    ), network.print_service),
    resources.ENDPOINTS: ((NAME, Column('Endpoints', _CORE + 'Endpoints.subsets'), AGE), network.print_endpoints),
    resources.ENDPOINTSLICES: ((
        NAME,
        Column('AddressType', 'io.k8s.api.discovery.v1.EndpointSlice.addressType'),
        Column('Ports', 'io.k8s.api.discovery.v1.EndpointSlice.ports'),
        Column('Endpoints', 'io.k8s.api.discovery.v1.EndpointSlice.endpoints'),
        AGE,
    ), network.print_endpointslice),
    resources.SERVICECIDRS: ((
        NAME, Column('CIDRs', 'io.k8s.api.networking.v1.ServiceCIDRSpec.cidrs'), AGE,
    ), network.print_servicecidr),
    resources.IPADDRESSES: ((
        NAME, Column('ParentRef', 'io.k8s.api.networking.v1.IPAddressSpec.parentRef'), AGE,
    ), network.print_ipaddress),
    resources.NETWORKPOLICIES: ((
        NAME, Column('Pod-Selector', 'io.k8s.api.networking.v1.NetworkPolicySpec.podSelector'), AGE,
    ), network.print_networkpolicy),
    resources.NODES: ((
        NAME,
        Column('Status', 'The status of the node'),
        Column('Roles', 'The roles of the node'),
        AGE,
        Column('Version', _CORE + 'NodeSystemInfo.kubeletVersion'),
        wide('Internal-IP', _CORE + 'NodeStatus.addresses'),
        wide('External-IP', _CORE + 'NodeStatus.addresses'),
        wide('OS-Image', _CORE + 'NodeSystemInfo.osImage'),
        wide('Kernel-Version', _CORE + 'NodeSystemInfo.kernelVersion'),
        wide('Container-Runtime', _CORE + 'NodeSystemInfo.containerRuntimeVersion'),
    ), nodes.print_node),
    resources.NAMESPACES: ((NAME, Column('Status', 'The status of the namespace'), AGE), core.print_namespace),
    resources.CONFIGMAPS: ((NAME, Column('Data', _CORE + 'ConfigMap.data'), AGE), core.print_configmap),
    resources.SECRETS: ((
        NAME, Column('Type', _CORE + 'Secret.type'), Column('Data', _CORE + 'Secret.data'), AGE,
    ), core.print_secret),
    resources.SERVICEACCOUNTS: ((
        NAME, Column('Secrets', _CORE + 'ServiceAccount.secrets'), AGE,
    ), core.print_serviceaccount),
    resources.ROLES: (_CREATED, rbac.print_role),
    resources.CLUSTERROLES: (_CREATED, rbac.print_role),
    resources.ROLEBINDINGS: (_BINDING, rbac.print_binding),
    resources.CLUSTERROLEBINDINGS: (_BINDING, rbac.print_binding),
    resources.LEASES: ((
        NAME, Column('Holder', 'io.k8s.api.coordination.v1.LeaseSpec.holderIdentity'), AGE,
    ), core.print_lease),
    resources.EVENTS: ((
        Column('Last Seen', _CORE + 'Event.lastTimestamp'),
        Column('Type', _CORE + 'Event.type'),
        Column('Reason', _CORE + 'Event.reason'),
        Column('Object', _CORE + 'Event.involvedObject'),
        wide('Subobject', _CORE + 'ObjectReference.fieldPath'),
        wide('Source', _CORE + 'Event.source'),
        Column('Message', _CORE + 'Event.message'),
        wide('First Seen', _CORE + 'Event.firstTimestamp'),
        wide('Count', _CORE + 'Event.count'),
        Column('Name', _META + 'ObjectMeta.name', format='name', priority=1),
    ), events.print_event),
    **stored.TABLES,
}  # fmt: skip


def _table(resource: Resource) -> Table:
    return _TABLES.get(STORED_AS.get(resource, resource), stored.PLAIN)


@functools.cache
def _descriptions() -> dict[str, str]:
    """Of all columns that refer to one, read once."""
    wanted = {column.description for columns, _ in _TABLES.values() for column in columns}
    return descriptions(one for one in wanted if one.startswith('io.k8s.'))


def table_columns(resource: Resource) -> list[dict[str, Any]]:
    """The ``columnDefinitions`` of a metav1.Table."""
    if isinstance(resource, CustomResource):
        custom: list[dict[str, Any]] = resource.definition.columns()
        return custom
    columns, _ = _table(resource)
    texts = _descriptions()
    return [
        {'name': column.name, 'type': column.type, 'format': column.format,
         'description': texts.get(column.description, column.description), 'priority': column.priority}
        for column in columns
    ]  # fmt: skip


def table_row(resource: Resource, obj: Object, now: datetime) -> list[Any]:
    """The cells of one object, wide ones included, in the order of the columns."""
    if isinstance(resource, CustomResource):
        cells: list[Any] = resource.definition.row(obj, now)
        return cells
    _, print_cells = _table(resource)
    return print_cells(obj, now)


def row_conditions(resource: Resource, obj: Object) -> list[dict[str, str]]:
    """What a TableRow says besides its cells: that a Pod has completed."""
    return pods.completion(obj) if resource is resources.PODS else []
