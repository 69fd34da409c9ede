"""What a Pod asks for and does not get here: said in an Event, never passed over in silence.

A table of paths, in which ``NAME[]`` is each member of a list. docs/pods.md has the same fields as *said*.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from ipaddress import ip_address
from typing import Any

from netkube.api.meta import Object
from netkube.node.isolation import is_ipc_sysctl, is_network_sysctl, is_on_node_network
from netkube.node.localstorage import EPHEMERAL_STORAGE

Asks = Callable[[Any], bool]
LIMITS = ('cpu', 'memory')
LABELS = {'volumeMounts': 'mountPath', 'items': 'path'}
"""What tells the members of a list apart; their name, of others, or else their place."""


def given(value: Any) -> bool:
    return value not in (None, False, '', [], {})


def other_than(default: str) -> Asks:
    """Of a type, or of a profile, which is what its type says."""
    return lambda value: given(value) and (value.get('type') if isinstance(value, dict) else value) != default


def is_loopback(address: str | None) -> bool:
    return ip_address(address).is_loopback if address else False


_UNCONFINED = other_than('Unconfined')
_SECURITY: dict[str, Asks] = {
    'securityContext.appArmorProfile': _UNCONFINED,
    'securityContext.seLinuxOptions': given,
    'securityContext.windowsOptions': given,
}
_HTTP_GET: dict[str, Asks] = {
    f'{handler}.httpGet.protocol': given
    for handler in ('livenessProbe', 'readinessProbe', 'startupProbe', 'lifecycle.postStart', 'lifecycle.preStop')
}
_CONTAINER: dict[str, Asks] = {
    **_SECURITY,
    **_HTTP_GET,
    'securityContext.procMount': other_than('Default'),
    'volumeDevices': given,
    'volumeMounts[].bindMountOptions': given,
    'resources.claims': given,
}
_FILES = ('configMap', 'secret', 'downwardAPI', 'projected')
SAID: dict[str, Asks] = {
    'runtimeClassName': given,
    'resourceClaims': given,
    'evictionResponders': given,
    'schedulingGroup': given,
    'hostUsers': lambda value: value is False,
    **_SECURITY,
    'securityContext.seLinuxChangePolicy': given,
    **{f'volumes[].{source}.defaultUser': given for source in _FILES},
    **{f'volumes[].{source}.items[].user': given for source in _FILES[:3]},
    **{f'volumes[].projected.sources[].{source}.items[].user': given for source in _FILES[:3]},
    'volumes[].projected.sources[].serviceAccountToken.user': given,
    **{f'{each}[].{path}': asks for each in ('initContainers', 'containers') for path, asks in _CONTAINER.items()},
}


def unhonoured(pod: Object, controllers: Collection[str]) -> list[str]:
    """The paths of the fields that netkube does not act on yet; limits need a cgroup controller of their name."""
    spec = pod['spec']
    fields = [path for steps, asks in SAID.items() for path, value in find(spec, steps, 'spec') if asks(value)]
    for sysctl in (spec.get('securityContext') or {}).get('sysctls') or ():
        if not is_network_sysctl(sysctl['name']) and not is_ipc_sysctl(sysctl['name']):
            fields.append(f'spec.securityContext.sysctls[{sysctl["name"]}]')
    fields += _limits(spec, 'spec', controllers)
    for list_name in ('initContainers', 'containers'):
        for container in spec.get(list_name) or ():
            path = f'spec.{list_name}[{container["name"]}]'
            fields += _limits(container, path, controllers)
            if not is_on_node_network(pod):
                fields += _host_ports(container, path)
    return fields


def find(holder: Object, steps: str, path: str) -> Iterator[tuple[str, Any]]:
    """Every value there, with its path as people write it."""
    step, _, rest = steps.partition('.')
    name = step.removesuffix('[]')
    value = holder.get(name)
    if value is None:
        return
    if not rest:
        yield f'{path}.{name}', value
    elif not step.endswith('[]'):
        yield from find(value, rest, f'{path}.{name}')
    else:
        for number, member in enumerate(value):
            label = member.get(LABELS.get(name, 'name'), number)
            yield from find(member, rest, f'{path}.{name}[{label}]')


def _limits(holder: Object, path: str, controllers: Collection[str]) -> Iterator[str]:
    kept = {EPHEMERAL_STORAGE, *(name for name in LIMITS if name in controllers)}
    for name in (holder.get('resources') or {}).get('limits') or ():
        if name not in kept and not name.startswith('hugepages-'):
            yield f'{path}.resources.limits.{name}'


def _host_ports(container: Object, path: str) -> Iterator[str]:
    """The Node's loopback leads nowhere."""
    for port in container.get('ports') or ():
        if port.get('hostPort') and is_loopback(port.get('hostIP')):
            yield f'{path}.ports[{port["containerPort"]}].hostPort'


def message(fields: list[str]) -> str:
    return f'netkube does not act on these fields yet: {", ".join(fields)}'
