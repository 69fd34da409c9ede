"""How much of the Node's disk a Pod may use, and whether it uses more. Pure.

Source: kubernetes pkg/kubelet/eviction/eviction_manager.go (localStorageEviction); messages are its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from netkube.api.meta import Object
from netkube.api.quantity import canonical_quantity, parse_quantity
from netkube.node.podspec import all_containers, init_containers, is_sidecar, main_containers

EPHEMERAL_STORAGE = 'ephemeral-storage'


class StorageLimits(msgspec.Struct, frozen=True):
    """Quantities as the Pod says them; '' is none."""

    volumes: Mapping[str, str]  # of emptyDirs on disk, by name
    containers: Mapping[str, str]
    pod: str


class StorageUsage(msgspec.Struct, frozen=True):
    """Bytes: of each volume on disk; of each container's layer and logs."""

    volumes: Mapping[str, int]
    containers: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.volumes.values()) + sum(self.containers.values())


def storage_limits(pod: Object) -> StorageLimits | None:
    """None for a Pod that may use as much as there is: nobody measures it. A limit of 0 is none."""
    volumes = {volume['name']: _size_limit(volume) for volume in pod['spec'].get('volumes') or ()}
    containers = {container['name']: limit_of(container, EPHEMERAL_STORAGE) for container in all_containers(pod)}
    limits = StorageLimits(_given(volumes), _given(containers), pod_limit(pod, EPHEMERAL_STORAGE))
    return limits if limits.volumes or limits.containers else None


def excess(limits: StorageLimits, usage: StorageUsage) -> str:
    """What to evict the Pod for; '' while it keeps to its limits."""
    for name, limit in limits.volumes.items():
        if usage.volumes.get(name, 0) > parse_quantity(limit):
            return f'Usage of EmptyDir volume "{name}" exceeds the limit "{limit}". '
    if limits.pod and usage.total > parse_quantity(limits.pod):
        return f'Pod ephemeral local storage usage exceeds the total limit of containers {limits.pod}. '
    for name, limit in limits.containers.items():
        if usage.containers.get(name, 0) > parse_quantity(limit):
            return f'Container {name} exceeded its local ephemeral storage limit "{limit}". '
    return ''


def is_on_disk(volume: Object) -> bool:
    """An emptyDir of the default medium."""
    return 'emptyDir' in volume and not (volume['emptyDir'] or {}).get('medium')


def _size_limit(volume: Object) -> str:
    return str((volume['emptyDir'] or {}).get('sizeLimit') or '') if is_on_disk(volume) else ''


def limit_of(holder: Object, resource: str) -> str:
    """A container's, or a Pod spec's own; '' is none."""
    return str(((holder.get('resources') or {}).get('limits') or {}).get(resource) or '')


def _given(quantities: Mapping[str, str]) -> dict[str, str]:
    return {name: quantity for name, quantity in quantities.items() if quantity and parse_quantity(quantity) > 0}


def pod_limit(pod: Object, resource: str) -> str:
    """The sum of all containers that have a limit, or what init containers have, whichever is more (PodLimits)."""
    running = [limit_of(container, resource) for container in main_containers(pod)]
    sidecars: list[str] = []
    most = ''
    for container in init_containers(pod):
        if is_sidecar(container):
            sidecars.append(limit_of(container, resource))
        alone = [] if is_sidecar(container) else [limit_of(container, resource)]
        most = max(most, _sum((*sidecars, *alone)), key=_bytes)
    return max(_sum((*running, *sidecars)), most, key=_bytes)


def _sum(quantities: Iterable[str]) -> str:
    """In the form, binary or decimal, of the first (Quantity.Add)."""
    given = [quantity for quantity in quantities if quantity]
    if len(given) < 2:
        return ''.join(given)
    total = sum(map(_bytes, given), Decimal(0))
    return canonical_quantity(f'{total / 1024:f}Ki' if given[0].endswith('i') else f'{total:f}')


def _bytes(quantity: str) -> Decimal:
    return parse_quantity(quantity or '0')
