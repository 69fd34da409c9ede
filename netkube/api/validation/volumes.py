"""Validation of a Pod's volumes, and of the mounts that use them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import duplicate, forbidden, invalid, not_found, not_supported, required
from netkube.api.quantity import parse_quantity
from netkube.api.validation.environment import validate_field_ref, validate_resource_field_ref
from netkube.api.validation.values import (
    descending_path,
    dns_label,
    file_mode,
    one_of,
    path_without_backsteps,
    unreserved_path,
)

Volumes = dict[str, dict[str, Any]]
_Source = dict[str, Any]
# In the order of Kubernetes' checks: when several are given, the later ones are the ones too many.
_KINDS = (
    'emptyDir', 'hostPath', 'gitRepo', 'gcePersistentDisk', 'awsElasticBlockStore', 'secret', 'nfs', 'iscsi',
    'glusterfs', 'flocker', 'persistentVolumeClaim', 'rbd', 'cinder', 'cephfs', 'quobyte', 'downwardAPI', 'fc',
    'flexVolume', 'configMap', 'azureFile', 'vsphereVolume', 'photonPersistentDisk', 'portworxVolume', 'azureDisk',
    'storageos', 'projected', 'scaleIO', 'csi', 'ephemeral', 'image',
)
_HOST_PATH_TYPES = ('', 'BlockDevice', 'CharDevice', 'Directory', 'DirectoryOrCreate', 'File', 'FileOrCreate', 'Socket')
_VOLUME_FIELDS = ('metadata.annotations', 'metadata.labels', 'metadata.name', 'metadata.namespace', 'metadata.uid')
_PROJECTIONS = ('secret', 'configMap', 'downwardAPI', 'serviceAccountToken', 'clusterTrustBundle', 'podCertificate')
_EMPTY_DIR_MODES = 0o1777
_PULL_POLICIES = ('Always', 'IfNotPresent', 'Never')


def validate_volumes(volumes: Sequence[dict[str, Any]], path: str) -> tuple[Volumes, list[FieldError]]:
    """The good volumes by name, and the faults of the others."""
    good: Volumes = {}
    errors: list[FieldError] = []
    for index, volume in enumerate(volumes):
        here, name = f'{path}[{index}]', volume.get('name', '')
        faults = list(_validate_source(volume, here))
        faults += dns_label(name, f'{here}.name') if name else [required(f'{here}.name')]
        if name in good:
            faults.append(duplicate(f'{here}.name', name))
        if not faults:
            good[name] = volume
        errors += faults
    return good, errors


def _validate_source(volume: _Source, path: str) -> Iterator[FieldError]:
    given = [kind for kind in _KINDS if kind in volume]
    if not given:
        yield required(path, 'must specify a volume type')
        return
    check = _CHECKS.get(given[0])
    if check is not None:
        yield from check(volume[given[0]], f'{path}.{given[0]}')
    for kind in given[1:]:
        yield forbidden(f'{path}.{kind}', 'may not specify more than 1 volume type')


def _validate_empty_dir(source: _Source, path: str) -> Iterator[FieldError]:
    if 'sizeLimit' in source and parse_quantity(source['sizeLimit']) < 0:
        yield forbidden(f'{path}.sizeLimit', 'SizeLimit field must be a valid resource quantity')
    mode = source.get('mode')
    if mode is not None and not 0 <= mode <= _EMPTY_DIR_MODES:
        yield invalid(f'{path}.mode', mode, 'must be a number between 0 and 01777 (octal), both inclusive')


def _validate_host_path(source: _Source, path: str) -> Iterator[FieldError]:
    if not source.get('path'):
        yield required(f'{path}.path')
        return
    yield from path_without_backsteps(source['path'], f'{path}.path')
    if source.get('type', '') not in _HOST_PATH_TYPES:
        yield not_supported(f'{path}.type', source['type'], _HOST_PATH_TYPES)


def _validate_secret(source: _Source, path: str) -> Iterator[FieldError]:
    if not source.get('secretName'):
        yield required(f'{path}.secretName')
    yield from _validate_items(source, path)


def _validate_config_map(source: _Source, path: str) -> Iterator[FieldError]:
    if not source.get('name'):
        yield required(f'{path}.name')
    yield from _validate_items(source, path)


def _validate_items(source: _Source, path: str) -> Iterator[FieldError]:
    yield from file_mode(source.get('defaultMode'), f'{path}.defaultMode')
    for index, item in enumerate(source.get('items') or ()):
        yield from _validate_key_to_path(item, f'{path}.items[{index}]')


def _validate_key_to_path(item: _Source, path: str) -> Iterator[FieldError]:
    for key in ('key', 'path'):
        if not item.get(key):
            yield required(f'{path}.{key}')
    yield from unreserved_path(item.get('path', ''), f'{path}.path')
    yield from file_mode(item.get('mode'), f'{path}.mode')


def _validate_downward_api(source: _Source, path: str) -> Iterator[FieldError]:
    yield from file_mode(source.get('defaultMode'), f'{path}.defaultMode')
    for item in source.get('items') or ():
        yield from _validate_downward_file(item, path)


def _validate_downward_file(item: _Source, path: str) -> Iterator[FieldError]:
    if not item.get('path'):
        yield required(f'{path}.path')
    yield from unreserved_path(item.get('path', ''), f'{path}.path')
    if 'fieldRef' in item:
        yield from validate_field_ref(item['fieldRef'], _VOLUME_FIELDS, f'{path}.fieldRef')
        if 'resourceFieldRef' in item:
            yield invalid(path, 'resource', 'fieldRef and resourceFieldRef can not be specified simultaneously')
    elif 'resourceFieldRef' in item:
        yield from validate_resource_field_ref(item['resourceFieldRef'], f'{path}.resourceFieldRef', in_volume=True)
    else:
        yield required(path, 'one of fieldRef and resourceFieldRef is required')
    yield from file_mode(item.get('mode'), f'{path}.mode')


def _validate_projected(source: _Source, path: str) -> Iterator[FieldError]:
    yield from file_mode(source.get('defaultMode'), f'{path}.defaultMode')
    paths: set[str] = set()
    for index, projection in enumerate(source.get('sources') or ()):
        yield from _validate_projection(projection, paths, f'{path}.sources[{index}]')


def _validate_projection(projection: _Source, paths: set[str], path: str) -> Iterator[FieldError]:
    given = [kind for kind in _PROJECTIONS if kind in projection]
    for kind in given:
        yield from _validate_projected_source(kind, projection[kind], f'{path}.{kind}')
        yield from _validate_unique_paths(kind, projection[kind], paths, path)
    if len(given) > 1:
        yield forbidden(path, 'may not specify more than 1 volume type per source')


def _validate_projected_source(kind: str, source: _Source, path: str) -> Iterator[FieldError]:
    if kind in ('secret', 'configMap'):
        if not source.get('name'):
            yield required(f'{path}.name')
        for index, item in enumerate(source.get('items') or ()):
            yield from _validate_key_to_path(item, f'{path}.items[{index}]')
    elif kind == 'downwardAPI':
        for item in source.get('items') or ():
            yield from _validate_downward_file(item, path)
    elif kind == 'serviceAccountToken':
        yield from _validate_token(source, path)


def _validate_token(source: _Source, path: str) -> Iterator[FieldError]:
    seconds = source.get('expirationSeconds', 3600)
    if seconds < 600:
        yield invalid(f'{path}.expirationSeconds', seconds, 'may not specify a duration less than 10 minutes')
    if seconds > 1 << 32:
        yield invalid(f'{path}.expirationSeconds', seconds, 'may not specify a duration larger than 2^32 seconds')
    if not source.get('path'):
        yield required(f'{path}.path')
    else:
        yield from unreserved_path(source['path'], f'{path}.path')


def _validate_unique_paths(kind: str, source: _Source, paths: set[str], path: str) -> Iterator[FieldError]:
    items = [source] if kind == 'serviceAccountToken' else source.get('items') or ()
    for item in items:
        if item.get('path') and item['path'] in paths:
            yield invalid(path, source.get('name', item['path']), 'conflicting duplicate paths')
        paths.add(item.get('path', ''))


def _require(*keys: str) -> Callable[[_Source, str], Iterator[FieldError]]:
    def validate(source: _Source, path: str) -> Iterator[FieldError]:
        for key in keys:
            if not source.get(key):
                yield required(f'{path}.{key}')

    return validate


def _validate_nfs(source: _Source, path: str) -> Iterator[FieldError]:
    yield from _require('server', 'path')(source, path)
    if not source.get('path', '').startswith('/'):
        yield invalid(f'{path}.path', source.get('path', ''), 'must be an absolute path')


def _validate_image(source: _Source, path: str) -> Iterator[FieldError]:
    yield from _require('reference')(source, path)
    yield from one_of(source.get('pullPolicy'), _PULL_POLICIES, f'{path}.pullPolicy')


_CHECKS: dict[str, Callable[[_Source, str], Iterator[FieldError]]] = {
    'emptyDir': _validate_empty_dir, 'hostPath': _validate_host_path, 'secret': _validate_secret,
    'configMap': _validate_config_map, 'downwardAPI': _validate_downward_api, 'projected': _validate_projected,
    'persistentVolumeClaim': _require('claimName'), 'nfs': _validate_nfs, 'csi': _require('driver'),
    'ephemeral': _require('volumeClaimTemplate'), 'image': _validate_image, 'gitRepo': _require('repository'),
    'gcePersistentDisk': _require('pdName'), 'awsElasticBlockStore': _require('volumeID'),
    'glusterfs': _require('endpoints', 'path'), 'rbd': _require('monitors', 'image'),
    'cinder': _require('volumeID'), 'cephfs': _require('monitors'), 'flexVolume': _require('driver'),
    'iscsi': _require('targetPortal', 'iqn'), 'azureFile': _require('secretName', 'shareName'),
    'azureDisk': _require('diskURI', 'diskName'), 'vsphereVolume': _require('volumePath'),
    'portworxVolume': _require('volumeID'), 'photonPersistentDisk': _require('pdID'),
    'scaleIO': _require('gateway', 'system', 'volumeName'), 'quobyte': _require('registry', 'volume'),
}


def validate_mounts(container: dict[str, Any], volumes: Volumes, path: str) -> Iterator[FieldError]:
    """A container's volumeMounts and volumeDevices."""
    devices = {one.get('name'): one.get('devicePath') for one in container.get('volumeDevices') or ()}
    seen: set[str] = set()
    for index, mount in enumerate(container.get('volumeMounts') or ()):
        yield from _validate_mount(mount, volumes, seen, f'{path}.volumeMounts[{index}]')
        if mount.get('name') in devices:
            message = 'must not already exist in volumeDevices'
            yield invalid(f'{path}.volumeMounts[{index}].name', mount['name'], message)
        yield from _validate_subpath(mount, f'{path}.volumeMounts')
        yield from _validate_propagation(mount, container, f'{path}.volumeMounts')
    yield from _validate_devices(container, volumes, f'{path}.volumeDevices')


