"""Logs in the CRI format, read as ``kubectl logs`` asks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pods import NOW

from netkube.client.kubelet import LogOptions
from netkube.node.logs import read_log

LOG = """\
2026-01-02T03:04:00.000000000Z stdout F one
2026-01-02T03:04:01.000000000Z stderr F two
2026-01-02T03:04:02.000000000Z stdout P thr
2026-01-02T03:04:02.500000000Z stdout F ee
2026-01-02T03:04:03.000000000Z stdout F four
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / '0.log'
    path.write_text(LOG)
    return path


async def read(path: Path, ended: asyncio.Event | None = None, **options) -> str:
    chunks = [chunk async for chunk in read_log(path, LogOptions(**options), NOW, ended or asyncio.Event())]
    return b''.join(chunks).decode()


@pytest.mark.parametrize(
    'options, expected',
    [
        ({}, 'one\ntwo\nthree\nfour\n'),
        ({'tail_lines': 2}, 'three\nfour\n'),
        ({'tail_lines': 0}, ''),
        ({'tail_lines': 99}, 'one\ntwo\nthree\nfour\n'),
        ({'since_seconds': 4}, 'two\nthree\nfour\n'),
        ({'since_time': '2026-01-02T03:04:03Z'}, 'four\n'),
        ({'limit_bytes': 6}, 'one\ntw'),
        ({'tail_lines': 1, 'timestamps': True}, '2026-01-02T03:04:03.000000000Z four\n'),
        ({'since_seconds': 3, 'timestamps': True},
         '2026-01-02T03:04:02.000000000Z three\n2026-01-02T03:04:03.000000000Z four\n'),
    ],
)  # fmt: skip
async def test_options(log, options, expected):
    assert await read(log, **options) == expected


async def test_the_tail_of_a_long_log(tmp_path):
    path = tmp_path / '0.log'
    path.write_text(''.join(f'2026-01-02T03:04:00.000000000Z stdout F {n}\n' for n in range(100_000)))
    assert await read(path, tail_lines=3) == '99997\n99998\n99999\n'
    assert (await read(path, tail_lines=90_000)).startswith('10000\n')
    assert len((await read(path)).splitlines()) == 100_000


async def test_following_ends_when_the_container_does(log):
    ended = asyncio.Event()
    stream = read_log(log, LogOptions(follow=True, tail_lines=1), NOW, ended)
    assert await anext(stream) == b'four\n'
    with log.open('a') as file:
        file.write('2026-01-02T03:04:04.000000000Z stdout F fi')
    waiting = asyncio.ensure_future(anext(stream))
    with log.open('a') as file:
        file.write('ve\n')
    assert await asyncio.wait_for(waiting, 60) == b'five\n'
    with log.open('a') as file:
        file.write('2026-01-02T03:04:05.000000000Z stdout F last\n')
    ended.set()
    assert [chunk async for chunk in stream] == [b'last\n']


async def test_following_goes_on_in_the_next_file(log):
    ended = asyncio.Event()
    stream = read_log(log, LogOptions(follow=True, tail_lines=1), NOW, ended)
    assert await anext(stream) == b'four\n'
    waiting = asyncio.ensure_future(anext(stream))
    with log.open('a') as file:
        file.write('2026-01-02T03:04:04.000000000Z stdout F last of the old\n')
        log.with_suffix('.1').hardlink_to(log)
        log.with_suffix('.new').write_text('2026-01-02T03:04:05.000000000Z stdout F first of the new\n')
        log.with_suffix('.new').rename(log)
    texts = [await asyncio.wait_for(waiting, 60)]
    while b'new' not in texts[-1]:
        texts.append(await asyncio.wait_for(anext(stream), 60))
    assert b''.join(texts) == b'last of the old\nfirst of the new\n'
    ended.set()
    assert [chunk async for chunk in stream if chunk] == []


async def test_a_half_written_entry_is_left_out(tmp_path):
    path = tmp_path / '0.log'
    path.write_text(LOG + '2026-01-02T03:0')
    assert await read(path, tail_lines=1) == 'four\n'


async def test_a_missing_log_is_said(tmp_path):
    with pytest.raises(FileNotFoundError):
        await read(tmp_path / 'no.log')
