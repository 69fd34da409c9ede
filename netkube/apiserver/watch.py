"""What a watch with a selector shows of a change: objects that enter or leave the selection are added or deleted."""

from __future__ import annotations

from netkube.api.conversion import from_stored
from netkube.api.meta import Object
from netkube.api.resources import Resource
from netkube.apiserver.selection import Selection
from netkube.apiserver.storage import Storage
from netkube.client.interface import WatchEvent
from netkube.store.store import Event

_PREVIOUS = 'previous'  # a key of Event.encoded


def event_type(storage: Storage, resource: Resource, event: Event, selection: Selection) -> str:
    """ADDED, MODIFIED, DELETED, or '' when the watch is not concerned."""
    if selection.everything:
        return 'DELETED' if event.deleted else 'MODIFIED' if event.previous else 'ADDED'
    before = event.previous is not None and selection.matches(_previous(storage, resource, event))
    after = not event.deleted and selection.matches(storage.shown(resource, event.entry))
    if after:
        return 'MODIFIED' if before else 'ADDED'
    return 'DELETED' if before else ''


def _previous(storage: Storage, resource: Resource, event: Event) -> Object:
    """The object before the change, decoded once for all watchers."""
    assert event.previous is not None
    obj = event.encoded.get(_PREVIOUS)
    if obj is None:
        obj = event.encoded[_PREVIOUS] = storage.object(event.previous)
    return from_stored(resource, obj)


def event_object(storage: Storage, resource: Resource, event: Event, type: str) -> Object:
    """An object that left the selection is shown as it was, at the revision of the change."""
    if type == 'DELETED' and not event.deleted and event.previous is not None:
        obj = _previous(storage, resource, event)
        return {**obj, 'metadata': {**obj['metadata'], 'resourceVersion': str(event.revision)}}
    return storage.shown(resource, event.entry)


def decode_event(
    storage: Storage, resource: Resource, event: Event, selection: Selection
) -> WatchEvent | None:
    """The event as an in-process watch shows it; its object is shared."""
    type = event_type(storage, resource, event, selection)
    return WatchEvent(type, event_object(storage, resource, event, type)) if type else None
