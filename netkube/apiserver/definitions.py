"""What the API server itself does about CustomResourceDefinitions: it accepts their names and establishes them.

Upstream these are controllers of the API server (pkg/controller/{status,establish,finalizer}); here it is part of the
write, so a CRD that was created is served.
"""

from __future__ import annotations

from collections.abc import Iterator

from netkube.api.customresources import CLEANUP
from netkube.api.errors import ApiError
from netkube.api.meta import Object, timestamp
from netkube.api.resources import ALL, CUSTOMRESOURCEDEFINITIONS, CustomResource, Resource
from netkube.apiserver.storage import Storage, prefix

_WORDS = {'plural': 'PluralConflict', 'singular': 'SingularConflict', 'kind': 'KindConflict',
          'listKind': 'ListKindConflict'}  # fmt: skip


def accept(storage: Storage, crd: Object) -> None:
    """Write the status that a CRD of these names has; ``crd`` is changed in place."""
    status = crd.setdefault('status', {})
    names = crd['spec']['names']
    conflict = next(_conflicts(storage, crd), None)
    if conflict is None:
        status['acceptedNames'] = dict(names)
        accepted = 'True', 'NoConflicts', 'no conflicts found'
        established = 'True', 'InitialNamesAccepted', 'the initial names have been accepted'
    else:
        status.setdefault('acceptedNames', {'plural': '', 'kind': ''})
        accepted = 'False', *conflict
        established = 'False', 'NotAccepted', 'not all names are accepted'
    at = timestamp(storage.now())
    _set_condition(status, 'NamesAccepted', *accepted, at)
    if not _holds(status, 'Established'):  # once it is, it stays
        _set_condition(status, 'Established', *established, at)
    stored = next(version['name'] for version in crd['spec']['versions'] if version['storage'])
    versions = status.setdefault('storedVersions', [])
    if stored not in versions:
        versions.append(stored)


def finalize(crd: Object) -> None:
    """Its objects go before it does."""
    finalizers = crd['metadata'].setdefault('finalizers', [])
    if CLEANUP not in finalizers:
        finalizers.append(CLEANUP)


def check_not_terminating(resource: Resource) -> None:
    """ApiError 405 for a new object of a kind that is going."""
    if isinstance(resource, CustomResource) and resource.definition.terminating:
        why = 'create not allowed while custom resource definition is terminating'
        raise ApiError(405, 'MethodNotAllowed', why)


def _conflicts(storage: Storage, crd: Object) -> Iterator[tuple[str, str]]:
    """Reason and message for each name that another kind of the group has."""
    names = crd['spec']['names']
    plurals, kinds = _taken(storage, crd)
    for word in ('plural', 'singular'):
        if names.get(word) in plurals:
            yield _WORDS[word], f'"{names[word]}" is already in use'
    for short in names.get('shortNames') or ():
        if short in plurals:
            yield 'ShortNamesConflict', f'"{short}" is already in use'
    for word in ('kind', 'listKind'):
        if names.get(word) in kinds:
            yield _WORDS[word], f'"{names[word]}" is already in use'


def _taken(storage: Storage, crd: Object) -> tuple[set[str | None], set[str | None]]:
    group = crd['spec']['group']
    plurals: set[str | None] = set()
    kinds: set[str | None] = set()
    for one in ALL:
        if one.group == group:
            plurals |= {one.plural, one.singular, *one.short_names}
            kinds |= {one.kind, one.list_kind}
    for entry in storage.store.list(prefix(CUSTOMRESOURCEDEFINITIONS)):
        other = storage.object(entry)
        if other['spec']['group'] == group and other['metadata']['name'] != crd['metadata']['name']:
            accepted = (other.get('status') or {}).get('acceptedNames') or {}
            plurals |= {accepted.get('plural'), accepted.get('singular'), *(accepted.get('shortNames') or ())}
            kinds |= {accepted.get('kind'), accepted.get('listKind')}
    return plurals - {None, ''}, kinds - {None, ''}


def _holds(status: Object, type: str) -> bool:
    return any(one['type'] == type and one['status'] == 'True' for one in status.get('conditions') or ())


def _set_condition(status: Object, type: str, value: str, reason: str, message: str, at: str) -> None:
    conditions = status.setdefault('conditions', [])
    found = next((one for one in conditions if one['type'] == type), None)
    if found is None:
        found = {'type': type}
        conditions.append(found)
    if found.get('status') != value:
        found['lastTransitionTime'] = at
    found |= {'status': value, 'reason': reason, 'message': message}
