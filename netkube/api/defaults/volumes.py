"""Defaults of a Pod's volumes."""

from __future__ import annotations

from typing import Any

from netkube.api.defaults.images import pull_policy

_MODE = 0o644
_TOKEN_SECONDS = 3600
_ISCSI = {'iscsiInterface': 'default'}
_RBD = {'pool': 'rbd', 'user': 'admin', 'keyring': '/etc/ceph/keyring'}
_AZURE_DISK = {'cachingMode': 'ReadWrite', 'kind': 'Shared', 'fsType': 'ext4', 'readOnly': False}
_SCALE_IO = {'storageMode': 'ThinProvisioned', 'fsType': 'xfs'}
# Fixed values per volume source.
_SOURCES: dict[str, dict[str, Any]] = {
    'secret': {'defaultMode': _MODE}, 'configMap': {'defaultMode': _MODE}, 'downwardAPI': {'defaultMode': _MODE},
    'projected': {'defaultMode': _MODE}, 'hostPath': {'type': ''}, 'iscsi': _ISCSI, 'rbd': _RBD,
    'azureDisk': _AZURE_DISK, 'scaleIO': _SCALE_IO,
}  # fmt: skip


def default_volume(volume: dict[str, Any]) -> None:
    """A volume that names no source is an emptyDir."""
    if not any(key != 'name' for key in volume):
        volume['emptyDir'] = {}
    for source, values in _SOURCES.items():
        if source in volume:
            for key, value in values.items():
                volume[source].setdefault(key, value)
    _default_downward_items(volume.get('downwardAPI', {}))
    for projection in volume.get('projected', {}).get('sources') or ():
        _default_projection(projection)
    claim = volume.get('ephemeral', {}).get('volumeClaimTemplate')
    if claim:
        claim.setdefault('spec', {}).setdefault('volumeMode', 'Filesystem')
    if 'image' in volume:
        _default_image(volume['image'])


def _default_projection(projection: dict[str, Any]) -> None:
    _default_downward_items(projection.get('downwardAPI', {}))
    if 'serviceAccountToken' in projection:
        projection['serviceAccountToken'].setdefault('expirationSeconds', _TOKEN_SECONDS)


def _default_downward_items(source: dict[str, Any]) -> None:
    for item in source.get('items') or ():
        if 'fieldRef' in item:
            item['fieldRef'].setdefault('apiVersion', 'v1')
        if 'resourceFieldRef' in item:
            item['resourceFieldRef'].setdefault('divisor', '0')  # a plain Quantity: never left out


def _default_image(image: dict[str, Any]) -> None:
    image.setdefault('pullPolicy', pull_policy(image.get('reference', '')))
