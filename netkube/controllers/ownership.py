"""Which objects a controller owns: adoption of orphans that its selector matches, release of those it no longer does.

Source: pkg/controller/controller_ref_manager.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec

from netkube.api.errors import ApiError
from netkube.api.meta import Object, controller_of, is_deleting, key_of, owner_reference
from netkube.api.resources import Resource
from netkube.api.selectors import Selector
from netkube.client.interface import STRATEGIC_MERGE_PATCH, Client


class Claims(msgspec.Struct, frozen=True):
    """``owned`` as it is, ``adopt`` orphans, ``release`` what the selector no longer matches."""

    owned: tuple[Object, ...] = ()
    adopt: tuple[Object, ...] = ()
    release: tuple[Object, ...] = ()


def plan_claims(owner: Object, selector: Selector, candidates: Iterable[Object]) -> Claims:
    owned, adopt, release = [], [], []
    uid, owner_goes = owner['metadata']['uid'], is_deleting(owner)
    for obj in candidates:
        reference = controller_of(obj)
        matches = selector.matches(obj['metadata'].get('labels'))
        if reference is not None and reference['uid'] == uid:
            if matches:
                owned.append(obj)
            elif not owner_goes:
                release.append(obj)
        elif reference is None and matches and not owner_goes and not is_deleting(obj):
            adopt.append(obj)
    return Claims(tuple(owned), tuple(adopt), tuple(release))


class Claimer:
    """Carries claims out for owners of one kind."""

    def __init__(self, client: Client, owner_resource: Resource, resource: Resource) -> None:
        self._client, self._owner_resource, self._resource = client, owner_resource, resource

    async def claim(self, owner: Object, selector: Selector, candidates: Iterable[Object]) -> list[Object]:
        """What ``owner`` owns afterwards; Conflict when the owner itself was replaced or is going."""
        claims = plan_claims(owner, selector, candidates)
        if not claims.adopt and not claims.release:
            return list(claims.owned)
        if claims.adopt:
            await self._ensure_may_adopt(owner)
        adopted, _ = await asyncio.gather(
            asyncio.gather(*(self._adopt(owner, obj) for obj in claims.adopt)),
            asyncio.gather(*(self._release(owner, obj) for obj in claims.release)),
        )
        return [*claims.owned, *(obj for obj in adopted if obj is not None)]

    async def _ensure_may_adopt(self, owner: Object) -> None:
        """The cache may be old: ask for the owner itself."""
        live = await self._client.get(self._owner_resource, *key_of(owner))
        if live['metadata']['uid'] != owner['metadata']['uid'] or is_deleting(live):
            name = owner['metadata']['name']
            raise ApiError(409, 'Conflict', f'{self._owner_resource.kind} "{name}" is going: it can adopt nothing')

    async def _adopt(self, owner: Object, obj: Object) -> Object | None:
        reference = owner_reference(self._owner_resource.api_version, self._owner_resource.kind, owner)
        return await self._patch(obj, {'ownerReferences': [reference], 'uid': obj['metadata']['uid']})

    async def _release(self, owner: Object, obj: Object) -> None:
        deletion = {'$patch': 'delete', 'uid': owner['metadata']['uid']}
        await self._patch(obj, {'ownerReferences': [deletion], 'uid': obj['metadata']['uid']})

    async def _patch(self, obj: Object, metadata: Object) -> Object | None:
        """None when the object is gone, or is another one of that name by now."""
        try:
            return await self._client.patch(self._resource, *key_of(obj), {'metadata': metadata}, STRATEGIC_MERGE_PATCH)
        except ApiError as error:
            if error.code in (404, 409):
                return None
            raise
