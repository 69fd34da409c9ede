"""Validation of a PodSpec, in a Pod or in a template (ValidatePodSpec)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import forbidden, invalid, invalid_each, not_supported, required
from netkube.api.names import is_dns_subdomain_with_underscore, range_message
from netkube.api.validation.containers import (
    PodContext,
    validate_containers,
    validate_ephemeral_containers,
    validate_init_containers,
)
from netkube.api.validation.labels import validate_labels
from netkube.api.validation.quantities import validate_pod_resources
from netkube.api.validation.scheduling import (
    validate_affinity,
    validate_gates,
    validate_tolerations,
    validate_topology_spread,
)
from netkube.api.validation.security import validate_host_users, validate_pod_security_context
from netkube.api.validation.values import dns_label, dns_subdomain, ip_address, one_of
from netkube.api.validation.volumes import validate_volumes

MAX_INT32 = 2**31 - 1
_RESTART_POLICIES = ('Always', 'OnFailure', 'Never')
_DNS_POLICIES = ('ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None')
_PREEMPTION_POLICIES = ('PreemptLowerPriority', 'Never')
_MAX_NAMESERVERS, _MAX_SEARCHES, _MAX_SEARCH_CHARACTERS = 3, 32, 2048
# Optional fields that are names, in the order Kubernetes looks at them around activeDeadlineSeconds.
_SUBDOMAINS_BEFORE = ('serviceAccountName', 'nodeName')
_LABELS = ('hostname', 'subdomain')
_SUBDOMAINS_AFTER = ('priorityClassName', 'runtimeClassName')


def validate_pod_spec(spec: dict[str, Any], path: str, *, is_pod: bool) -> Iterator[FieldError]:
    """``is_pod`` is False for the spec of a template."""
    if 'terminationGracePeriodSeconds' not in spec:
        yield required(f'{path}.terminationGracePeriodSeconds')
    yield from _validate_workload(spec, path)
    yield from validate_pod_resources(spec, f'{path}.resources')
    if spec.get('hostNetwork'):
        yield from _validate_host_network_ports(spec, path, is_pod=is_pod)
    yield from one_of(spec.get('restartPolicy'), _RESTART_POLICIES, f'{path}.restartPolicy')
    yield from one_of(spec.get('dnsPolicy'), _DNS_POLICIES, f'{path}.dnsPolicy')
    yield from validate_labels(spec.get('nodeSelector') or {}, f'{path}.nodeSelector')
    yield from validate_pod_security_context(spec, f'{path}.securityContext')
    yield from validate_affinity(spec.get('affinity') or {}, f'{path}.affinity')
    yield from _validate_dns_config(spec, f'{path}.dnsConfig')
    yield from validate_gates(spec, path)
    spread = spec.get('topologySpreadConstraints') or ()
    yield from validate_topology_spread(spread, f'{path}.topologySpreadConstraints')
    yield from validate_host_users(spec, path)
    yield from _validate_names(spec, path)


def _validate_workload(spec: dict[str, Any], path: str) -> Iterator[FieldError]:
    volumes, errors = validate_volumes(spec.get('volumes') or (), f'{path}.volumes')
    yield from errors
    os = (spec.get('os') or {}).get('name', '')
    pod = PodContext(volumes, spec.get('terminationGracePeriodSeconds'), spec.get('hostUsers') is not False, os)
    regular, init = spec.get('containers') or [], spec.get('initContainers') or []
    yield from validate_containers(regular, pod, f'{path}.containers')
    yield from validate_init_containers(init, regular, pod, f'{path}.initContainers')
    ephemeral = spec.get('ephemeralContainers') or []
    yield from validate_ephemeral_containers(ephemeral, [*regular, *init], pod, f'{path}.ephemeralContainers')


def _validate_names(spec: dict[str, Any], path: str) -> Iterator[FieldError]:
    """The rest of the spec, single values mostly."""
    yield from _validate_subdomains(spec, _SUBDOMAINS_BEFORE, path)
    deadline = spec.get('activeDeadlineSeconds')
    if deadline is not None and not 1 <= deadline <= MAX_INT32:
        yield invalid(f'{path}.activeDeadlineSeconds', deadline, range_message(1, MAX_INT32))
    for name in _LABELS:
        if spec.get(name):
            yield from dns_label(spec[name], f'{path}.{name}')
    yield from validate_tolerations(spec.get('tolerations') or (), f'{path}.tolerations')
    yield from _validate_host_aliases(spec.get('hostAliases') or (), f'{path}.hostAliases')
    yield from _validate_subdomains(spec, _SUBDOMAINS_AFTER, path)
    if 'preemptionPolicy' in spec:
        yield from one_of(spec['preemptionPolicy'], _PREEMPTION_POLICIES, f'{path}.preemptionPolicy')
    if 'os' in spec and spec['os'].get('name') not in ('linux', 'windows'):
        name = spec['os'].get('name', '')
        yield not_supported(f'{path}.os.name', name, ('linux', 'windows')) if name else required(f'{path}.os.name')


def _validate_subdomains(spec: dict[str, Any], names: Sequence[str], path: str) -> Iterator[FieldError]:
    for name in names:
        if spec.get(name):
            yield from dns_subdomain(spec[name], f'{path}.{name}')


def _validate_host_aliases(aliases: Sequence[dict[str, Any]], path: str) -> Iterator[FieldError]:
    for index, alias in enumerate(aliases):
        yield from ip_address(alias.get('ip', ''), f'{path}[{index}].ip')
        for at, hostname in enumerate(alias.get('hostnames') or ()):
            yield from dns_subdomain(hostname, f'{path}[{index}].hostnames[{at}]')


def _validate_host_network_ports(spec: dict[str, Any], path: str, *, is_pod: bool) -> Iterator[FieldError]:
    for index, container in enumerate(spec.get('containers') or ()):
        for at, port in enumerate(container.get('ports') or ()):
            host = port.get('hostPort', 0)
            if (is_pod or host) and host != port.get('containerPort', 0):
                here = f'{path}.containers[{index}].ports[{at}].hostPort'
                yield invalid(here, host, 'must match `containerPort` when `hostNetwork` is true')


def _validate_dns_config(spec: dict[str, Any], path: str) -> Iterator[FieldError]:
    config = spec.get('dnsConfig')
    if spec.get('dnsPolicy') == 'None':
        if config is None:
            yield required(path, 'must provide `dnsConfig` when `dnsPolicy` is None')
            return
        if not config.get('nameservers'):
            yield required(f'{path}.nameservers', 'must provide at least one DNS nameserver when `dnsPolicy` is None')
            return
    if config is not None:
        yield from _validate_nameservers(config.get('nameservers') or [], f'{path}.nameservers')
        yield from _validate_searches(config.get('searches') or [], f'{path}.searches')
        for index, option in enumerate(config.get('options') or ()):
            if not option.get('name'):
                yield required(f'{path}.options[{index}]', 'must not be empty')


def _validate_nameservers(nameservers: list[str], path: str) -> Iterator[FieldError]:
    if len(nameservers) > _MAX_NAMESERVERS:
        yield invalid(path, nameservers, f'must not have more than {_MAX_NAMESERVERS} nameservers')
    for index, nameserver in enumerate(nameservers):
        yield from ip_address(nameserver, f'{path}[{index}]')


def _validate_searches(searches: list[str], path: str) -> Iterator[FieldError]:
    if len(searches) > _MAX_SEARCHES:
        yield invalid(path, searches, f'must not have more than {_MAX_SEARCHES} search paths')
    if len(' '.join(searches)) > _MAX_SEARCH_CHARACTERS:
        message = f'must not have more than {_MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list'
        yield invalid(path, searches, message)
    for index, search in enumerate(searches):
        if search != '.':
            name = search.removesuffix('.')
            yield from invalid_each(f'{path}[{index}]', name, is_dns_subdomain_with_underscore(name))


def validate_pod_template(template: dict[str, Any], path: str) -> Iterator[FieldError]:
    """A template's labels, annotations and spec (ValidatePodTemplateSpec)."""
    from netkube.api.validation.metadata import validate_annotations

    metadata, spec = template.get('metadata') or {}, template.get('spec') or {}
    yield from validate_labels(metadata.get('labels') or {}, f'{path}.labels')
    yield from validate_annotations(metadata.get('annotations') or {}, f'{path}.annotations')
    yield from validate_pod_spec(spec, f'{path}.spec', is_pod=False)
    if spec.get('ephemeralContainers'):
        yield forbidden(f'{path}.spec.ephemeralContainers', 'ephemeral containers not allowed in pod template')
