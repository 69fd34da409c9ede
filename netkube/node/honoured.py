"""What a Pod asks for and does not get here: said in an Event, never passed over in silence."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import ip_address

from netkube.api.meta import Object
from netkube.node.isolation import is_ipc_sysctl, is_network_sysctl, is_on_node_network
from netkube.node.localstorage import EPHEMERAL_STORAGE

POD_FIELDS = (
    'runtimeClassName',
    'ephemeralContainers',
    'resources',
    'resourceClaims',
)
POD_SECURITY = ('seLinuxOptions', 'appArmorProfile', 'windowsOptions')
CONTAINER_SECURITY = (*POD_SECURITY, 'procMount')
CONTAINER_FIELDS = ('volumeDevices',)
LIMITS = ('cpu', 'memory')  # by a cgroup controller of that name
DEFAULTS: tuple[object, ...] = (None, False, '', 'Default', 'Unconfined', [], {})


def unhonoured(pod: Object, controllers: Collection[str]) -> list[str]:
    """The paths of the fields that netkube does not act on yet; limits need a cgroup controller of their name."""
    spec = pod['spec']
    fields = [f'spec.{name}' for name in POD_FIELDS if spec.get(name)]
    fields += _asked(spec.get('securityContext') or {}, POD_SECURITY, 'spec.securityContext')
    for sysctl in (spec.get('securityContext') or {}).get('sysctls') or ():
        if not is_network_sysctl(sysctl['name']) and not is_ipc_sysctl(sysctl['name']):
            fields.append(f'spec.securityContext.sysctls[{sysctl["name"]}]')
    if spec.get('hostUsers') is False:
        fields.append('spec.hostUsers')
    for list_name in ('initContainers', 'containers'):
        for container in spec.get(list_name) or ():
            path = f'spec.{list_name}[{container["name"]}]'
            fields += _of_container(container, path, controllers)
            if not is_on_node_network(pod):
                fields += _host_ports(container, path)
    return fields


def _of_container(container: Object, path: str, controllers: Collection[str]) -> Iterator[str]:
    yield from (f'{path}.{name}' for name in CONTAINER_FIELDS if container.get(name))
    yield from _asked(container.get('securityContext') or {}, CONTAINER_SECURITY, f'{path}.securityContext')
    resources = container.get('resources') or {}
    kept = {EPHEMERAL_STORAGE, *(name for name in LIMITS if name in controllers)}
    limits = [name for name in resources.get('limits') or () if name not in kept]
    yield from (f'{path}.resources.limits.{name}' for name in limits)
    if resources.get('claims'):
        yield f'{path}.resources.claims'


def is_loopback(address: str | None) -> bool:
    return ip_address(address).is_loopback if address else False


def _host_ports(container: Object, path: str) -> Iterator[str]:
    for port in container.get('ports') or ():
        if port.get('hostPort') and is_loopback(port.get('hostIP')):
            yield f'{path}.ports[{port["containerPort"]}].hostPort'


def _asked(context: Object, names: tuple[str, ...], path: str) -> list[str]:
    return [f'{path}.{name}' for name in names if _kind_of(context.get(name)) not in DEFAULTS]


def _kind_of(value: object) -> object:
    """A profile is what its type says; other values are themselves."""
    return value['type'] if isinstance(value, dict) and 'type' in value else value


def message(fields: list[str]) -> str:
    return f'netkube does not act on these fields yet: {", ".join(fields)}'
