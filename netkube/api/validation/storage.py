"""Validation of PersistentVolumes, claims and StorageClasses (pkg/apis/{core,storage}/validation)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import forbidden, invalid, invalid_each, not_supported, required
from netkube.api.meta import Object
from netkube.api.names import is_qualified_name
from netkube.api.quantity import parse_quantity
from netkube.api.validation.labels import validate_label_selector
from netkube.api.validation.metadata import validate_immutable
from netkube.api.validation.values import dns_subdomain, one_of

ACCESS_MODES = ('ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod')
_VOLUME_MODES = ('Block', 'Filesystem')
_RECLAIM_POLICIES = ('Delete', 'Recycle', 'Retain')
_SOURCES = ('awsElasticBlockStore', 'azureDisk', 'azureFile', 'cephfs', 'cinder', 'csi', 'fc', 'flexVolume', 'flocker',
            'gcePersistentDisk', 'glusterfs', 'hostPath', 'iscsi', 'local', 'nfs', 'photonPersistentDisk',
            'portworxVolume', 'quobyte', 'rbd', 'scaleIO', 'storageos', 'vsphereVolume')  # fmt: skip
_CLAIM_FROZEN = (
    'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims'
)
_SIZE = 'must be greater than zero'


def validate_persistentvolume(volume: Object) -> Iterator[FieldError]:
    spec = volume.get('spec', {})
    yield from _validate_access_modes(spec.get('accessModes') or [], 'spec.accessModes')
    capacity = spec.get('capacity') or {}
    if not capacity:
        yield required('spec.capacity')
    elif 'storage' not in capacity or len(capacity) > 1:
        yield not_supported('spec.capacity', capacity, ('storage',))
    for name, size in capacity.items():
        if parse_quantity(size) <= 0:
            yield invalid(f'spec.capacity[{name}]', size, _SIZE)
    sources = [name for name in _SOURCES if name in spec]
    if not sources:
        yield required('spec', 'must specify a volume type')
    for name in sources[1:]:
        yield forbidden(f'spec.{name}', 'may not specify more than 1 volume type')
    yield from one_of(spec.get('persistentVolumeReclaimPolicy'), _RECLAIM_POLICIES,
                      'spec.persistentVolumeReclaimPolicy')  # fmt: skip
    if 'local' in spec and 'nodeAffinity' not in spec:
        yield required('metadata.annotations', 'Local volume requires node affinity')
    if spec.get('storageClassName'):
        yield from dns_subdomain(spec['storageClassName'], 'spec.storageClassName')
    if 'volumeMode' in spec:
        yield from one_of(spec['volumeMode'], _VOLUME_MODES, 'spec.volumeMode')


def validate_persistentvolume_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_persistentvolume(new)
    spec, before = new['spec'], old['spec']
    if any(spec.get(name) != before.get(name) for name in _SOURCES):
        yield forbidden('spec.persistentvolumesource', 'spec.persistentvolumesource is immutable after creation')
    yield from validate_immutable(spec.get('volumeMode'), before.get('volumeMode'), 'volumeMode')


def validate_persistentvolumeclaim(claim: Object) -> Iterator[FieldError]:
    yield from validate_claim_spec(claim.get('spec', {}), 'spec')


def validate_claim_spec(spec: dict[str, Any], path: str) -> Iterator[FieldError]:
    """Of a claim, or of a template of one."""
    yield from _validate_access_modes(spec.get('accessModes') or [], f'{path}.accessModes')
    if spec.get('selector'):
        yield from validate_label_selector(spec['selector'], f'{path}.selector')
    requests = (spec.get('resources') or {}).get('requests') or {}
    if 'storage' not in requests:
        yield required(f'{path}.resources[storage]')
    elif parse_quantity(requests['storage']) <= 0:
        yield invalid(f'{path}.resources[storage]', requests['storage'], _SIZE)
    if spec.get('storageClassName'):
        yield from dns_subdomain(spec['storageClassName'], f'{path}.storageClassName')
    if 'volumeMode' in spec:
        yield from one_of(spec['volumeMode'], _VOLUME_MODES, f'{path}.volumeMode')


def validate_persistentvolumeclaim_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_persistentvolumeclaim(new)
    spec, before = new['spec'], old['spec']
    binding = not before.get('volumeName') and spec.get('volumeName')
    frozen = {*spec, *before} - {'resources', 'volumeAttributesClassName'} - ({'volumeName'} if binding else set())
    if any(spec.get(name) != before.get(name) for name in frozen):
        yield forbidden('spec', _CLAIM_FROZEN)
        return
    size, was = ((each.get('resources') or {}).get('requests', {}).get('storage', '0') for each in (spec, before))
    if parse_quantity(size) < parse_quantity(was):
        yield forbidden('spec.resources.requests.storage', 'field can not be less than status.capacity')


def _validate_access_modes(modes: list[str], path: str) -> Iterator[FieldError]:
    if not modes:
        yield required(path, 'at least 1 access mode is required')
    for mode in modes:
        if mode not in ACCESS_MODES:
            yield not_supported(path, mode, ACCESS_MODES)
    if 'ReadWriteOncePod' in modes and len(modes) > 1:
        yield forbidden(path, 'may not use ReadWriteOncePod with other access modes')


def validate_storageclass(storage_class: Object) -> Iterator[FieldError]:
    provisioner = storage_class.get('provisioner', '')
    if not provisioner:
        yield required('provisioner')
    else:
        yield from invalid_each('provisioner', provisioner, is_qualified_name(provisioner.lower()))
    for key in storage_class.get('parameters') or ():
        if not key:
            yield invalid('parameters', key, 'field can not be empty.')
    yield from one_of(storage_class.get('reclaimPolicy'), ('Delete', 'Retain'), 'reclaimPolicy')
    modes = ('Immediate', 'WaitForFirstConsumer')
    yield from one_of(storage_class.get('volumeBindingMode'), modes, 'volumeBindingMode')


def validate_storageclass_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_storageclass(new)
    for name, word in (('parameters', 'parameters'), ('provisioner', 'provisioner'), ('reclaimPolicy', 'reclaimPolicy'),
                       ('volumeBindingMode', 'volumeBindingMode')):  # fmt: skip
        if new.get(name) != old.get(name):
            if name == 'volumeBindingMode':
                yield from validate_immutable(new.get(name), old.get(name), name)
            else:
                yield forbidden(name, f'updates to {word} are forbidden.')
