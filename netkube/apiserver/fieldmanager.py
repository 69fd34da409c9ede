"""Who wrote which field: what each write does to metadata.managedFields.

Writes over HTTP are tracked as in Kubernetes. The components in this process write thousands of objects a second, and
hardly anyone applies what they make, so for them it is done as late as can be without giving a wrong answer:

- what they create carries no managedFields, and what has none is not tracked further. Kubernetes treats such objects
  the same way (skipnonapplied.go): at the first apply all that is there belongs to ``before-first-apply``.
- what they change of an object that is tracked is recorded as manager ``netkube``'s: annotations, replicas, finalizers.
- the status they write is not recorded. When a status is applied, what of it nobody owns counts as ``netkube``'s.

(apimachinery managedfields/internal/fieldmanager.go; k8s.io/apiserver endpoints/handlers/fieldmanager.)
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from netkube.api.meta import Object, timestamp, utc_now
from netkube.api.resources import Resource

# (resource, new, old or None when it is created): sets new's metadata.managedFields, before the strategy changes it.
Track = Callable[[Resource, Object, Object | None], None]

IN_PROCESS = 'netkube'
OWNABLE_METADATA = ('annotations', 'labels', 'finalizers', 'ownerReferences')
MAX_NAME = 128  # characters of a manager's name


def untracked(resource: Resource, new: Object, old: Object | None) -> None:
    """The managers stay what they are."""
    set_entries(new, old['metadata'].get('managedFields') if old else None)


def in_process(resource: Resource, new: Object, old: Object | None) -> None:
    """A component changes an object: recorded if the object is tracked, and if more than its status changes."""
    untracked(resource, new, old)
    if old is not None and 'managedFields' in new['metadata']:
        for_update(IN_PROCESS, '', utc_now)(resource, new, old)


def in_process_status(resource: Resource, new: Object, old: Object | None) -> None:
    """A component writes a status: recorded is only what it changes of the metadata on the way."""
    untracked(resource, new, old)
    if old is None or 'managedFields' not in new['metadata']:
        return
    if any(new['metadata'].get(key) != old['metadata'].get(key) for key in OWNABLE_METADATA):
        for_update(IN_PROCESS, 'status', utc_now)(resource, {**old, 'metadata': new['metadata']}, old)


def for_update(name: str, subresource: str, now: Callable[[], datetime]) -> Track:
    """Of create, update and patch by the manager of that name."""

    def track(resource: Resource, new: Object, old: Object | None) -> None:
        from netkube.apiserver.ownership import updated_entries

        if old is None or is_tracked(new, old):
            set_entries(new, updated_entries(resource, new, old, name, subresource, timestamp(now())))

    return track


def is_tracked(new: Object, old: Object) -> bool:
    """An object that nobody was recorded for stays so, until it is applied."""
    return bool(old['metadata'].get('managedFields') or new['metadata'].get('managedFields'))


def fixed(entries: list[Object]) -> Track:
    """Of an apply, which has worked them out already."""
    return lambda resource, new, old: set_entries(new, entries)


def set_entries(obj: Object, entries: Any) -> None:
    if entries:
        obj['metadata']['managedFields'] = entries
    else:
        obj['metadata'].pop('managedFields', None)


def manager_name(given: str, user_agent: str) -> str:
    """``fieldManager``, or what the User-Agent begins with (endpoints/handlers/create.go managerOrUserAgent)."""
    if given:
        return given
    return ''.join(one for one in user_agent.partition('/')[0] if one.isprintable())[:MAX_NAME]
