"""What every cluster has: the system's namespaces, the Service ``kubernetes`` and the ServiceCIDR ``kubernetes``.

k8s.io/kubernetes pkg/controlplane/controller (systemnamespaces, kubernetesservice, defaultservicecidr).
"""

from __future__ import annotations

from collections.abc import Sequence

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import ENDPOINTS, ENDPOINTSLICES, NAMESPACES, SERVICECIDRS, SERVICES, Resource
from netkube.apiserver.servicecidrs import DEFAULT
from netkube.client.interface import Client

SYSTEM_NAMESPACES = ('default', 'kube-system', 'kube-public', 'kube-node-lease')
SERVICE = 'kubernetes'


async def ensure_namespaces(client: Client) -> None:
    for name in SYSTEM_NAMESPACES:
        namespace: Object = {'metadata': {'name': name}}
        try:
            await client.create(NAMESPACES, namespace)
        except ApiError as error:
            if error.reason != 'AlreadyExists':
                raise


async def ensure_service_cidr(client: Client, cidrs: Sequence[str]) -> None:
    """The ServiceCIDR of the cluster's own ranges; one that is there already is not changed.

    The controller of ServiceCIDRs makes it ready.
    """
    try:
        await client.create(SERVICECIDRS, {'metadata': {'name': DEFAULT}, 'spec': {'cidrs': list(cidrs)}})
    except ApiError as error:
        if error.reason != 'AlreadyExists':
            raise


async def ensure_kubernetes_service(client: Client, service_address: str, endpoint: str, port: int) -> None:
    """The Service ``kubernetes`` at the first address of the service range leads to the API server's own.

    ``endpoint``: an address that Pods can reach the server at; the API refuses loopback addresses.
    """
    metadata = {'name': SERVICE, 'namespace': 'default', 'labels': {'component': 'apiserver', 'provider': 'kubernetes'}}
    spec = {'type': 'ClusterIP', 'clusterIP': service_address, 'clusterIPs': [service_address],
            'ports': [{'name': 'https', 'port': 443, 'protocol': 'TCP', 'targetPort': port}]}  # fmt: skip
    await _ensure(client, SERVICES, {'metadata': metadata, 'spec': spec})
    ports = [{'name': 'https', 'port': port, 'protocol': 'TCP'}]
    mirrored = {'name': SERVICE, 'namespace': 'default', 'labels': {'endpointslice.kubernetes.io/skip-mirror': 'true'}}
    subsets = [{'addresses': [{'ip': endpoint}], 'ports': ports}]
    await _ensure(client, ENDPOINTS, {'metadata': mirrored, 'subsets': subsets})
    labelled = {'name': SERVICE, 'namespace': 'default', 'labels': {'kubernetes.io/service-name': SERVICE}}
    endpoints = [{'addresses': [endpoint], 'conditions': {'ready': True}}]
    family = 'IPv6' if ':' in endpoint else 'IPv4'
    slice_ = {'metadata': labelled, 'addressType': family, 'endpoints': endpoints, 'ports': ports}
    await _ensure(client, ENDPOINTSLICES, slice_)


async def _ensure(client: Client, resource: Resource, obj: Object) -> None:
    """Create it, or bring what is there back to what it should be."""
    try:
        await client.create(resource, obj)
    except ApiError as error:
        if error.reason != 'AlreadyExists':
            raise
        await client.update(resource, obj)
