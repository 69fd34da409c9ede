"""What a Pod asks for and does not get here: said in an Event, never passed over in silence."""

from __future__ import annotations

from collections.abc import Iterator

from netkube.api.meta import Object
from netkube.node.podspec import all_containers

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
CONTAINER_FIELDS = ('volumeDevices', 'stdin', 'tty')
DEFAULTS: tuple[object, ...] = (None, False, '', 'Default', 'Unconfined', [], {})


def unhonoured(pod: Object) -> list[str]:
    """The paths of the fields that netkube does not act on yet."""
    spec = pod['spec']
    fields = [f'spec.{name}' for name in POD_FIELDS if spec.get(name)]
    fields += _asked(spec.get('securityContext') or {}, POD_SECURITY, 'spec.securityContext')
    for sysctl in (spec.get('securityContext') or {}).get('sysctls') or ():
        if not is_network_sysctl(sysctl['name']):
            fields.append(f'spec.securityContext.sysctls[{sysctl["name"]}]')
    for container in all_containers(pod):
        fields += _of_container(container, f'spec.containers[{container["name"]}]')
    for volume in spec.get('volumes') or ():
        if (volume.get('emptyDir') or {}).get('sizeLimit'):
            fields.append(f'spec.volumes[{volume["name"]}].emptyDir.sizeLimit')
    return fields


def is_network_sysctl(name: str) -> bool:
    """It belongs to a network namespace, so a Pod can have its own."""
    return name.replace('/', '.').startswith('net.')


def _of_container(container: Object, path: str) -> Iterator[str]:
    yield from (f'{path}.{name}' for name in CONTAINER_FIELDS if container.get(name))
    yield from _asked(container.get('securityContext') or {}, CONTAINER_SECURITY, f'{path}.securityContext')
    limits = (container.get('resources') or {}).get('limits') or {}
    yield from (f'{path}.resources.limits.{name}' for name in limits)
    for kind in ('livenessProbe', 'readinessProbe', 'startupProbe'):
        if (container.get(kind) or {}).get('grpc'):
            yield f'{path}.{kind}.grpc'
    for mount in container.get('volumeMounts') or ():
        if mount.get('mountPropagation') not in (None, 'None'):
            yield f'{path}.volumeMounts[{mount["mountPath"]}].mountPropagation'


def _asked(context: Object, names: tuple[str, ...], path: str) -> list[str]:
    return [f'{path}.{name}' for name in names if context.get(name) not in DEFAULTS]


def message(fields: list[str]) -> str:
    return f'netkube does not act on these fields yet: {", ".join(fields)}'
