"""List: a snapshot of a collection, in pages when the client asks for a limit.

A page after the first is read from the present state, behind the last name of the page before, and carries the first
page's resourceVersion: a watch from there replays what changed in between.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from netkube.api.errors import ApiError, bad_request, gone
from netkube.api.meta import Object
from netkube.apiserver.registry import Registry, parse_resource_version
from netkube.apiserver.request import Request
from netkube.apiserver.selection import Selection
from netkube.store.store import Entry


class Continue(msgspec.Struct):
    """The continue token: the first page's revision and the last key that was shown."""

    rv: int
    after: str
    v: str = 'meta.k8s.io/v1'

    def __str__(self) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip('=')

    @classmethod
    def parse(cls, text: str) -> Continue:
        """ApiError 400."""
        try:
            return msgspec.json.decode(base64.urlsafe_b64decode(text + '=' * (-len(text) % 4)), type=cls)
        except (msgspec.DecodeError, binascii.Error, ValueError) as error:
            raise bad_request(f'continue key is not valid: {error}') from None


class Page(msgspec.Struct, frozen=True):
    entries: list[Entry]
    metadata: Object


def list_page(registry: Registry, request: Request, selection: Selection) -> Page:
    """ApiError 400, 410, and 504 for a resourceVersion that is still to come."""
    assert request.target is not None
    check_version(registry, request)
    entries = registry.select(request.target.resource, request.target.namespace, selection)
    revision = registry.store.revision
    if request.value('continue'):
        token = Continue.parse(request.value('continue'))
        if token.rv < registry.store.compacted_revision:
            raise gone('The provided continue parameter is too old to display a consistent list result.')
        entries = [entry for entry in entries if entry.key > token.after]
        revision = token.rv
    metadata: Object = {'resourceVersion': str(revision)}
    limit = request.number('limit') or 0
    if 0 < limit < len(entries):
        metadata['continue'] = str(Continue(revision, entries[limit - 1].key))
        if selection.everything:
            metadata['remainingItemCount'] = len(entries) - limit
        entries = entries[:limit]
    return Page(entries, metadata)


def check_version(registry: Registry, request: Request) -> None:
    """Only the present state can be listed, so an exact older version is gone."""
    asked, present = parse_resource_version(request.value('resourceVersion')), registry.store.revision
    if asked > present:
        message = f'Too large resource version: {asked}, current: {present}'
        causes = [{'reason': 'ResourceVersionTooLarge', 'message': 'Too large resource version'}]
        raise ApiError(504, 'Timeout', message, {'causes': causes, 'retryAfterSeconds': 1})
    if request.value('resourceVersionMatch') == 'Exact' and asked != present:
        raise gone(f'The resourceVersion for the provided list is too old: {asked} ({present}).')
