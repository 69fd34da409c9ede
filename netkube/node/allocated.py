"""What a container's status says of its specification: all of it has been given, as nothing is resized here.

Source: kubernetes pkg/kubelet/kubelet_pods.go (convertToAPIContainerStatuses); KEP-1287, KEP-3857, KEP-4960.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netkube.api.meta import Object


def allocated_fields(container: Object) -> dict[str, Any]:
    """Of a container that has been started."""
    resources = {key: value for key, value in (container.get('resources') or {}).items() if key in KEPT and value}
    fields: dict[str, Any] = {'resources': resources}
    if 'requests' in resources:
        fields['allocatedResources'] = resources['requests']
    if signal := (container.get('lifecycle') or {}).get('stopSignal'):
        fields['stopSignal'] = signal
    return fields


def user_fields(ids: Sequence[int]) -> dict[str, Any]:
    """Of uid, gid and groups (KEP-3619)."""
    uid, gid, *groups = ids
    return {'linux': {'uid': uid, 'gid': gid, 'supplementalGroups': groups}}


def pod_fields(pod: Object) -> dict[str, Any]:
    """Of a Pod with resources of its own (KEP-5419)."""
    resources = {key: value for key, value in (pod['spec'].get('resources') or {}).items() if key in KEPT and value}
    if not resources:
        return {}
    allocated = {'allocatedResources': resources['requests']} if 'requests' in resources else {}
    return {'resources': resources, **allocated}


KEPT = ('limits', 'requests', 'claims')


def mount_fields(container: Object) -> dict[str, Any]:
    mounts = [_mount(mount) for mount in container.get('volumeMounts') or ()]
    return {'volumeMounts': mounts} if mounts else {}


def _mount(mount: Mapping[str, Any]) -> dict[str, Any]:
    status: dict[str, Any] = {'name': mount['name'], 'mountPath': mount['mountPath']}
    if mount.get('readOnly'):  # which is always recursive here
        status |= {'readOnly': True, 'recursiveReadOnly': 'Enabled'}
    return status
