"""Validation of Services."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netkube.api.defaults.service import is_externally_accessible
from netkube.api.errors import FieldError
from netkube.api.fielderrors import duplicate, forbidden, invalid, invalid_each, not_supported, required
from netkube.api.meta import Object
from netkube.api.names import is_dns_subdomain, is_ip, is_port_number, is_qualified_name
from netkube.api.strategies.service import needs_health_check_node_port
from netkube.api.validation.labels import validate_labels
from netkube.api.validation.values import (
    PROTOCOLS,
    cidr,
    dns_label,
    dns_subdomain,
    non_special_ip,
    one_of,
    port_number_or_name,
)

_TYPES = ('ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort')
_AFFINITIES = ('ClientIP', 'None')
_FAMILIES = ('IPv4', 'IPv6')
_FAMILY_POLICIES = ('PreferDualStack', 'RequireDualStack', 'SingleStack')
_TRAFFIC_POLICIES = ('Cluster', 'Local')
_DISTRIBUTIONS = ('PreferClose', 'PreferSameNode', 'PreferSameZone')
_MAX_AFFINITY_SECONDS = 86400
_UNCHANGED = 'may not change once set'
_RANGES_ANNOTATION = 'service.beta.kubernetes.io/load-balancer-source-ranges'
_Spec = dict[str, Any]


def _is_headless(spec: _Spec) -> bool:
    addresses = spec.get('clusterIPs') or []
    return len(addresses) == 1 and addresses[0] == 'None'


def validate_service(service: Object) -> Iterator[FieldError]:
    spec = service.get('spec', {})
    if not spec.get('ports') and not _is_headless(spec) and spec.get('type') != 'ExternalName':
        yield required('spec.ports')
    yield from _validate_type(spec)
    yield from _validate_ports(spec)
    yield from validate_labels(spec.get('selector') or {}, 'spec.selector')
    yield from one_of(spec.get('sessionAffinity'), _AFFINITIES, 'spec.sessionAffinity')
    yield from _validate_affinity(spec)
    if spec.get('type') != 'ExternalName':
        yield from validate_ip_fields(spec)
    for index, address in enumerate(spec.get('externalIPs') or ()):
        yield from _validate_external_ip(address, f'spec.externalIPs[{index}]')
    yield from one_of(spec.get('type'), _TYPES, 'spec.type')
    yield from _validate_node_ports(spec)
    yield from _validate_unique_ports(spec)
    yield from _validate_load_balancer(spec)
    if not spec.get('loadBalancerSourceRanges'):
        yield from _validate_annotated_ranges(service['metadata'].get('annotations') or {}, spec)
    yield from _validate_traffic_policies(spec)


def _validate_type(spec: _Spec) -> Iterator[FieldError]:
    kind = spec.get('type')
    if kind in ('LoadBalancer', 'NodePort') and _is_headless(spec):
        yield invalid('spec.clusterIPs[0]', 'None', f"may not be set to 'None' for {kind} services")
    if kind != 'ExternalName':
        return
    for name in ('clusterIPs', 'ipFamilies', 'ipFamilyPolicy'):
        if spec.get(name):
            yield forbidden(f'spec.{name}', 'may not be set for ExternalName services')
    name = spec.get('externalName', '').removesuffix('.')
    yield from dns_subdomain(name, 'spec.externalName') if name else [required('spec.externalName')]


def _validate_ports(spec: _Spec) -> Iterator[FieldError]:
    ports = spec.get('ports') or []
    names: set[str] = set()
    for index, port in enumerate(ports):
        here, name = f'spec.ports[{index}]', port.get('name', '')
        if name:
            yield from dns_label(name, f'{here}.name')
            if name in names:
                yield duplicate(f'{here}.name', name)
            names.add(name)
        elif len(ports) > 1:
            yield required(f'{here}.name')
        yield from invalid_each(f'{here}.port', port.get('port', 0), is_port_number(port.get('port', 0)))
        yield from one_of(port.get('protocol'), PROTOCOLS, f'{here}.protocol')
        yield from port_number_or_name(port.get('targetPort'), f'{here}.targetPort')
        if 'appProtocol' in port:
            yield from invalid_each(f'{here}.appProtocol', port['appProtocol'], is_qualified_name(port['appProtocol']))


def _validate_affinity(spec: _Spec) -> Iterator[FieldError]:
    path, config = 'spec.sessionAffinityConfig', spec.get('sessionAffinityConfig')
    if spec.get('sessionAffinity') == 'None' and config is not None:
        yield forbidden(path, 'must not be set when session affinity is None')
    if spec.get('sessionAffinity') != 'ClientIP':
        return
    seconds = ((config or {}).get('clientIP') or {}).get('timeoutSeconds')
    if seconds is None:
        yield required(f'{path}.clientIP.timeoutSeconds', 'when session affinity type is ClientIP')
    elif not 0 < seconds <= _MAX_AFFINITY_SECONDS:
        message = f'must be greater than 0 and less than {_MAX_AFFINITY_SECONDS}'
        yield invalid(f'{path}.clientIP.timeoutSeconds', seconds, message)


def validate_ip_fields(spec: _Spec) -> Iterator[FieldError]:
    """clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy of a Service that is not ExternalName."""
    addresses, first = spec.get('clusterIPs') or [], spec.get('clusterIP', '')
    if first and not addresses:
        yield required('spec.clusterIPs')
    if first and addresses and addresses[0] != first:
        yield invalid('spec.clusterIPs', addresses, 'first value must match `clusterIP`')
    if addresses and not first:
        yield invalid('spec.clusterIPs', addresses, 'must be empty when `clusterIP` is not specified')
    yield from _validate_families(spec)
    faults = list(_validate_addresses(addresses))
    yield from faults
    if faults:
        return
    if len(addresses) > 1 and len({':' in address for address in addresses}) != len(addresses):
        yield invalid('spec.clusterIPs', addresses, 'may specify no more than one IP for each IP family')
    if not _is_headless(spec):
        yield from _validate_matching_families(addresses, spec.get('ipFamilies') or [])


def _validate_families(spec: _Spec) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, family in enumerate(spec.get('ipFamilies') or ()):
        if family not in _FAMILIES:
            yield not_supported(f'spec.ipFamilies[{index}]', family, _FAMILIES)
        if family in seen:
            yield duplicate(f'spec.ipFamilies[{index}]', family)
        seen.add(family)
    policy = spec.get('ipFamilyPolicy')
    if policy is not None and policy not in _FAMILY_POLICIES:
        yield not_supported('spec.ipFamilyPolicy', policy, _FAMILY_POLICIES)


def _validate_addresses(addresses: list[str]) -> Iterator[FieldError]:
    for index, address in enumerate(addresses):
        if index == 0 and address == 'None':
            if len(addresses) > 1:
                yield invalid('spec.clusterIPs', addresses, "'None' must be the first and only value")
        else:
            yield from invalid_each(f'spec.clusterIPs[{index}]', address, is_ip(address))
    if len(addresses) > 2:
        yield invalid('spec.clusterIPs', addresses, 'may only hold up to 2 values')


def _validate_matching_families(addresses: list[str], families: list[str]) -> Iterator[FieldError]:
    for index, (address, family) in enumerate(zip(addresses, families, strict=False)):
        if (family == 'IPv6') != (':' in address):
            message = f'expected an {family} value as indicated by `ipFamilies[{index}]`'
            yield invalid(f'spec.clusterIPs[{index}]', address, message)


def _validate_external_ip(address: str, path: str) -> Iterator[FieldError]:
    errors = invalid_each(path, address, is_ip(address))
    yield from errors or non_special_ip(address, path)


def _validate_node_ports(spec: _Spec) -> Iterator[FieldError]:
    seen: set[tuple[str, int]] = set()
    ports = spec.get('ports') or ()
    if spec.get('type') == 'ClusterIP':
        for index, port in enumerate(ports):
            if port.get('nodePort'):
                yield forbidden(f'spec.ports[{index}].nodePort', "may not be used when `type` is 'ClusterIP'")
    for index, port in enumerate(ports):
        key = (port.get('protocol', ''), port.get('nodePort', 0))
        if key[1] and key in seen:
            yield duplicate(f'spec.ports[{index}].nodePort', key[1])
        seen.add(key)


def _validate_unique_ports(spec: _Spec) -> Iterator[FieldError]:
    seen: set[tuple[str, int]] = set()
    for index, port in enumerate(spec.get('ports') or ()):
        key = (port.get('protocol', ''), port.get('port', 0))
        if key in seen:
            yield duplicate(f'spec.ports[{index}]', _bare_port(*key))
        seen.add(key)


def _bare_port(protocol: str, port: int) -> dict[str, Any]:
    """How Kubernetes prints the pair that occurs twice: its internal type, all other fields zero."""
    return {'Name': '', 'Protocol': protocol, 'AppProtocol': None, 'Port': port, 'TargetPort': 0, 'NodePort': 0}


def _validate_load_balancer(spec: _Spec) -> Iterator[FieldError]:
    only = "may only be used when `type` is 'LoadBalancer'"
    balanced = spec.get('type') == 'LoadBalancer'
    ranges = spec.get('loadBalancerSourceRanges') or []
    if ranges and not balanced:
        yield forbidden('spec.LoadBalancerSourceRanges', only)
    for index, one in enumerate(ranges):
        yield from cidr(one.strip(), f'spec.LoadBalancerSourceRanges[{index}]')
    if 'allocateLoadBalancerNodePorts' in spec and not balanced:
        yield forbidden('spec.allocateLoadBalancerNodePorts', only)
    if balanced and 'allocateLoadBalancerNodePorts' not in spec:
        yield required('allocateLoadBalancerNodePorts')
    if 'loadBalancerClass' in spec:
        if not balanced:
            yield forbidden('spec.loadBalancerClass', only)
        name = spec['loadBalancerClass']
        yield from invalid_each('spec.loadBalancerClass', name, is_qualified_name(name))


def _validate_annotated_ranges(annotations: dict[str, str], spec: _Spec) -> Iterator[FieldError]:
    """The beta spelling of loadBalancerSourceRanges, which still counts where the field is empty."""
    if _RANGES_ANNOTATION not in annotations:
        return
    path, value = f'metadata.annotations[{_RANGES_ANNOTATION}]', annotations[_RANGES_ANNOTATION].strip()
    if spec.get('type') != 'LoadBalancer':
        yield forbidden(path, "may only be used when `type` is 'LoadBalancer'")
    for one in value.split(',') if value else ():
        yield from cidr(one.strip(), path)


def _validate_traffic_policies(spec: _Spec) -> Iterator[FieldError]:
    external = spec.get('externalTrafficPolicy')
    if is_externally_accessible(spec):
        yield from one_of(external, _TRAFFIC_POLICIES, 'spec.externalTrafficPolicy')
    elif external:
        yield invalid('spec.externalTrafficPolicy', external, 'may only be set for externally-accessible services')
    yield from _validate_health_check_port(spec)
    internal = spec.get('internalTrafficPolicy')
    if internal is not None and internal not in _TRAFFIC_POLICIES:
        yield not_supported('spec.internalTrafficPolicy', internal, _TRAFFIC_POLICIES)
    distribution = spec.get('trafficDistribution')
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        yield not_supported('spec.trafficDistribution', distribution, _DISTRIBUTIONS)


def _validate_health_check_port(spec: _Spec) -> Iterator[FieldError]:
    """A missing port is the allocator's business, which runs later than this check."""
    path, port = 'spec.healthCheckNodePort', spec.get('healthCheckNodePort', 0)
    if port and not needs_health_check_node_port(spec):
        message = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield invalid(path, port, message)
    elif port:
        yield from invalid_each(path, port, is_port_number(port))


