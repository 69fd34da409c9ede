"""Defaults of Namespace, Node, Endpoints, EndpointSlice and Secret."""

from __future__ import annotations

import base64

from netkube.api.meta import Object

NAMESPACE_NAME_LABEL = 'kubernetes.io/metadata.name'


def default_namespace(namespace: Object) -> None:
    """The name label; a Namespace that is still nameless (generateName) gets it when it is stored."""
    metadata = namespace.get('metadata', {})
    if metadata.get('name'):
        metadata.setdefault('labels', {})[NAMESPACE_NAME_LABEL] = metadata['name']
    namespace.setdefault('status', {}).setdefault('phase', 'Active')


def default_node(node: Object) -> None:
    status, spec = node.setdefault('status', {}), node.setdefault('spec', {})
    if status.get('capacity') and not status.get('allocatable'):
        status['allocatable'] = dict(status['capacity'])
    if spec.get('podCIDR') and not spec.get('podCIDRs'):
        spec['podCIDRs'] = [spec['podCIDR']]


def default_endpoints(endpoints: Object) -> None:
    for subset in endpoints.get('subsets') or ():
        for port in subset.get('ports') or ():
            port.setdefault('protocol', 'TCP')


def default_endpointslice(endpointslice: Object) -> None:
    for port in endpointslice.get('ports') or ():
        port.setdefault('name', '')
        port.setdefault('protocol', 'TCP')


def default_secret(secret: Object) -> None:
    secret.setdefault('type', 'Opaque')
    strings = secret.pop('stringData', None)
    if strings:
        data = secret.setdefault('data', {})
        data.update({key: base64.b64encode(text.encode()).decode() for key, text in strings.items()})
