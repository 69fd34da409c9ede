"""Object metadata: names, keys, timestamps, owners.

An API object is a plain ``dict`` with Kubernetes' camelCase keys, all the way; objects that come from a
cache or a watch are shared and must not be changed (``copy_object`` first).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

Object = dict[str, Any]
Key = tuple[str, str]  # (namespace, name); the namespace is '' for cluster-scoped objects


def key_of(obj: Mapping[str, Any]) -> Key:
    metadata = obj['metadata']
    return metadata.get('namespace', ''), metadata['name']


def copy_object(obj: Object) -> Object:
    """A deep copy of a JSON value, six times as fast as copy.deepcopy."""
    copied: Object = msgspec.to_builtins(obj)
    return copied


def timestamp(at: datetime) -> str:
    """``metav1.Time``: RFC 3339 in UTC, whole seconds."""
    return at.astimezone(UTC).isoformat(timespec='seconds')[:19] + 'Z'


def micro_timestamp(at: datetime) -> str:
    """``metav1.MicroTime``: RFC 3339 in UTC, microseconds."""
    return at.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%S.%fZ')


def parse_timestamp(text: str) -> datetime:
    """Either form back to an aware datetime."""
    return datetime.fromisoformat(text.replace('Z', '+00:00'))


def utc_now() -> datetime:
    return datetime.now(UTC)


def owner_reference(api_version: str, kind: str, owner: Mapping[str, Any], *, controller: bool = True) -> Object:
    metadata = owner['metadata']
    reference: Object = {'apiVersion': api_version, 'kind': kind, 'name': metadata['name'], 'uid': metadata['uid']}
    if controller:
        reference |= {'controller': True, 'blockOwnerDeletion': True}
    return reference


def controller_of(obj: Mapping[str, Any]) -> Object | None:
    """The ownerReference of the managing controller (metav1.GetControllerOf), or None."""
    for reference in obj['metadata'].get('ownerReferences') or ():
        if reference.get('controller'):
            return reference
    return None


def is_deleting(obj: Mapping[str, Any]) -> bool:
    return 'deletionTimestamp' in obj['metadata']
