"""What a write does to the managers of an object's fields.

An **update** gives the fields it adds or changes to its manager and takes them from all others; fields that are gone
are nobody's. An **apply** owns what its configuration names, alone or with others that agree on the value; it conflicts
where it changes what another owns; what it applied last time and no more goes, unless another one owns it.
(structured-merge-diff/merge/update.go, apimachinery managedfields/internal.)
"""

from __future__ import annotations

from netkube.api.managedfields.compare import Comparison, compare
from netkube.api.managedfields.conflicts import ApplyConflict
from netkube.api.managedfields.entries import UPDATE, Manager, Managers, Owned, all_fields, updater
from netkube.api.managedfields.extract import field_set
from netkube.api.managedfields.fieldset import (
    MEMBER,
    Fields,
    difference,
    intersection,
    union,
    with_path,
    without_branches,
)
from netkube.api.managedfields.merge import merge
from netkube.api.managedfields.remove import remove, with_named
from netkube.api.managedfields.shape import Shape
from netkube.api.meta import Object

MAX_UPDATERS = 10
ANCIENT = 'ancient-changes'
BEFORE_FIRST_APPLY = 'before-first-apply'

# Of every object, and nobody's (stripmeta.go).
_SYSTEM_METADATA = ('name', 'namespace', 'creationTimestamp', 'selfLink', 'uid', 'clusterName', 'generation',
                    'managedFields', 'resourceVersion')  # fmt: skip
_STRIPPED: Fields = {'f:apiVersion': MEMBER, 'f:kind': MEMBER, 'f:metadata': MEMBER}
for _name in _SYSTEM_METADATA:
    _STRIPPED = with_path(_STRIPPED, ('f:metadata', f'f:{_name}'))


class Scope:
    """What is written: the kind's shape and version, and the fields that a write of this (sub)resource ignores."""

    __slots__ = ('shape', 'api_version', 'ignored')

    def __init__(self, shape: Shape, api_version: str, ignored: Fields) -> None:
        self.shape, self.api_version, self.ignored = shape, api_version, ignored


def update(live: Object, new: Object, managers: Managers, manager: Manager, scope: Scope, now: str) -> Managers:
    """The managers after an update; the same ones, when it changes nothing."""
    changes = compare(live, new, scope.shape).ignoring(scope.ignored)
    left = _after(managers, changes)
    taken = difference(changes.written, _STRIPPED)
    if taken:
        before = left.get(manager)
        left[manager] = Owned(union(taken, before.fields) if before else taken, scope.api_version, now)
    return _capped(left)


def apply(
    live: Object, config: Object, managers: Managers, manager: Manager, scope: Scope, now: str, *, force: bool
) -> tuple[Object, Managers]:
    """The object with ``config`` applied, and its managers. ApplyConflict unless ``force``."""
    applied = without_branches(field_set(config, scope.shape), scope.ignored)
    last = managers.get(manager)
    claims = {**managers, manager: Owned(applied, scope.api_version, now)}
    merged = merge(live, config, scope.shape)
    if last is not None and last.fields:
        merged = _prune(merged, last.fields, claims, scope.shape)
    changes = compare(live, merged, scope.shape).ignoring(scope.ignored)
    if not force:
        _refuse_conflicts(claims, manager, changes)
    others = {one: owned for one, owned in claims.items() if one != manager}
    left = _after(others, changes)
    if own := difference(applied, _STRIPPED):
        left[manager] = Owned(own, scope.api_version, now)
    return merged, left


def _refuse_conflicts(managers: Managers, manager: Manager, changes: Comparison) -> None:
    written = changes.written
    conflicts = {
        one: taken
        for one, owned in managers.items()
        if one != manager and (taken := intersection(owned.fields, written))
    }
    if conflicts:
        raise ApplyConflict(conflicts)


def _after(managers: Managers, changes: Comparison) -> Managers:
    """What is left to them once the changed fields are taken."""
    gone = union(changes.written, changes.removed)
    if not gone:
        return dict(managers)
    left: Managers = {}
    for manager, owned in managers.items():
        if not intersection(owned.fields, gone):
            left[manager] = owned
        elif fields := difference(owned.fields, gone):
            left[manager] = Owned(fields, owned.api_version, owned.time)
    return left


def _prune(merged: Object, last: Fields, managers: Managers, shape: Shape) -> Object:
    """Without what was applied last time and is no more, but for what anyone owns and for what was never applied."""
    last = with_named(last, shape)
    everything = with_named(field_set(merged, shape), shape)
    claimed = with_named(all_fields(managers.values()), shape)
    kept = with_named(field_set(remove(merged, last, shape), shape), shape)
    kept = union(kept, claimed)
    pruned = remove(merged, difference(everything, kept), shape)
    left = with_named(field_set(pruned, shape), shape)
    return remove(merged, intersection(difference(everything, left), last), shape)


def _capped(managers: Managers) -> Managers:
    """No more than MAX_UPDATERS updaters: the oldest are joined, in each version apart (capmanagers.go)."""
    updaters = [manager for manager in managers if manager.operation == UPDATE]
    if len(updaters) <= MAX_UPDATERS:
        return managers
    updaters.sort(key=lambda one: (managers[one].time, one.name, one.api_version, one.subresource))
    left, first, excess = dict(managers), dict[str, Manager](), len(updaters) - MAX_UPDATERS
    for manager in updaters:
        if not excess:
            break
        owned = left[manager]
        version = owned.api_version
        if version not in first:
            first[version] = manager
            continue
        bucket = updater(ANCIENT, version)
        if bucket not in left:
            left[bucket] = left.pop(first[version])
        joined = union(owned.fields, left[bucket].fields)
        del left[manager]
        left[bucket] = Owned(joined, version, owned.time)
        excess -= 1
    return left
