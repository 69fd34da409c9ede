"""The Service of cluster DNS, which every cluster has from its first second."""

from __future__ import annotations

from collections.abc import Sequence

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import SERVICES
from netkube.client.interface import Client

PROXY_NAME_LABEL = 'service.kubernetes.io/service-proxy-name'
DNS_PROXY_NAME = 'netkube-dns'


async def ensure_dns_service(client: Client, addresses: Sequence[str]) -> None:
    """Idempotent; what a user changed in it stays changed."""
    try:
        await client.create(SERVICES, dns_service(addresses))
    except ApiError as error:
        if error.reason != 'AlreadyExists':
            raise


def dns_service(addresses: Sequence[str]) -> Object:
    """``kube-dns``. Its addresses are the Node's, where the resolver listens, so the proxy leaves it alone."""
    return {
        'apiVersion': 'v1',
        'kind': 'Service',
        'metadata': {
            'name': 'kube-dns',
            'namespace': 'kube-system',
            'labels': {'k8s-app': 'kube-dns', 'kubernetes.io/name': 'CoreDNS', PROXY_NAME_LABEL: DNS_PROXY_NAME},
        },
        'spec': {
            'type': 'ClusterIP',
            'clusterIP': addresses[0],
            'clusterIPs': list(addresses),
            'ipFamilyPolicy': 'PreferDualStack',
            'ports': [
                {'name': 'dns', 'port': 53, 'protocol': 'UDP', 'targetPort': 53},
                {'name': 'dns-tcp', 'port': 53, 'protocol': 'TCP', 'targetPort': 53},
                {'name': 'metrics', 'port': 9153, 'protocol': 'TCP', 'targetPort': 9153},
            ],
        },
    }
