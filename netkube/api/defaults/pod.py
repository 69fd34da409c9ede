"""Defaults of a Pod and of a Pod template (pkg/apis/core/v1/defaults.go)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netkube.api.defaults.images import pull_policy
from netkube.api.defaults.volumes import default_volume
from netkube.api.meta import Object
from netkube.api.podresources import aggregate_quantities

_POD_SPEC = {
    'restartPolicy': 'Always', 'dnsPolicy': 'ClusterFirst', 'schedulerName': 'default-scheduler',
    'terminationGracePeriodSeconds': 30,
}  # fmt: skip
_PROBE = {'timeoutSeconds': 1, 'periodSeconds': 10, 'successThreshold': 1, 'failureThreshold': 3}
_POD_LEVEL = ('cpu', 'memory')  # of what a Pod's own resources can be about, what may be overcommitted
_PROBES = ('livenessProbe', 'readinessProbe', 'startupProbe')


def default_pod(pod: Object) -> None:
    spec = pod.setdefault('spec', {})
    spec.setdefault('enableServiceLinks', True)
    default_pod_spec(spec)
    for container in _long_lived_containers(spec):
        _default_requests(container.get('resources', {}))
    if spec.get('resources'):
        _default_pod_requests(spec)
    if spec.get('hostNetwork'):
        _default_host_ports(spec)


def default_pod_template(template: dict[str, Any]) -> None:
    """The same without what only a Pod itself gets: enableServiceLinks, requests from limits."""
    template.setdefault('metadata', {})
    spec = template.setdefault('spec', {})
    default_pod_spec(spec)
    if spec.get('hostNetwork'):
        _default_host_ports(spec)


def default_pod_spec(spec: dict[str, Any]) -> None:
    for key, value in _POD_SPEC.items():
        spec.setdefault(key, value)
    spec.setdefault('securityContext', {})
    _mirror_service_account(spec)
    for volume in spec.get('volumes') or ():
        default_volume(volume)
    for container in containers_of(spec):
        default_container(container)


def containers_of(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Init, regular and ephemeral containers."""
    yield from _long_lived_containers(spec)
    yield from spec.get('ephemeralContainers') or ()


def _long_lived_containers(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from spec.get('initContainers') or ()
    yield from spec.get('containers') or ()


def _mirror_service_account(spec: dict[str, Any]) -> None:
    """``serviceAccount`` is the old name of ``serviceAccountName``; both are always shown."""
    name = spec.get('serviceAccountName') or spec.get('serviceAccount')
    if name:
        spec['serviceAccountName'] = spec['serviceAccount'] = name


def default_container(container: dict[str, Any]) -> None:
    container.setdefault('imagePullPolicy', pull_policy(container.get('image', '')))
    container.setdefault('terminationMessagePath', '/dev/termination-log')
    container.setdefault('terminationMessagePolicy', 'File')
    container.setdefault('resources', {})
    for port in container.get('ports') or ():
        port.setdefault('protocol', 'TCP')
    for env in container.get('env') or ():
        _default_env(env.get('valueFrom') or {})
    for name in _PROBES:
        if name in container:
            _default_probe(container[name])
    for handler in (container.get('lifecycle') or {}).values():
        if isinstance(handler, dict):
            _default_http_get(handler)


def _default_env(source: dict[str, Any]) -> None:
    if 'fieldRef' in source:
        source['fieldRef'].setdefault('apiVersion', 'v1')
    if 'resourceFieldRef' in source:
        source['resourceFieldRef'].setdefault('divisor', '0')  # a plain Quantity: never left out
    if 'fileKeyRef' in source:
        source['fileKeyRef'].setdefault('optional', False)


def _default_probe(probe: dict[str, Any]) -> None:
    for key, value in _PROBE.items():
        if not probe.get(key):
            probe[key] = value
    _default_http_get(probe)
    if 'grpc' in probe:
        probe['grpc'].setdefault('service', '')


def _default_http_get(handler: dict[str, Any]) -> None:
    if 'httpGet' in handler:
        handler['httpGet'].setdefault('path', '/')
        handler['httpGet'].setdefault('scheme', 'HTTP')


def _default_requests(resources: dict[str, Any]) -> None:
    """A limit without a request is also the request."""
    limits = resources.get('limits') or {}
    if limits:
        resources['requests'] = limits | (resources.get('requests') or {})


def _default_pod_requests(spec: dict[str, Any]) -> None:
    """What the Pod does not request itself is its containers' requests together, else its own limit."""
    own = spec['resources']
    requests = {name: amount for name, amount in aggregate_quantities(spec).items() if name in _POD_LEVEL}
    requests |= own.get('requests') or {}
    if requests:
        own['requests'] = requests
    _default_requests(own)


def _default_host_ports(spec: dict[str, Any]) -> None:
    for container in _long_lived_containers(spec):
        for port in container.get('ports') or ():
            if not port.get('hostPort'):
                port['hostPort'] = port.get('containerPort', 0)
