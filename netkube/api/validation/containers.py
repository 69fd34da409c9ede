"""Validation of a Pod's containers: regular, init and ephemeral ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from netkube.api.errors import FieldError
from netkube.api.fielderrors import duplicate, forbidden, invalid_each, not_found, required
from netkube.api.names import is_port_name, is_port_number
from netkube.api.validation.environment import validate_env, validate_env_from
from netkube.api.validation.probes import validate_probes
from netkube.api.validation.quantities import validate_resource_requirements
from netkube.api.validation.restart import validate_restart_policy, validate_stop_signal
from netkube.api.validation.security import validate_security_context
from netkube.api.validation.values import PROTOCOLS, dns_label, one_of
from netkube.api.validation.volumes import Volumes, validate_mounts

_MESSAGE_POLICIES = ('File', 'FallbackToLogsOnError')
_PULL_POLICIES = ('Always', 'IfNotPresent', 'Never')
_KEPT_RUNNING_ONLY = ('lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe')
_NOT_EPHEMERAL = ('ports', 'livenessProbe', 'readinessProbe', 'startupProbe', 'lifecycle', 'resizePolicy',
                  'restartPolicy', 'restartPolicyRules')  # fmt: skip
_Container = dict[str, Any]


class PodContext(msgspec.Struct, frozen=True):
    """What the validation of a container needs to know of its Pod."""

    volumes: Volumes
    grace: int | None  # terminationGracePeriodSeconds
    host_users: bool
    os: str = ''  # its name, where the Pod says it


def validate_containers(containers: Sequence[_Container], pod: PodContext, path: str) -> Iterator[FieldError]:
    if not containers:
        yield required(path)
        return
    names: set[str] = set()
    for index, container in enumerate(containers):
        here, name = f'{path}[{index}]', container.get('name', '')
        yield from _validate_container(container, pod, here)
        if name in names:
            yield duplicate(f'{here}.name', name)
        names.add(name)
        yield from validate_probes(container, pod.grace, here)
        yield from validate_stop_signal(container, pod.os, here)
        yield from validate_restart_policy(container, here)
    yield from _host_port_conflicts(containers, path)


def validate_init_containers(
    containers: Sequence[_Container], regular: Sequence[_Container], pod: PodContext, path: str
) -> Iterator[FieldError]:
    names = {container.get('name', '') for container in regular}
    for index, container in enumerate(containers):
        here, name = f'{path}[{index}]', container.get('name', '')
        yield from _validate_container(container, pod, here)
        yield from validate_restart_policy(container, here)
        if name in names:
            yield duplicate(f'{here}.name', name)
        elif name:
            names.add(name)
        yield from _host_port_conflicts([container], path)
        yield from _validate_init_probes(container, pod, here)


def _validate_init_probes(container: _Container, pod: PodContext, path: str) -> Iterator[FieldError]:
    """Only an init container that keeps running (a sidecar) may have probes."""
    if container.get('restartPolicy') == 'Always':
        yield from validate_probes(container, pod.grace, path)
        yield from validate_stop_signal(container, pod.os, path)
        return
    for name in _KEPT_RUNNING_ONLY:
        if name in container:
            yield forbidden(f'{path}.{name}', 'may not be set for init containers without restartPolicy=Always')


def validate_ephemeral_containers(
    containers: Sequence[_Container], others: Sequence[_Container], pod: PodContext, path: str
) -> Iterator[FieldError]:
    names = {container.get('name', '') for container in others}
    targets = set(names)
    for index, container in enumerate(containers):
        here, name = f'{path}[{index}]', container.get('name', '')
        yield from _validate_container(container, pod, here)
        if name in names:
            yield duplicate(f'{here}.name', name)
        names.add(name)
        target = container.get('targetContainerName', '')
        if target and target not in targets:
            yield not_found(f'{here}.targetContainerName', target)
        for field in _NOT_EPHEMERAL:
            if container.get(field):
                yield forbidden(f'{here}.{field}', 'cannot be set for an Ephemeral Container')


def _validate_container(container: _Container, pod: PodContext, path: str) -> Iterator[FieldError]:
    name = container.get('name', '')
    yield from dns_label(name, f'{path}.name') if name else [required(f'{path}.name')]
    if not container.get('image'):
        yield required(f'{path}.image')
    yield from one_of(
        container.get('terminationMessagePolicy'), _MESSAGE_POLICIES, f'{path}.terminationMessagePolicy'
    )
    yield from _validate_ports(container.get('ports') or (), f'{path}.ports')
    yield from validate_env(container.get('env') or (), f'{path}.env')
    yield from validate_env_from(container.get('envFrom') or (), f'{path}.envFrom')
    yield from validate_mounts(container, pod.volumes, path)
    yield from one_of(container.get('imagePullPolicy'), _PULL_POLICIES, f'{path}.imagePullPolicy')
    yield from validate_resource_requirements(container.get('resources') or {}, f'{path}.resources')
    context = container.get('securityContext') or {}
    yield from validate_security_context(context, pod.host_users, f'{path}.securityContext')


def _validate_ports(ports: Sequence[dict[str, Any]], path: str) -> Iterator[FieldError]:
    names: set[str] = set()
    for index, port in enumerate(ports):
        here = f'{path}[{index}]'
        yield from _validate_port_name(port.get('name', ''), names, f'{here}.name')
        number, host = port.get('containerPort', 0), port.get('hostPort', 0)
        if not number:
            yield required(f'{here}.containerPort')
        else:
            yield from invalid_each(f'{here}.containerPort', number, is_port_number(number))
        if host:
            yield from invalid_each(f'{here}.hostPort', host, is_port_number(host))
        yield from one_of(port.get('protocol'), PROTOCOLS, f'{here}.protocol')


def _validate_port_name(name: str, names: set[str], path: str) -> Iterator[FieldError]:
    if not name:
        return
    errors = invalid_each(path, name, is_port_name(name))
    yield from errors
    if not errors and name in names:
        yield duplicate(path, name)
    names.add(name)


def _host_port_conflicts(containers: Sequence[_Container], path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, container in enumerate(containers):
        for at, port in enumerate(container.get('ports') or ()):
            if not port.get('hostPort'):
                continue
            text = f'{port.get("protocol", "")}/{port.get("hostIP", "")}/{port["hostPort"]}'
            if text in seen:
                yield duplicate(f'{path}[{index}].ports[{at}].hostPort', text)
            seen.add(text)
