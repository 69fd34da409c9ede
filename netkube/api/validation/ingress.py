"""Validation of Ingresses and IngressClasses (pkg/apis/networking/validation)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import forbidden, invalid, invalid_each, not_supported, required
from netkube.api.meta import Object
from netkube.api.names import (
    is_dns_1035_label,
    is_dns_subdomain,
    is_ip,
    is_port_name,
    is_port_number,
    is_qualified_name,
)
from netkube.api.validation.metadata import validate_immutable

_PATH_TYPES = ('Exact', 'ImplementationSpecific', 'Prefix')
_BAD_SEQUENCES, _BAD_ENDS = ('//', '/./', '/../', '%2f', '%2F'), ('/..', '/.')
_WILDCARD = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain"


def validate_ingress(ingress: Object) -> Iterator[FieldError]:
    spec = ingress.get('spec') or {}
    if not spec.get('rules') and 'defaultBackend' not in spec:
        yield invalid('spec', [], 'either `defaultBackend` or `rules` must be specified')
    if 'defaultBackend' in spec:
        yield from _validate_backend(spec['defaultBackend'], 'spec.defaultBackend')
    for index, rule in enumerate(spec.get('rules') or ()):
        yield from _validate_rule(rule, f'spec.rules[{index}]')
    for index, tls in enumerate(spec.get('tls') or ()):
        for number, host in enumerate(tls.get('hosts') or ()):
            yield from _validate_host(host, f'spec.tls[{index}].hosts[{number}]')
    if 'ingressClassName' in spec:
        name = spec['ingressClassName']
        yield from invalid_each('spec.ingressClassName', name, is_dns_subdomain(name))


def validate_ingress_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_ingress(new)


def _validate_rule(rule: dict[str, Any], path: str) -> Iterator[FieldError]:
    host = rule.get('host', '')
    if host:
        if not is_ip(host):
            yield invalid(f'{path}.host', host, 'must be a DNS name, not an IP address')
        yield from _validate_host(host, f'{path}.host')
    if 'http' not in rule:
        return
    paths = rule['http'].get('paths') or ()
    if not paths:
        yield required(f'{path}.http.paths')
    for index, each in enumerate(paths):
        yield from _validate_path(each, f'{path}.http.paths[{index}]')


def _validate_host(host: str, path: str) -> Iterator[FieldError]:
    if host.startswith('*'):
        if not host.startswith('*.') or is_dns_subdomain(host[2:]):
            yield invalid(path, host, _WILDCARD)
    else:
        yield from invalid_each(path, host, is_dns_subdomain(host))


def _validate_path(rule: dict[str, Any], path: str) -> Iterator[FieldError]:
    kind, text = rule.get('pathType'), rule.get('path', '')
    if kind is None:
        yield required(f'{path}.pathType', 'pathType must be specified')
    elif kind not in _PATH_TYPES:
        yield not_supported(f'{path}.pathType', kind, _PATH_TYPES)
    elif kind != 'ImplementationSpecific':
        if not text.startswith('/'):
            yield invalid(f'{path}.path', text, 'must be an absolute path')
        for bad in _BAD_SEQUENCES:
            if bad in text:
                yield invalid(f'{path}.path', text, f"must not contain '{bad}'")
        for bad in _BAD_ENDS:
            if text.endswith(bad):
                yield invalid(f'{path}.path', text, f"cannot end with '{bad}'")
    elif text and not text.startswith('/'):
        yield invalid(f'{path}.path', text, 'must be an absolute path')
    yield from _validate_backend(rule.get('backend') or {}, f'{path}.backend')


def _validate_backend(backend: dict[str, Any], path: str) -> Iterator[FieldError]:
    service, resource = backend.get('service'), backend.get('resource')
    if service is not None and resource is not None:
        yield invalid(path, '', 'cannot set both resource and service backends')
    elif service is None and resource is None:
        yield required(path, 'resource or service backend is required')
    elif service is not None:
        yield from _validate_service_backend(service, f'{path}.service')
    else:
        for name in ('kind', 'name'):
            if not (resource or {}).get(name):
                yield required(f'{path}.resource.{name}')


def _validate_service_backend(service: dict[str, Any], path: str) -> Iterator[FieldError]:
    name, port = service.get('name', ''), service.get('port') or {}
    if not name:
        yield required(f'{path}.name')
    else:
        yield from invalid_each(f'{path}.name', name, is_dns_1035_label(name))
    if port.get('name') and port.get('number'):
        yield invalid(path, '', 'cannot set both port name & port number')
    elif port.get('name'):
        yield from invalid_each(f'{path}.port.name', port['name'], is_port_name(port['name']))
    elif port.get('number'):
        yield from invalid_each(f'{path}.port.number', port['number'], is_port_number(port['number']))
    else:
        yield required(path, 'port name or number is required')


def validate_ingressclass(ingress_class: Object) -> Iterator[FieldError]:
    spec = ingress_class.get('spec') or {}
    controller = spec.get('controller', '')
    if controller:
        if '/' not in controller:
            yield invalid('spec.controller', controller, 'must be a domain-prefixed path (such as "acme.io/foo")')
        else:
            yield from invalid_each('spec.controller', controller, is_qualified_name(controller.replace('/', '.', 0)))
    parameters = spec.get('parameters')
    if not parameters:
        return
    for name in ('kind', 'name'):
        if not parameters.get(name):
            yield required(f'spec.parameters.{name}')
    if parameters.get('scope') not in ('Cluster', 'Namespace'):
        yield not_supported('spec.parameters.scope', parameters.get('scope'), ('Cluster', 'Namespace'))
    if parameters.get('scope') == 'Namespace' and not parameters.get('namespace'):
        yield required('spec.parameters.namespace', '`parameters.scope` is set to \'Namespace\'')
    if parameters.get('scope') == 'Cluster' and parameters.get('namespace'):
        yield forbidden('spec.parameters.namespace', '`parameters.scope` is set to \'Cluster\'')


def validate_ingressclass_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_ingressclass(new)
    controller, before = ((each.get('spec') or {}).get('controller') for each in (new, old))
    yield from validate_immutable(controller, before, 'spec.controller')
