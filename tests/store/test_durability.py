"""What was acknowledged is there afterwards: after a restart, a kill -9, a full disk."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from running_store import running

from netkube.store import store as store_module
from netkube.store.log import Log
from netkube.store.store import Failed, NoSpace, Store


async def test_the_state_comes_back_and_no_revision_is_used_twice(tmp_path: Path) -> None:
    async with running(tmp_path / 'db') as store:
        kept = store.create('a', b'1')
        kept = store.update('a', b'2', kept.revision)
        gone = store.create('b', b'1')
        last = store.delete('b', b'1', gone.revision)
        await store.durable(last.revision)
    async with running(tmp_path / 'db') as store:
        assert [(entry.key, entry.value, entry.revision) for entry in store.list('')] == [('a', b'2', kept.revision)]
        assert store.create('c', b'').revision == last.revision + 1


async def test_a_watch_from_before_a_restart_is_compacted_and_one_from_the_end_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path / 'db') as store:
        store.create('a', b'')
        await store.durable(store.create('b', b'').revision)
    async with running(tmp_path / 'db') as store:
        watching = store.watch('', store.revision)
        store.create('c', b'')
        assert (await anext(watching)).entry.key == 'c'
        assert store.compacted_revision == 2


async def test_a_durable_watch_sees_nothing_that_is_not_on_the_disk(tmp_path: Path) -> None:
    async with running(tmp_path / 'db') as store:
        watching = store.watch('', 0, durable=True)
        entry = store.create('a', b'')
        assert watching.pending() == [] and store.durable_revision < entry.revision
        event = await anext(watching)
        assert store.durable_revision >= event.revision == entry.revision


async def test_what_is_left_is_written_when_the_store_stops(tmp_path: Path) -> None:
    async with running(tmp_path / 'db') as store:
        store.create('a', b'')
    async with running(tmp_path / 'db') as store:
        assert store.get('a') is not None


async def test_the_log_holds_the_present_state_only(tmp_path: Path) -> None:
    async with running(tmp_path / 'db') as store:
        entry = store.create('a', b'')
        for number in range(50):
            entry = store.update('a', b'%d' % number, entry.revision)
            if number % 10 == 0:
                await store.durable(entry.revision)
    assert list(Log(tmp_path / 'db').rows()) == [(51, 'a', b'49')]


async def test_the_file_shrinks_when_much_is_gone(tmp_path: Path) -> None:
    async with running(tmp_path / 'db') as store:
        entries = [store.create(f'a/{number}', b'x' * 4000) for number in range(5000)]
        await store.durable(store.revision)
        for number, entry in enumerate(entries):
            store.delete(entry.key, b'', entry.revision)
            if number % 50 == 0:
                await store.durable(store.revision)
        store.create('b', b'')
        await store.durable(store.revision)
    assert (tmp_path / 'db').stat().st_size < 8 << 20  # of 20 MiB


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(store_module, 'PATIENCE', 0.1)
    monkeypatch.setattr(store_module, 'AGAIN', 0.05)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(['umount', '--lazy', str(tmp_path)], check=True)


async def test_a_disk_that_refuses_ends_the_store_and_acknowledges_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / 'db')
    task = asyncio.create_task(store.run())
    assert store._log is not None
    store._log.close()  # what else SQLite may say
    entry = store.create('a', b'')
    with pytest.raises(Failed, match='closed'):
        await store.durable(entry.revision)
    with pytest.raises(Failed):
        await task
    with pytest.raises(Failed):
        store.create('b', b'')


def fill(disk: Path) -> Path:
    """To the last byte; the file to remove."""
    filler = disk / 'filler'
    with filler.open('wb', buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


async def test_a_full_disk_acknowledges_nothing_until_there_is_room(small_disk: Path) -> None:
    async with running(small_disk / 'db') as store:
        before = store.create('a', b'before')
        await store.durable(before.revision)
        filler = fill(small_disk)
        lost = store.create('b', os.urandom(100_000))
        with pytest.raises(NoSpace):
            await store.durable(lost.revision)
        with pytest.raises(NoSpace):
            store.require_space()
        await store.settled(lost.revision)  # who reads goes on
        for word in (b'1', b'2'):
            lost = store.update('b', word, lost.revision)
        last = store.delete('a', b'', before.revision)
        filler.unlink()
        await store.durable(last.revision)
        store.require_space()
    async with running(small_disk / 'db') as store:
        assert [(entry.key, entry.value, entry.revision) for entry in store.list('')] == [('b', b'2', lost.revision)]
        assert store.revision == last.revision


async def test_what_a_full_disk_has_not_taken_is_gone_after_a_crash_and_all_else_is_not(small_disk: Path) -> None:
    async with running(small_disk / 'db') as store:
        await store.durable(store.create('a', b'').revision)
        filler = fill(small_disk)
        with pytest.raises(NoSpace):
            await store.durable(store.create('b', os.urandom(100_000)).revision)
    filler.unlink()
    async with running(small_disk / 'db') as store:
        assert [entry.key for entry in store.list('')] == ['a']


WRITER = """
import asyncio, sys
from netkube.store.store import Store

async def write(store, worker):
    entry = None
    for number in range(1_000_000):
        key, value = f'{worker}/{number % 50}', b'%d' % number
        known = store.get(key)
        entry = store.update(key, value, known.revision) if known else store.create(key, value)
        await store.durable(entry.revision)
        sys.stdout.write(f'{key} {number} {entry.revision}\\n')
        sys.stdout.flush()

async def main():
    store = Store(sys.argv[1])
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(store.run())
        for worker in range(10):
            tasks.create_task(write(store, worker))

asyncio.run(main())
"""


@pytest.mark.parametrize('acknowledged', [1, 200, 1500])
def test_kill_9_loses_no_acknowledged_write(tmp_path: Path, acknowledged: int) -> None:
    database = tmp_path / 'db'
    writer = subprocess.Popen([sys.executable, '-c', WRITER, str(database)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    lines = [writer.stdout.readline() for _ in range(acknowledged)]
    os.kill(writer.pid, signal.SIGKILL)
    rest = writer.stdout.read().splitlines()
    writer.wait()
    acked: dict[str, tuple[int, int]] = {}
    for line in [*lines, *rest]:
        with suppress(ValueError):  # the last line may be cut
            key, number, revision = line.split()
            acked[key] = (int(number), int(revision))
    store = Store(database)
    for key, (number, revision) in acked.items():
        entry = store.get(key)
        assert entry is not None and entry.revision >= revision and int(entry.value) >= number
    store.close()
