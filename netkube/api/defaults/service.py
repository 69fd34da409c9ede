"""Defaults of a Service (SetDefaults_Service)."""

from __future__ import annotations

from typing import Any

from netkube.api.meta import Object

_CLIENT_IP_SECONDS = 10800


def is_externally_accessible(spec: dict[str, Any]) -> bool:
    return spec.get('type') in ('NodePort', 'LoadBalancer') or (
        spec.get('type') == 'ClusterIP' and bool(spec.get('externalIPs'))
    )


def default_service(service: Object) -> None:
    spec = service.setdefault('spec', {})
    _default_session_affinity(spec)
    spec.setdefault('type', 'ClusterIP')
    for port in spec.get('ports') or ():
        _default_port(port)
    if is_externally_accessible(spec):
        spec.setdefault('externalTrafficPolicy', 'Cluster')
    if spec['type'] in ('ClusterIP', 'NodePort', 'LoadBalancer'):
        spec.setdefault('internalTrafficPolicy', 'Cluster')
    if spec['type'] == 'LoadBalancer':
        spec.setdefault('allocateLoadBalancerNodePorts', True)
        default_ingress(service)


def _default_session_affinity(spec: dict[str, Any]) -> None:
    if spec.setdefault('sessionAffinity', 'None') == 'None':
        spec.pop('sessionAffinityConfig', None)
    elif spec['sessionAffinity'] == 'ClientIP':
        config = spec.setdefault('sessionAffinityConfig', {})
        config.setdefault('clientIP', {}).setdefault('timeoutSeconds', _CLIENT_IP_SECONDS)


def _default_port(port: dict[str, Any]) -> None:
    port.setdefault('protocol', 'TCP')
    if port.get('targetPort') in (None, 0, ''):
        port['targetPort'] = port.get('port', 0)


def default_ingress(service: Object) -> None:
    for ingress in service.get('status', {}).get('loadBalancer', {}).get('ingress') or ():
        if ingress.get('ip'):
            ingress.setdefault('ipMode', 'VIP')
