"""Deleting a directory with all in it, by rm(1).

It bears with another rm at work in the same tree, such as one that outlived a killed server; and it keeps shutil
(1.5 MB) out of the server.
"""

from __future__ import annotations

import os
from functools import partial
from itertools import count

from netkube.runtime.loop import Loop
from netkube.runtime.words import say

_SECONDS = 0.25  # that a directory waits for others
_AT_ONCE = 1000  # paths that fit into a command line by far


class Trash:
    """Removes directories in the background, all that have come together by one rm: it costs more than what it does.

    A directory has lost its name when ``take`` returns.
    """

    def __init__(self, loop: Loop, directory: str) -> None:
        """``directory`` is ours alone, on the file system of what is to be removed."""
        self._loop = loop
        self._directory = directory
        self._numbers = count()
        self._taken: list[str] = []
        os.makedirs(directory, exist_ok=True)

    def take(self, path: str) -> None:
        """What is not there is removed."""
        place = f'{self._directory}/{next(self._numbers)}'
        try:
            os.rename(path, place)
        except FileNotFoundError:
            return
        if not self._taken:
            self._loop.call_after(_SECONDS, self._empty)
        self._taken.append(place)

    def _empty(self) -> None:
        paths, self._taken = self._taken, []
        for begin in range(0, len(paths), _AT_ONCE):
            some = paths[begin : begin + _AT_ONCE]
            self._loop.on_exit(spawn_removal(*some), partial(_report_remains, some))


def _report_remains(paths: list[str], wait_status: int) -> None:
    for path in paths if wait_status else ():
        if os.path.lexists(path):
            say(f'{path}: rm ended with status {wait_status}, something is left')


def spawn_removal(*paths: str) -> int:
    """Returns the pid of a child to wait for; its status is 0 when nothing is left."""
    return os.posix_spawnp('rm', ['rm', '-rf', '--one-file-system', '--', *paths], {})


def remove(path: str) -> None:
    """And waits for it. OSError when something is left; rm has said what on stderr."""
    _, status = os.waitpid(spawn_removal(path), 0)
    if status:
        raise OSError(f'{path} cannot be removed')
