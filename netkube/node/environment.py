"""A container's environment, command and arguments.

Source: kubernetes pkg/kubelet/kubelet_pods.go (makeEnvironmentVariables), pkg/kubelet/envvars.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from netkube.api.meta import Object
from netkube.node.downward import PodFacts, field_value, resource_value
from netkube.node.envfile import EnvFileError, Files, find_variable
from netkube.node.expansion import expand

DEFAULTS = {'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'}
NO_FILES: Files = {}
MASTER_SERVICE = ('default', 'kubernetes')  # in the environment of every container


class ConfigError(Exception):
    """Something a container's configuration refers to is not there (yet): CreateContainerConfigError."""


class Sources(msgspec.Struct, frozen=True):
    """Where values come from: each finds an object by (namespace, name), or None."""

    configmap: Callable[[str, str], Object | None]
    secret: Callable[[str, str], Object | None]


def container_environment(
    pod: Object,
    container: Object,
    sources: Sources,
    facts: PodFacts,
    services: Mapping[str, str],
    files: Files = NO_FILES,
) -> dict[str, str]:
    """All variables but HOSTNAME and HOME; ``services`` are the Service variables, which the Pod's own override."""
    own: dict[str, str] = {}
    for source in container.get('envFrom') or ():
        own |= _all_of(source, pod['metadata']['namespace'], sources)
    for variable in container.get('env') or ():
        if reference := (variable.get('valueFrom') or {}).get('fileKeyRef'):
            value = _file_key(reference, files)
        else:
            value = _value(variable, pod, container, sources, facts, {**services, **own})
        if value is not None:
            own[variable['name']] = value
    return {**DEFAULTS, **services, **own}


def command_line(container: Object, variables: Mapping[str, str]) -> tuple[str, ...]:
    """``command`` and ``args`` with ``$(NAME)`` replaced."""
    words = (*(container.get('command') or ()), *(container.get('args') or ()))
    return tuple(expand(word, variables) for word in words)


def _all_of(source: dict[str, Any], namespace: str, sources: Sources) -> dict[str, str]:
    """One ``envFrom`` entry."""
    reference = source.get('configMapRef') or source.get('secretRef')
    if reference is None:
        raise ConfigError('envFrom without configMapRef or secretRef')
    optional = reference.get('optional', False)
    find = _configmap_data if 'configMapRef' in source else _secret_data
    data = find(namespace, reference['name'], optional, sources)
    prefix = source.get('prefix', '')
    return {prefix + key: value for key, value in data.items() if _is_variable_name(prefix + key)}


def _value(
    variable: dict[str, Any],
    pod: Object,
    container: Object,
    sources: Sources,
    facts: PodFacts,
    before: Mapping[str, str],
) -> str | None:
    """One ``env`` entry; None where an optional source is missing."""
    source = variable.get('valueFrom')
    if not source:
        return expand(variable.get('value', ''), before)
    if reference := source.get('fieldRef'):
        return field_value(pod, reference['fieldPath'], facts)
    if reference := source.get('resourceFieldRef'):
        return resource_value(container, reference['resource'], reference.get('divisor', '1'), facts)
    if reference := source.get('configMapKeyRef'):
        return _key(reference, 'ConfigMap', _configmap_data, pod['metadata']['namespace'], sources)
    if reference := source.get('secretKeyRef'):
        return _key(reference, 'Secret', _secret_data, pod['metadata']['namespace'], sources)
    raise ConfigError(f'variable {variable["name"]}: valueFrom {", ".join(source)} is not supported')


def _file_key(reference: dict[str, Any], files: Files) -> str | None:
    """A value that is empty counts as none, as with the kubelet."""
    volume, path, key = reference['volumeName'], reference['path'], reference['key']
    if (volume, path) not in files:
        raise ConfigError(f'cannot find the volume "{volume}" referenced by FileKeyRef')
    optional, text = reference.get('optional', False), files[volume, path]
    if text is None and not optional:
        raise ConfigError("couldn't parse env file")
    try:
        value = find_variable(text or '', key)
    except EnvFileError:
        raise ConfigError("couldn't parse env file") from None
    if not value and not optional:
        raise ConfigError(f'environment variable key "{key}" not found in file "{path}"')
    return value or None


def _key(
    reference: dict[str, Any], kind: str, find: Callable[..., dict[str, str]], namespace: str, sources: Sources
) -> str | None:
    optional, name, key = reference.get('optional', False), reference['name'], reference['key']
    value = find(namespace, name, optional, sources).get(key)
    if value is None and not optional:
        raise ConfigError(f"couldn't find key {key} in {kind} {namespace}/{name}")
    return value


def _configmap_data(namespace: str, name: str, optional: bool, sources: Sources) -> dict[str, str]:
    configmap = sources.configmap(namespace, name)
    if configmap is None and not optional:
        raise ConfigError(f'configmap "{name}" not found')
    return (configmap or {}).get('data') or {}


def _secret_data(namespace: str, name: str, optional: bool, sources: Sources) -> dict[str, str]:
    secret = sources.secret(namespace, name)
    if secret is None and not optional:
        raise ConfigError(f'secret "{name}" not found')
    data = (secret or {}).get('data') or {}
    return {key: base64.b64decode(value).decode('utf-8', 'surrogateescape') for key, value in data.items()}


def _is_variable_name(name: str) -> bool:
    """Kubernetes' relaxed rule: any printable ASCII but ``=``."""
    return bool(name) and '=' not in name and name.isascii() and name.isprintable()


def service_environment(namespace: str, services: Iterable[Object], links: bool) -> dict[str, str]:
    """``<NAME>_SERVICE_HOST`` and its kin; without ``links`` only the API server's own Service."""
    by_name: dict[str, Object] = {}
    for service in services:
        key = service['metadata']['namespace'], service['metadata']['name']
        if links and key[0] == namespace:
            by_name[key[1]] = service
        elif key == MASTER_SERVICE:
            by_name.setdefault(key[1], service)
    variables: dict[str, str] = {}
    for name in sorted(by_name):
        variables |= _service_variables(by_name[name])
    return variables


def _service_variables(service: Object) -> dict[str, str]:
    spec = service['spec']
    host, ports = spec.get('clusterIP', ''), spec.get('ports') or ()
    if host in ('', 'None') or not ports:
        return {}
    name = _upper(service['metadata']['name'])
    variables = {f'{name}_SERVICE_HOST': host, f'{name}_SERVICE_PORT': str(ports[0]['port'])}
    variables[f'{name}_PORT'] = _url(host, ports[0])
    for port in ports:
        if port.get('name'):
            variables[f'{name}_SERVICE_PORT_{_upper(port["name"])}'] = str(port['port'])
        variables |= _link_variables(f'{name}_PORT_{port["port"]}_{port.get("protocol", "TCP")}', host, port)
    return variables


def _link_variables(prefix: str, host: str, port: dict[str, Any]) -> dict[str, str]:
    """The variables of Docker's old container links."""
    return {
        prefix: _url(host, port),
        f'{prefix}_PROTO': port.get('protocol', 'TCP').lower(),
        f'{prefix}_PORT': str(port['port']),
        f'{prefix}_ADDR': host,
    }


def _url(host: str, port: dict[str, Any]) -> str:
    return f'{port.get("protocol", "TCP").lower()}://{host}:{port["port"]}'


def _upper(name: str) -> str:
    return name.upper().replace('-', '_')
