"""How a person's tools reach a cluster."""

from __future__ import annotations

from netkube.api.meta import Object
from netkube.client.kubeconfig import kubeconfig
from netkube.cluster.config import ClusterConfig


def server_url(config: ClusterConfig) -> str:
    return f'https://127.0.0.1:{config.api_port}'


def admin_kubeconfig(config: ClusterConfig) -> Object:
    """The cluster's administrator, by the client certificate that was made with the cluster."""
    ca, certificate, key = ((config.pki / name).read_bytes() for name in ('ca.crt', 'admin.crt', 'admin.key'))
    return kubeconfig(f'netkube-{config.name}', server_url(config), ca, certificate, key)
