"""The cluster's processes: recorded by pid and start time, so that a pid used again is never mistaken for ours."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec.structs import asdict

from netkube.cluster.config import ClusterConfig

DAEMON, RUNTIME, DNS = 'daemon', 'runtime', 'dns'
ROLES = (DAEMON, RUNTIME, DNS)


class ProcessRecord(msgspec.Struct, frozen=True):
    """``started`` is field 22 of /proc/PID/stat: clock ticks after boot."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        return find_start_time(self.pid) == self.started


def find_start_time(pid: int) -> int | None:
    """None when there is no such process, or only its corpse."""
    try:
        fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in 'ZX' else int(fields[19])


def record(config: ClusterConfig, role: str, pid: int) -> ProcessRecord:
    started = find_start_time(pid)
    if started is None:
        raise ChildProcessError(f'the {role} process ended at once; its last words are in {config.log_file}')
    entry = ProcessRecord(pid, started)
    file = _file(config, role)
    temporary = file.with_suffix('.tmp')
    temporary.write_text(json.dumps(asdict(entry)))
    os.replace(temporary, file)
    return entry


def find(config: ClusterConfig, role: str) -> ProcessRecord | None:
    """The live process of that role, or None."""
    try:
        entry = ProcessRecord(**json.loads(_file(config, role).read_text()))
    except FileNotFoundError:
        return None
    return entry if entry.alive else None


def spawn(config: ClusterConfig, role: str, module: str, arguments: Sequence[str], pass_fds: Sequence[int] = ()) -> int:
    """Start ``python -m module`` in a session of its own, its words going to the cluster's log. Returns the pid."""
    with open(config.log_file, 'ab') as log:
        process = subprocess.Popen(
            [sys.executable, '-E', '-s', '-m', module, *arguments],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, pass_fds=pass_fds, cwd='/',
        )  # fmt: skip
    process.returncode = 0  # it outlives us by design: no warning about a child that still runs
    record(config, role, process.pid)
    return process.pid


def stop(config: ClusterConfig, role: str, seconds: float) -> None:
    """TERM, then KILL after ``seconds``; returns when the process is gone."""
    entry = find(config, role)
    if entry is not None:
        for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(entry.pid, number)
            if wait_end(entry, patience):
                break
    _file(config, role).unlink(missing_ok=True)


def wait_end(entry: ProcessRecord, seconds: float) -> bool:
    """Whether the process ended within that time."""
    try:
        descriptor = os.pidfd_open(entry.pid)
    except ProcessLookupError:
        return True
    try:
        deadline = time.monotonic() + seconds
        while entry.alive and (left := deadline - time.monotonic()) > 0:
            select.select([descriptor], [], [], left)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(entry.pid, os.WNOHANG)
    finally:
        os.close(descriptor)
    return not entry.alive


def family(pid: int) -> list[int]:
    """The process, and those of its children that are in its session: the runtime's nursery, but no Pod's process."""
    try:
        with open(f'/proc/{pid}/task/{pid}/children') as file:
            children = [int(child) for child in file.read().split()]
    except FileNotFoundError:  # it has ended; or a kernel without CONFIG_PROC_CHILDREN
        children = []
    return [pid, *(child for child in children if _session(child) == pid)]


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0  # it has ended


def memory_kib(pid: int) -> int:
    """Of the process and its family, the proportional set size in KiB.

    Shared pages count by their share, so the sum over processes is true.
    """
    return sum(map(_proportional_kib, family(pid)))


def _proportional_kib(pid: int) -> int:
    try:
        with open(f'/proc/{pid}/smaps_rollup') as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith('Pss:'))
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it has ended


def _file(config: ClusterConfig, role: str) -> Path:
    return config.run_dir / f'{role}.pid'
