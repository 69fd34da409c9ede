"""What directory trees use of a disk, and what a container keeps in memory instead.

Trees are counted by du(1): a scan of millions of files is not the daemon's own.
"""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable
from contextlib import aclosing

COMMAND = ('du', '--summarize', '--block-size=1', '--one-file-system', '--null', '--files0-from=-')


async def disk_usage(paths: Iterable[str]) -> AsyncIterator[tuple[str, int]]:
    """(path, bytes) of each tree that exists, as it has been counted; none may be inside another.

    What vanishes meanwhile counts nothing. Whoever stops asking ends the scan.
    """
    # In the root directory: du gives up where it cannot go back to the one that it was started in.
    scan = await asyncio.create_subprocess_exec(*COMMAND, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, cwd='/')
    assert scan.stdin is not None and scan.stdout is not None
    try:
        scan.stdin.write(b''.join(os.fsencode(path) + b'\0' for path in paths))
        scan.stdin.close()
        async with aclosing(_entries(scan.stdout)) as entries:
            async for entry in entries:
                size, _, path = entry.partition(b'\t')
                yield os.fsdecode(path), int(size)
    finally:
        if scan.returncode is None:
            scan.kill()
        await scan.wait()


async def _entries(stream: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    while True:
        try:
            entry = await stream.readuntil(b'\0')
        except asyncio.IncompleteReadError:
            return
        yield entry[:-1]


PRIVATE = ('tmp', 'run')  # each a tmpfs of the container's own; a container runtime's would be in its layer


def memory_usage(pid: int, taken: Collection[str], *, layer: bool) -> int:
    """Bytes of the tmpfs of the container that this process is in, without those that volumes have ``taken``.

    ``layer``: its layer is on one, too. Nothing that could keep us waiting is looked at. A container that has ended
    has none.
    """
    try:
        root = os.open(f'/proc/{pid}/root', os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    try:
        used = _used(root) if layer else 0
        return used + sum(_used_at(root, name) for name in PRIVATE if f'/{name}' not in taken)
    finally:
        os.close(root)


def _used_at(root: int, name: str) -> int:
    try:
        place = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    except OSError:  # a privileged container has made something else of it
        return 0
    try:
        return _used(place)
    finally:
        os.close(place)


def _used(place: int) -> int:
    system = os.fstatvfs(place)
    return (system.f_blocks - system.f_bfree) * system.f_frsize
