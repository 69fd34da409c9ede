"""What a Pod asks for and does not get here: said in an Event, never passed over in silence."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from netkube.api.meta import Object

POD_FIELDS = (
    'hostNetwork',
    'hostPID',
    'hostIPC',
    'shareProcessNamespace',
    'runtimeClassName',
    'ephemeralContainers',
    'resources',
    'resourceClaims',
)
POD_SECURITY = ('seLinuxOptions', 'seccompProfile', 'appArmorProfile', 'windowsOptions')
CONTAINER_SECURITY = (*POD_SECURITY, 'procMount', 'privileged')
CONTAINER_FIELDS = ('volumeDevices',)
LIMITS = ('cpu', 'memory')
DEFAULTS: tuple[object, ...] = (None, False, '', 'Default', 'Unconfined', [], {})


def unhonoured(pod: Object, controllers: Collection[str]) -> list[str]:
    """The paths of the fields that netkube does not act on yet; limits need a cgroup controller of their name."""
    spec = pod['spec']
    fields = [f'spec.{name}' for name in POD_FIELDS if spec.get(name)]
    fields += _asked(spec.get('securityContext') or {}, POD_SECURITY, 'spec.securityContext')
    for sysctl in (spec.get('securityContext') or {}).get('sysctls') or ():
        if not is_network_sysctl(sysctl['name']):
            fields.append(f'spec.securityContext.sysctls[{sysctl["name"]}]')
    if spec.get('hostUsers') is False:
        fields.append('spec.hostUsers')
    for list_name in ('initContainers', 'containers'):
        for container in spec.get(list_name) or ():
            fields += _of_container(container, f'spec.{list_name}[{container["name"]}]', controllers)
    for volume in spec.get('volumes') or ():
        if (volume.get('emptyDir') or {}).get('sizeLimit'):
            fields.append(f'spec.volumes[{volume["name"]}].emptyDir.sizeLimit')
    return fields


def is_network_sysctl(name: str) -> bool:
    """It belongs to a network namespace, so a Pod can have its own."""
    return name.replace('/', '.').startswith('net.')


def _of_container(container: Object, path: str, controllers: Collection[str]) -> Iterator[str]:
    yield from (f'{path}.{name}' for name in CONTAINER_FIELDS if container.get(name))
    yield from _asked(container.get('securityContext') or {}, CONTAINER_SECURITY, f'{path}.securityContext')
    resources = container.get('resources') or {}
    limits = [name for name in resources.get('limits') or () if name not in LIMITS or name not in controllers]
    yield from (f'{path}.resources.limits.{name}' for name in limits)
    if resources.get('claims'):
        yield f'{path}.resources.claims'
    for port in container.get('ports') or ():
        if port.get('hostPort'):
            yield f'{path}.ports[{port["containerPort"]}].hostPort'
    for mount in container.get('volumeMounts') or ():
        if mount.get('mountPropagation') not in (None, 'None'):
            yield f'{path}.volumeMounts[{mount["mountPath"]}].mountPropagation'


def _asked(context: Object, names: tuple[str, ...], path: str) -> list[str]:
    return [f'{path}.{name}' for name in names if _kind_of(context.get(name)) not in DEFAULTS]


def _kind_of(value: object) -> object:
    """A profile is what its type says; other values are themselves."""
    return value['type'] if isinstance(value, dict) and 'type' in value else value


def message(fields: list[str]) -> str:
    return f'netkube does not act on these fields yet: {", ".join(fields)}'
