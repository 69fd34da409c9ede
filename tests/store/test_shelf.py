"""What is on the disk only is read as what is in memory, at each moment: written, half written, or not yet."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running_store import running

from netkube.store import shelf
from netkube.store.store import KeyExists, Store
from netkube.store.watch import Entry

SHELVED = 'events/'
KEYS = ['events.k8s/a', 'events/a/x', 'events/a/y', 'events/b/x', 'events0', 'pods/a/x']
PREFIXES = ['', 'e', 'events/', 'events/a/', 'events/c/', 'pods/']


def content(store: Store, prefix: str) -> list[tuple[str, int, bytes]]:
    return [(entry.key, entry.revision, entry.value) for entry in store.list(prefix)]


def change(store: Store, step: tuple[str, str]) -> None:
    """Create the key, or replace or delete what it has."""
    action, key = step
    known = store.get(key)
    if known is None:
        store.create(key, b'%d' % store.revision)
    elif action == 'set':
        store.update(key, b'%d' % store.revision, known.revision)
    else:
        store.delete(key, known.value, known.revision)


def assert_alike(shelved: Store, in_memory: Store) -> None:
    for prefix in PREFIXES:
        assert content(shelved, prefix) == content(in_memory, prefix), prefix
    for key in KEYS:
        one, other = shelved.get(key), in_memory.get(key)
        assert (one and one.value) == (other and other.value)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(['set', 'delete', 'commit']), st.sampled_from(KEYS)), max_size=30))
def test_any_changes_are_read_as_from_memory(steps: list[tuple[str, str]]) -> None:
    async def body() -> None:
        with tempfile.TemporaryDirectory() as folder:
            in_memory = Store()
            async with running(Path(folder) / 'db', SHELVED) as shelved:
                for step in steps:
                    if step[0] == 'commit':
                        await shelved.durable(shelved.revision)
                        assert shelved.count(SHELVED) == in_memory.count(SHELVED)
                    else:
                        change(shelved, step)
                        change(in_memory, step)
                    assert_alike(shelved, in_memory)
            async with running(Path(folder) / 'db', SHELVED) as again:
                assert_alike(again, in_memory)

    asyncio.run(body())


async def test_nothing_of_it_stays_in_memory(tmp_path: Path) -> None:
    async with running(tmp_path / 'db', SHELVED) as store:
        for number in range(100):
            store.create(f'events/a/{number}', b'text')
            store.create(f'pods/a/{number}', b'text')
        await store.durable(store.revision)
        store.compact(store.revision)
        gc.collect()
        kept = [one.key for one in gc.get_objects() if isinstance(one, Entry)]
        assert len([key for key in kept if key.startswith('pods/')]) == 100
        assert not [key for key in kept if key.startswith('events/')]


async def test_more_than_one_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, 'PAGE', 7)
    async with running(tmp_path / 'db', SHELVED) as store:
        keys = [f'events/a/{number:03}' for number in range(50)]
        for key in keys[::2]:
            store.create(key, b'')
        await store.durable(store.revision)
        for key in keys[1::2]:
            store.create(key, b'')
        assert [entry.key for entry in store.list(SHELVED)] == keys


async def test_by_age_the_longest_unchanged_come_first(tmp_path: Path) -> None:
    async with running(tmp_path / 'db', SHELVED) as store:
        for store_, durable in ((store, True), (Store(), False)):
            first = store_.create('events/z', b'')
            for key in ('pods/x', 'events/a', 'events/m'):
                store_.create(key, b'')
            store_.update('events/z', b'', first.revision)
            if durable:
                await store_.durable(store_.revision)
            assert [entry.key for entry in store_.by_age(SHELVED, 0, 2)] == ['events/a', 'events/m']
            assert [entry.key for entry in store_.by_age(SHELVED, 4, 9)] == ['events/z']


async def test_a_key_is_created_once(tmp_path: Path) -> None:
    async with running(tmp_path / 'db', SHELVED) as store:
        entry = store.create('events/a', b'')
        with pytest.raises(KeyExists):
            store.create('events/a', b'')
        await store.durable(entry.revision)
        with pytest.raises(KeyExists):
            store.create('events/a', b'')


async def test_readers_do_not_hold_up_checkpoints(tmp_path: Path) -> None:
    """The write-ahead log is begun anew when it has been copied; a reader that stays would let it grow for ever."""
    async with running(tmp_path / 'db', SHELVED) as store:
        for number in range(3000):
            store.create(f'events/{number}', b'x' * 2000)
            if number % 10 == 0:
                await store.durable(store.revision)
                assert store.get('events/0') is not None
                next(iter(store.scan(SHELVED)))
        assert (tmp_path / 'db-wal').stat().st_size < 6 << 20


def test_reading_one_key_asks_the_index(tmp_path: Path) -> None:
    Store(tmp_path / 'db', SHELVED).close()
    connection = sqlite3.connect(tmp_path / 'db')
    made = shelf.Shelf(tmp_path / 'db', SHELVED)
    for query, values in ((made._row, 'k'), (made._page, 'abc'), (made._count, 'ab')):
        ((*_, plan),) = connection.execute(f'EXPLAIN QUERY PLAN {query}', tuple(values)).fetchall()
        assert 'USING INDEX shelf' in plan or 'USING COVERING INDEX shelf' in plan, plan
    ((*_, plan),) = connection.execute(f'EXPLAIN QUERY PLAN {made._by_age}', (0, 1)).fetchall()
    assert 'USING INTEGER PRIMARY KEY (rowid>?)' in plan
    made.close()
