"""Rows of the storage kinds."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netkube.api.durations import age
from netkube.api.meta import Object

_SHORT_MODES = {'ReadWriteOnce': 'RWO', 'ReadOnlyMany': 'ROX', 'ReadWriteMany': 'RWX', 'ReadWriteOncePod': 'RWOP'}
_IS_DEFAULT = 'storageclass.kubernetes.io/is-default-class'


def _modes(modes: list[str] | None) -> str:
    return ','.join(short for mode, short in _SHORT_MODES.items() if mode in (modes or ()))


def print_persistentvolume(volume: Object, now: datetime) -> list[Any]:
    spec, status = volume['spec'], volume.get('status') or {}
    claim = spec.get('claimRef')
    phase = 'Terminating' if 'deletionTimestamp' in volume['metadata'] else status.get('phase', '')
    return [
        volume['metadata']['name'],
        (spec.get('capacity') or {}).get('storage', '0'),
        _modes(spec.get('accessModes')),
        spec.get('persistentVolumeReclaimPolicy', ''),
        phase,
        f'{claim.get("namespace", "")}/{claim.get("name", "")}' if claim else '',
        spec.get('storageClassName', ''),
        spec.get('volumeAttributesClassName', '<unset>'),
        status.get('reason', ''),
        age(volume['metadata'].get('creationTimestamp'), now),
        spec.get('volumeMode', '<unset>'),
    ]


def print_persistentvolumeclaim(claim: Object, now: datetime) -> list[Any]:
    spec, status = claim['spec'], claim.get('status') or {}
    phase = 'Terminating' if 'deletionTimestamp' in claim['metadata'] else status.get('phase', '')
    bound = bool(spec.get('volumeName'))
    return [
        claim['metadata']['name'],
        phase,
        spec.get('volumeName', ''),
        (status.get('capacity') or {}).get('storage', '0') if bound else '',
        _modes(status.get('accessModes')) if bound else '',
        spec.get('storageClassName', ''),
        spec.get('volumeAttributesClassName', '<unset>'),
        age(claim['metadata'].get('creationTimestamp'), now),
        spec.get('volumeMode', '<unset>'),
    ]


def print_storageclass(storage_class: Object, now: datetime) -> list[Any]:
    metadata = storage_class['metadata']
    default = (metadata.get('annotations') or {}).get(_IS_DEFAULT) == 'true'
    return [
        metadata['name'] + (' (default)' if default else ''),
        storage_class.get('provisioner', ''),
        storage_class.get('reclaimPolicy', 'Delete'),
        storage_class.get('volumeBindingMode', 'Immediate'),
        bool(storage_class.get('allowVolumeExpansion')),
        age(metadata.get('creationTimestamp'), now),
    ]


def print_csidriver(driver: Object, now: datetime) -> list[Any]:
    spec = driver['spec']
    tokens = ','.join(one.get('audience', '') for one in spec.get('tokenRequests') or ()) or '<unset>'
    return [
        driver['metadata']['name'],
        bool(spec.get('attachRequired', True)),
        bool(spec.get('podInfoOnMount')),
        bool(spec.get('storageCapacity')),
        tokens,
        bool(spec.get('requiresRepublish')),
        ','.join(spec.get('volumeLifecycleModes') or ()) or '<none>',
        age(driver['metadata'].get('creationTimestamp'), now),
    ]
