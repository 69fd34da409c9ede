"""The strategy of Services: what is kept of allocated values when an update leaves them out.

pkg/registry/core/service (strategy.go, storage/storage.go, storage/alloc.go). Addresses and node ports themselves are
allocated by the API server.
"""

from __future__ import annotations

from typing import Any

from netkube.api.defaults.service import default_ingress
from netkube.api.meta import Object

_Spec = dict[str, Any]


def needs_cluster_ip(spec: _Spec) -> bool:
    return spec.get('type') in ('ClusterIP', 'NodePort', 'LoadBalancer')


def needs_node_port(spec: _Spec) -> bool:
    """Whether its ports may have one."""
    return spec.get('type') in ('NodePort', 'LoadBalancer')


def gets_node_ports(spec: _Spec) -> bool:
    """Whether ports that name none get one."""
    return needs_node_port(spec) and not (
        spec['type'] == 'LoadBalancer' and spec.get('allocateLoadBalancerNodePorts') is False
    )


def needs_health_check_node_port(spec: _Spec) -> bool:
    return spec.get('type') == 'LoadBalancer' and spec.get('externalTrafficPolicy') == 'Local'


def create(service: Object) -> None:
    service['status'] = {'loadBalancer': {}}
    spec = service['spec']
    if spec.get('clusterIP') and not spec.get('clusterIPs'):
        spec['clusterIPs'] = [spec['clusterIP']]


def update(new: Object, old: Object) -> None:
    spec, before = new['spec'], old['spec']
    _drop_type_dependent_fields(spec, before)
    _keep_allocated_values(spec, before)
    _pair_cluster_ips(spec, before)
    if spec.get('type') != 'LoadBalancer':  # taking the balancer down takes a while, which is nobody's business
        new['status'] = {**new.get('status', {}), 'loadBalancer': {}}


def update_status(new: Object, old: Object) -> None:
    default_ingress(new)


def _node_ports(spec: _Spec) -> set[int]:
    return {port['nodePort'] for port in spec.get('ports') or () if port.get('nodePort')}


def _keep_allocated_values(spec: _Spec, before: _Spec) -> None:
    """patchAllocatedValues: an update that names no address or node port means the ones it has."""
    if needs_cluster_ip(spec) and needs_cluster_ip(before):
        if not spec.get('clusterIP') and before.get('clusterIP'):
            spec['clusterIP'] = before['clusterIP']
        if not spec.get('clusterIPs') and before.get('clusterIPs'):
            spec['clusterIPs'] = list(before['clusterIPs'])
    if needs_node_port(spec) and needs_node_port(before):
        _keep_node_ports(spec, before)
    if needs_health_check_node_port(spec) and needs_health_check_node_port(before):
        spec['healthCheckNodePort'] = spec.get('healthCheckNodePort') or before.get('healthCheckNodePort', 0)


def _keep_node_ports(spec: _Spec, before: _Spec) -> None:
    used = _node_ports(spec) & _node_ports(before)
    by_name = {port.get('name', ''): port.get('nodePort', 0) for port in before.get('ports') or ()}
    for port in spec.get('ports') or ():
        known = by_name.get(port.get('name', ''), 0)
        if not port.get('nodePort') and known and known not in used:
            port['nodePort'] = known
            used.add(known)


def _pair_cluster_ips(spec: _Spec, before: _Spec) -> None:
    """normalizeClusterIPs: clients that know only clusterIP change both."""
    if spec.get('clusterIP') == before.get('clusterIP') or spec.get('clusterIPs') != before.get('clusterIPs'):
        return
    if spec.get('clusterIP'):
        spec['clusterIPs'] = [spec['clusterIP']]
    else:
        spec.pop('clusterIPs', None)


def _drop_type_dependent_fields(spec: _Spec, before: _Spec) -> None:
    """Fields of the old type that the update did not touch go with it."""
    if needs_cluster_ip(before) and not needs_cluster_ip(spec):
        if spec.get('clusterIP') == before.get('clusterIP') and spec.get('clusterIPs') == before.get('clusterIPs'):
            _drop(spec, 'clusterIP', 'clusterIPs')
        _drop_unchanged(spec, before, 'ipFamilies', 'ipFamilyPolicy')
    if needs_node_port(before) and not needs_node_port(spec) and _node_ports(spec) <= _node_ports(before):
        for port in spec.get('ports') or ():
            port.pop('nodePort', None)
    if needs_health_check_node_port(before) and not needs_health_check_node_port(spec):
        _drop_unchanged(spec, before, 'healthCheckNodePort')
    if before.get('type') == 'LoadBalancer' and spec.get('type') != 'LoadBalancer':
        _drop_unchanged(spec, before, 'allocateLoadBalancerNodePorts', 'loadBalancerClass')
    if _is_external(before) and not _is_external(spec):
        _drop_unchanged(spec, before, 'externalTrafficPolicy')


def _is_external(spec: _Spec) -> bool:
    return spec.get('type') in ('NodePort', 'LoadBalancer') or (
        spec.get('type') == 'ClusterIP' and bool(spec.get('externalIPs'))
    )


def _drop_unchanged(spec: _Spec, before: _Spec, *keys: str) -> None:
    for key in keys:
        if spec.get(key) == before.get(key):
            spec.pop(key, None)


def _drop(spec: _Spec, *keys: str) -> None:
    for key in keys:
        spec.pop(key, None)
