"""The row of a Node."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netkube.api.durations import age
from netkube.api.meta import Object

_ROLE_PREFIX = 'node-role.kubernetes.io/'
_ROLE_LABEL = 'kubernetes.io/role'


def print_node(node: Object, now: datetime) -> list[Any]:
    status = node.get('status', {})
    info = status.get('nodeInfo') or {}
    return [
        node['metadata']['name'],
        _status(node),
        ','.join(node_roles(node)) or '<none>',
        age(node['metadata'].get('creationTimestamp'), now),
        info.get('kubeletVersion', ''),
        _address(status, 'InternalIP'),
        _address(status, 'ExternalIP'),
        info.get('osImage') or '<unknown>',
        info.get('kernelVersion') or '<unknown>',
        info.get('containerRuntimeVersion') or '<unknown>',
    ]


def _status(node: Object) -> str:
    conditions = node.get('status', {}).get('conditions') or ()
    ready = next((one for one in conditions if one['type'] == 'Ready'), None)
    words = ['Unknown' if ready is None else 'Ready' if ready['status'] == 'True' else 'NotReady']
    if node.get('spec', {}).get('unschedulable'):
        words.append('SchedulingDisabled')
    return ','.join(words)


def node_roles(node: Object) -> list[str]:
    """The roles its labels give a Node, sorted."""
    labels = node['metadata'].get('labels') or {}
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)} - {''}
    if labels.get(_ROLE_LABEL):
        roles.add(labels[_ROLE_LABEL])
    return sorted(roles)


def _address(status: dict[str, Any], type_: str) -> str:
    addresses = status.get('addresses') or ()
    return next((one['address'] for one in addresses if one['type'] == type_), '<none>')
