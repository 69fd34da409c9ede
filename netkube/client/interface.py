"""How every component reaches the API: one interface, in process or over HTTP.

The in-process implementation is the API server's own registry, the other one is ``netkube.client.http``; a
component cannot tell which it was given.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator
from typing import Any, Protocol

import msgspec

from netkube.api.meta import Object
from netkube.api.resources import Resource

JSON_PATCH = 'application/json-patch+json'
MERGE_PATCH = 'application/merge-patch+json'
STRATEGIC_MERGE_PATCH = 'application/strategic-merge-patch+json'


class ObjectList(msgspec.Struct, frozen=True):
    """A consistent snapshot of a collection: a watch from ``resource_version`` misses nothing.

    With ``continue_token`` it is the first part of one: ``list`` with that token gives the next.
    """

    items: builtins.list[Object]
    resource_version: str
    continue_token: str = ''


class WatchEvent(msgspec.Struct, frozen=True):
    """``type`` is ADDED, MODIFIED, DELETED or BOOKMARK (whose object has only a resourceVersion)."""

    type: str
    object: Object


class Client(Protocol):
    """The Kubernetes API. Every failure is a ``netkube.api.errors.ApiError``.

    ``namespace`` is '' for cluster-scoped resources, and for all namespaces in ``list`` and ``watch``.
    Objects that are returned may be shared: copy before changing one.
    """

    async def get(self, resource: Resource, namespace: str, name: str) -> Object: ...

    async def list(
        self,
        resource: Resource,
        namespace: str = '',
        *,
        label_selector: str = '',
        field_selector: str = '',
        limit: int = 0,
        continue_token: str = '',
    ) -> ObjectList:
        """``limit``: how many objects are wanted at a time, if not all; in process there may be more."""
        ...

    def watch(
        self,
        resource: Resource,
        namespace: str = '',
        *,
        resource_version: str = '',
        label_selector: str = '',
        field_selector: str = '',
        allow_bookmarks: bool = True,
    ) -> AsyncIterator[WatchEvent]:
        """Events after ``resource_version``; ApiError 410 once that has been compacted. It may end: watch again."""
        ...

    async def create(self, resource: Resource, obj: Object, subresource: str = '') -> Object:
        """A new object, in the namespace its metadata names; ``binding`` on Pods takes a v1 Binding of that name."""
        ...

    async def update(self, resource: Resource, obj: Object, subresource: str = '') -> Object:
        """Replace; a stale metadata.resourceVersion is a Conflict, an absent one means unconditionally."""
        ...

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Any,
        content_type: str = MERGE_PATCH,
        subresource: str = '',
    ) -> Object: ...

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str = '',
        grace_period_seconds: int | None = None,
        propagation_policy: str = '',
    ) -> Object: ...
