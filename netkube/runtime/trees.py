"""Deleting a directory with all in it, by rm(1).

It bears with another rm at work in the same tree, such as one that outlived a killed server; and it keeps shutil
(1.5 MB) out of the server.
"""

from __future__ import annotations

import os


def spawn_removal(path: str) -> int:
    """Returns the pid of a child to wait for; its status is 0 when nothing is left."""
    return os.posix_spawnp('rm', ['rm', '-rf', '--one-file-system', '--', path], os.environ)


def remove(path: str) -> None:
    """And waits for it. OSError when something is left; rm has said what on stderr."""
    _, status = os.waitpid(spawn_removal(path), 0)
    if status:
        raise OSError(f'{path} cannot be removed')