def validate_service_update(new: Object, old: Object) -> Iterator[FieldError]:
    spec, before = new.get('spec', {}), old.get('spec', {})
    if 'ExternalName' not in (spec.get('type'), before.get('type')):
        yield from _validate_kept_addresses(spec, before)
        yield from _validate_kept_families(spec, before)
    yield from _validate_kept_balancer(spec, before)
    yield from validate_service(new)


def _validate_kept_balancer(spec: _Spec, before: _Spec) -> Iterator[FieldError]:
    balanced = spec.get('type') == before.get('type') == 'LoadBalancer'
    if balanced and spec.get('loadBalancerClass') != before.get('loadBalancerClass'):
        yield invalid('spec.loadBalancerClass', spec.get('loadBalancerClass'), _UNCHANGED)
    checked = needs_health_check_node_port(before) and needs_health_check_node_port(spec)
    if checked and spec.get('healthCheckNodePort') != before.get('healthCheckNodePort'):
        yield forbidden('spec.healthCheckNodePort', 'field is immutable')


def _validate_kept_addresses(spec: _Spec, before: _Spec) -> Iterator[FieldError]:
    if _is_headless(spec) and _is_headless(before):
        return
    new, old = spec.get('clusterIPs') or [], before.get('clusterIPs') or []
    if old and not new:
        yield invalid('spec.clusterIPs[0]', new, 'primary clusterIP can not be unset')
    for index in range(min(len(new), len(old))):
        if new[index] != old[index]:
            yield invalid(f'spec.clusterIPs[{index}]', new, _UNCHANGED)
    if len(old) > len(new) == 1 and spec.get('ipFamilyPolicy') != 'SingleStack':
        message = "must be set to 'SingleStack' when releasing the secondary clusterIP"
        yield invalid('spec.ipFamilyPolicy', spec.get('ipFamilyPolicy'), message)


