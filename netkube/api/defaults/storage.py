"""Defaults of the storage kinds (pkg/apis/core/v1 and pkg/apis/storage/v1, defaults.go)."""

from __future__ import annotations

from netkube.api.meta import Object


def default_persistentvolume(volume: Object) -> None:
    spec = volume.setdefault('spec', {})
    volume.setdefault('status', {}).setdefault('phase', 'Pending')
    spec.setdefault('persistentVolumeReclaimPolicy', 'Retain')
    spec.setdefault('volumeMode', 'Filesystem')
    if 'hostPath' in spec:
        spec['hostPath'].setdefault('type', '')
    if 'claimRef' in spec:
        spec['claimRef'].setdefault('apiVersion', 'v1')
        spec['claimRef'].setdefault('kind', 'PersistentVolumeClaim')


def default_persistentvolumeclaim(claim: Object) -> None:
    claim.setdefault('status', {}).setdefault('phase', 'Pending')
    spec = claim.setdefault('spec', {})
    spec.setdefault('volumeMode', 'Filesystem')
    source, reference = spec.get('dataSource'), spec.get('dataSourceRef')
    if source and not reference:
        spec['dataSourceRef'] = dict(source)
    elif reference and not source and not reference.get('namespace'):
        spec['dataSource'] = dict(reference)


def default_storageclass(storage_class: Object) -> None:
    storage_class.setdefault('reclaimPolicy', 'Delete')
    storage_class.setdefault('volumeBindingMode', 'Immediate')


def default_csidriver(driver: Object) -> None:
    spec = driver.setdefault('spec', {})
    spec.setdefault('attachRequired', True)
    for field in ('podInfoOnMount', 'storageCapacity', 'requiresRepublish', 'seLinuxMount'):
        spec.setdefault(field, False)
    spec.setdefault('fsGroupPolicy', 'ReadWriteOnceWithFSType')
    spec.setdefault('volumeLifecycleModes', ['Persistent'])