def _validate_mount(mount: dict[str, Any], volumes: Volumes, seen: set[str], path: str) -> Iterator[FieldError]:
    name, mount_path = mount.get('name', ''), mount.get('mountPath', '')
    if not name:
        yield required(f'{path}.name')
    if name not in volumes:
        yield not_found(f'{path}.name', name)
    if not mount_path:
        yield required(f'{path}.mountPath')
    if mount_path in seen:
        yield invalid(f'{path}.mountPath', mount_path, 'must be unique')
    seen.add(mount_path)


def _validate_subpath(mount: dict[str, Any], path: str) -> Iterator[FieldError]:
    if mount.get('subPath'):
        yield from descending_path(mount['subPath'], f'{path}.subPath')
    if mount.get('subPathExpr'):
        if mount.get('subPath'):
            yield invalid(f'{path}.subPathExpr', mount['subPathExpr'], 'subPathExpr and subPath are mutually exclusive')
        yield from descending_path(mount['subPathExpr'], f'{path}.subPathExpr')


_PROPAGATIONS = ('Bidirectional', 'HostToContainer', 'None')


def _validate_propagation(mount: dict[str, Any], container: dict[str, Any], path: str) -> Iterator[FieldError]:
    mode = mount.get('mountPropagation')
    if mode is None:
        return
    if mode not in _PROPAGATIONS:
        yield not_supported(f'{path}.mountPropagation', mode, _PROPAGATIONS)
    if mode == 'Bidirectional' and not (container.get('securityContext') or {}).get('privileged'):
        message = 'Bidirectional mount propagation is available only to privileged containers'
        yield forbidden(f'{path}.mountPropagation', message)


def _validate_devices(container: dict[str, Any], volumes: Volumes, path: str) -> Iterator[FieldError]:
    for index, device in enumerate(container.get('volumeDevices') or ()):
        here, name = f'{path}[{index}]', device.get('name', '')
        if not name:
            yield required(f'{here}.name')
        if name not in volumes:
            yield not_found(f'{here}.name', name)
        elif not {'persistentVolumeClaim', 'ephemeral'} & volumes[name].keys():
            message = 'can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode'
            yield invalid(f'{here}.name', name, message)
        if not device.get('devicePath'):
            yield required(f'{here}.devicePath')
