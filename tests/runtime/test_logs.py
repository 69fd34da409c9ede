"""The log file's format: CRI's, as the kubelet and every log collector read it."""

from __future__ import annotations

import re
from pathlib import Path

from conftest import Pods

from netkube.runtime.logs import MAX_BYTES, MAX_FILES, MAX_LINE, log_timestamp, render_entries

AT = '2026-01-02T03:04:05.000000006Z'
ENTRY = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) [FP] .*')


def test_timestamps_have_nine_digits() -> None:
    assert log_timestamp(1_767_323_045_000_000_006) == AT


def test_each_line_is_an_entry_and_an_unfinished_one_is_kept() -> None:
    entries, rest = render_entries(b'one\n\nthree\nfo', AT, 'stdout')
    assert entries.decode() == f'{AT} stdout F one\n{AT} stdout F \n{AT} stdout F three\n'
    assert rest == b'fo'


def test_nothing_complete_gives_nothing() -> None:
    assert render_entries(b'half a li', AT, 'stderr') == (b'', b'half a li')


def test_a_long_line_is_cut_into_partial_entries() -> None:
    entries, rest = render_entries(b'short\n' + b'x' * (2 * MAX_LINE + 5) + b'\n', AT, 'stdout')
    tags = [(line.split(b' ', 3)[2], len(line.split(b' ', 3)[3])) for line in entries.splitlines()]
    assert tags == [(b'F', 5), (b'P', MAX_LINE), (b'P', MAX_LINE), (b'F', 5)]
    assert rest == b''


def test_no_more_than_a_line_is_held_back() -> None:
    entries, rest = render_entries(b'x' * (MAX_LINE + 1), AT, 'stdout')
    assert entries.startswith(f'{AT} stdout P x'.encode()) and rest == b'x'


async def test_both_streams_arrive_whole(pods: Pods) -> None:
    status = await pods.run('sh', '-c', 'echo out; echo err >&2; printf unfinished')
    lines = pods.log(status.id).read_text().splitlines()
    assert all(ENTRY.fullmatch(line) for line in lines)
    assert sorted(line.split(' ', 1)[1] for line in lines) == ['stderr F err', 'stdout F out', 'stdout F unfinished']


async def test_a_megabyte_arrives_whole_and_in_order(pods: Pods) -> None:
    assert await pods.sh('seq 1 150000') == ''.join(f'{number}\n' for number in range(1, 150_001))


async def test_a_container_that_closes_its_output_goes_on(pods: Pods) -> None:
    status = await pods.run('sh', '-c', 'exec >&- 2>&-; exit 3')
    assert status.exit_code == 3


async def test_a_log_is_rotated_by_size_and_the_oldest_goes(pods: Pods) -> None:
    lines = 100_000
    status = await pods.run('sh', '-c', f'yes {"x" * 600} | head -n {lines}')
    assert status.exit_code == 0
    log = pods.log(status.id)
    files = [log, *(log.with_name(f'{log.name}.{number}') for number in range(1, MAX_FILES))]
    assert sorted(log.parent.iterdir()) == files
    assert all(MAX_BYTES <= file.stat().st_size < MAX_BYTES + (1 << 17) for file in files[1:])
    assert all(ENTRY.fullmatch(line) for file in files for line in file.read_text().splitlines()[:2])


async def test_a_log_is_appended_to(pods: Pods) -> None:
    pods.log('again').parent.mkdir(exist_ok=True)
    pods.log('again').write_text(f'{AT} stdout F before\n')
    await pods.run('echo', 'after', id='again')
    assert pods.output('again') == 'before\nafter\n'


async def test_a_full_disk_does_not_stop_the_container(pods: Pods, tmp_path: Path) -> None:
    pods.log('full').parent.mkdir(exist_ok=True)
    pods.log('full').symlink_to('/dev/full')
    assert (await pods.run('sh', '-c', 'echo lost; exit 4', id='full')).exit_code == 4