def _validate_kept_families(spec: _Spec, before: _Spec) -> Iterator[FieldError]:
    new, old = spec.get('ipFamilies') or [], before.get('ipFamilies') or []
    if _is_headless(spec) or _is_headless(before):
        return
    if old and not new:
        yield invalid('spec.ipFamilies[0]', new, 'primary ipFamily can not be unset')
    for index in range(min(len(new), len(old))):
        if new[index] != old[index]:
            yield invalid('spec.ipFamilies[0]', new, _UNCHANGED)
    if len(old) > len(new) == 1 and spec.get('ipFamilyPolicy') != 'SingleStack':
        message = "must be set to 'SingleStack' when releasing the secondary ipFamily"
        yield invalid('spec.ipFamilyPolicy', spec.get('ipFamilyPolicy'), message)


def validate_service_status(new: Object, old: Object) -> Iterator[FieldError]:
    balancer = new.get('status', {}).get('loadBalancer') or {}
    if balancer.get('ingress') and new.get('spec', {}).get('type') != 'LoadBalancer':
        yield forbidden('status.loadBalancer.ingress', 'may only be used when `spec.type` is "LoadBalancer"')
        return
    for index, ingress in enumerate(balancer.get('ingress') or ()):
        path = f'status.loadBalancer.ingress[{index}]'
        if ingress.get('ip') and is_ip(ingress['ip']):
            yield invalid(f'{path}.ip', ingress['ip'], 'must be a valid IP address')
        name = ingress.get('hostname')
        if name:
            yield from invalid_each(f'{path}.hostname', name, is_dns_subdomain(name))
            if not is_ip(name):
                yield invalid(f'{path}.hostname', name, 'must be a DNS name, not an IP address')
