"""List: a snapshot of a collection, in pages when the client asks for a limit.

All pages show the revision of the first. An older state is worked out from the present one and the changes since, as
far back as the store remembers them; beyond that a continue token is 410, with another one in the answer that goes on
with what there is now. https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
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
from netkube.store.store import Compacted, Entry

_TOO_OLD = (
    'The provided continue parameter is too old to display a consistent list result. You can start a new list without '
    'the continue parameter, or use the continue token in this response to retrieve the remainder of the results. '
    'Continuing with the provided token results in an inconsistent list - objects that were created, modified, or '
    'deleted between the time the first chunk was returned and now may show up in the list.'
)
_MATCHES = ('Exact', 'NotOlderThan')
PRESENT = -1  # a token's revision that stands for whatever there is


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
        except (msgspec.MsgspecError, UnicodeError, binascii.Error, ValueError) as error:
            raise bad_request(f'continue key is not valid: {error}') from None


class Page(msgspec.Struct, frozen=True):
    entries: list[Entry]
    metadata: Object


class ListOptions(msgspec.Struct, frozen=True):
    """``exact``: the revision to show, 0 for the present one."""

    limit: int
    exact: int
    token: Continue | None

    @classmethod
    def parse(cls, registry: Registry, request: Request) -> ListOptions:
        """ApiError 400, 422, and 504 for a resourceVersion that is still to come."""
        asked = parse_resource_version(request.value('resourceVersion'))
        check_match(request)
        limit = request.number('limit') or 0
        if limit < 0:
            raise bad_request('limit: Invalid value: must be greater than or equal to 0')
        if request.value('continue'):
            if asked:
                raise bad_request('specifying resource version is not allowed when using continue')
            return cls(limit, 0, Continue.parse(request.value('continue')))
        check_not_too_large(registry, asked)
        match = request.value('resourceVersionMatch')
        exact = match == 'Exact' or (bool(limit) and not match)
        return cls(limit, asked if exact else 0, None)


def list_page(registry: Registry, request: Request, selection: Selection) -> Page:
    """ApiError 400, 410, 422, 504."""
    options = ListOptions.parse(registry, request)
    entries, revision = _snapshot(registry, request, selection, options)
    metadata: Object = {'resourceVersion': str(revision)}
    if 0 < options.limit < len(entries):
        metadata['continue'] = str(Continue(revision, entries[options.limit - 1].key))
        if selection.everything:
            metadata['remainingItemCount'] = len(entries) - options.limit
        entries = entries[: options.limit]
    return Page(entries, metadata)


def _snapshot(
    registry: Registry, request: Request, selection: Selection, options: ListOptions
) -> tuple[list[Entry], int]:
    """The entries that are left to show, and the revision they are of."""
    assert request.target is not None
    resource, namespace, present = request.target.resource, request.target.namespace, registry.store.revision
    token = options.token
    revision = options.exact or (token.rv if token is not None and token.rv != PRESENT else present)
    if revision == present:
        entries = registry.select(resource, namespace, selection)
    else:
        try:
            entries = registry.select_at(resource, namespace, selection, revision)
        except Compacted as error:
            raise _expired(token, error) from None
    if token is not None:
        entries = [entry for entry in entries if entry.key > token.after]
    return entries, revision


def _expired(token: Continue | None, error: Compacted) -> ApiError:
    if token is None:
        return gone(str(error))
    expired = gone(_TOO_OLD)
    expired.metadata = {'continue': str(Continue(PRESENT, token.after))}
    return expired


def check_match(request: Request) -> None:
    """k8s.io/apimachinery ValidateListOptions. ApiError 422."""
    match = request.value('resourceVersionMatch')
    if request.value('sendInitialEvents') and not request.flag('watch'):
        raise invalid_options('sendInitialEvents', 'Forbidden: sendInitialEvents is forbidden for list')
    if not match:
        return
    if request.value('continue'):
        raise invalid_options('resourceVersionMatch', 'Forbidden: resourceVersionMatch is forbidden when continue is '
                                                      'provided')  # fmt: skip
    if not request.value('resourceVersion'):
        raise invalid_options('resourceVersionMatch', 'Forbidden: resourceVersionMatch is forbidden unless '
                                                      'resourceVersion is provided')  # fmt: skip
    if match not in _MATCHES:
        raise invalid_options('resourceVersionMatch', f'Unsupported value: "{match}": supported values: "Exact", '
                                                      '"NotOlderThan"')  # fmt: skip
    if match == 'Exact' and request.value('resourceVersion') == '0':
        raise invalid_options('resourceVersionMatch', 'Forbidden: resourceVersionMatch "exact" is forbidden for '
                                                      'resourceVersion "0"')  # fmt: skip


def invalid_options(field: str, detail: str) -> ApiError:
    causes = [{'reason': f'FieldValue{detail.partition(":")[0].replace(" ", "")}', 'message': detail, 'field': field}]
    details = {'group': 'meta.k8s.io', 'kind': 'ListOptions', 'causes': causes}
    return ApiError(422, 'Invalid', f'ListOptions.meta.k8s.io "" is invalid: {field}: {detail}', details)


def check_not_too_large(registry: Registry, asked: int) -> None:
    """ApiError 504 for a revision that is still to come."""
    present = registry.store.revision
    if asked > present:
        message = f'Timeout: Too large resource version: {asked}, current: {present}'
        causes = [{'reason': 'ResourceVersionTooLarge', 'message': 'Too large resource version'}]
        raise ApiError(504, 'Timeout', message, {'causes': causes, 'retryAfterSeconds': 1})
