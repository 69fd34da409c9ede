"""The store as its readers see it."""

from __future__ import annotations

import asyncio

import pytest

from netkube.store import history, watch
from netkube.store.store import Compacted, Conflict, KeyExists, Store


@pytest.fixture
def store() -> Store:
    return Store(':memory:')


def test_every_write_gets_the_next_revision(store: Store) -> None:
    created = store.create('pods/a/x', b'1')
    updated = store.update('pods/a/x', b'2', created.revision)
    deleted = store.delete('pods/a/x', b'2', updated.revision)
    assert [created.revision, updated.revision, deleted.revision] == [1, 2, 3]
    assert store.get('pods/a/x') is None


def test_a_key_is_created_once(store: Store) -> None:
    store.create('a', b'1')
    with pytest.raises(KeyExists):
        store.create('a', b'2')


@pytest.mark.parametrize('expected', [0, 2])
def test_a_write_from_another_revision_is_a_conflict_and_changes_nothing(store: Store, expected: int) -> None:
    store.create('a', b'1')
    with pytest.raises(Conflict):
        store.update('a', b'2', expected)
    with pytest.raises(Conflict):
        store.delete('a', b'2', expected)
    assert store.revision == 1


def test_what_is_not_there_cannot_be_replaced_or_deleted(store: Store) -> None:
    with pytest.raises(Conflict):
        store.update('a', b'', 1)
    with pytest.raises(Conflict):
        store.delete('a', b'', 1)


def test_list_is_ordered_by_key_and_bounded_by_the_prefix(store: Store) -> None:
    for key in ('pods/b/x', 'pods/a/y', 'pods/a/x', 'pods.metrics/a/x', 'podt/a/x'):
        store.create(key, b'')
    assert [entry.key for entry in store.list('pods/')] == ['pods/a/x', 'pods/a/y', 'pods/b/x']
    assert [entry.key for entry in store.list('pods/a/')] == ['pods/a/x', 'pods/a/y']


async def test_a_watch_sees_each_change_once_in_order(store: Store) -> None:
    first = store.create('a/x', b'1')
    watching = store.watch('a/', first.revision)
    second = store.update('a/x', b'2', first.revision)
    store.create('b/x', b'')
    store.delete('a/x', b'2', second.revision)
    events = [await anext(watching), await anext(watching)]
    assert [(event.revision, event.deleted) for event in events] == [(2, False), (4, True)]
    assert events[0].previous is first


async def test_a_watch_from_the_past_is_told_what_it_missed(store: Store) -> None:
    for number in range(5):
        store.create(f'a/{number}', b'')
    watching = store.watch('a/', 2)
    assert [event.revision for event in watching.pending()] == [3, 4, 5]


async def test_a_watch_ends_when_it_is_closed(store: Store) -> None:
    watching = store.watch('a/', 0)
    reader = asyncio.ensure_future(anext(watching, None))
    await asyncio.sleep(0)
    store.unwatch(watching)
    assert await reader is None


def test_a_revision_that_is_forgotten_or_still_to_come_is_compacted(store: Store) -> None:
    for number in range(3):
        store.create(f'a/{number}', b'')
    store.compact(2)
    with pytest.raises(Compacted, match=r'too old resource version: 1 \(2\)'):
        store.watch('a/', 1)
    with pytest.raises(Compacted):
        store.watch('a/', 4)
    assert len(store.watch('a/', 2).pending()) == 1


def test_the_history_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, 'EVENTS', 10)
    for number in range(20):
        store.create(f'a/{number}', b'')
    assert store.compacted_revision == 10


async def test_a_watch_that_does_not_keep_up_is_cut_off(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, 'BUFFERED', 3)
    slow, quick = store.watch('a/', 0), store.watch('a/', 0)
    for number in range(4):
        store.create(f'a/{number}', b'')
        await anext(quick)
    with pytest.raises(Compacted):
        await anext(slow)


def test_the_decoded_form_lives_as_long_as_the_version(store: Store) -> None:
    entry = store.create('a', b'{}', {})
    assert entry.decoded == {}
    store.update('a', b'{}', entry.revision, {'new': True})
    assert entry.decoded is None
