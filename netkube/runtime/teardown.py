"""Removing what a killed runtime server left behind, found by name alone.

Containers die with their server (PR_SET_PDEATHSIG), except those that executed a set-user-id program; so each
process is looked for by its cgroup, and by its network namespace, and killed.
"""

from __future__ import annotations

import os
import select
import time

from netkube.runtime import cgroup, limits, netns, trees

_SECONDS = 10.0


def teardown(cgroup_name: str, root: str, netns_prefix: str) -> None:
    """Leaves no process, cgroup, pinned network namespace or file; nothing happens where there is nothing.

    ``cgroup_name`` is a path below each cgroup tree, ``root`` the server's directory, and ``netns_prefix`` (not
    empty) begins the names of its network namespaces. TimeoutError when a process outlives SIGKILL by 10 s.
    """
    tree = cgroup.find_tree()
    path = os.path.join(tree, cgroup_name) if tree else ''
    names = _pinned(netns_prefix)
    _empty_namespaces({os.stat(netns.path_of(name)).st_ino for name in names})
    cgroup.empty(path)
    cgroup.remove(path)
    limits.teardown(cgroup_name)
    for name in names:
        netns.delete(name)
    trees.remove(root)


def _pinned(prefix: str) -> list[str]:
    if not prefix:
        raise ValueError('an empty prefix would mean every network namespace of the machine')
    if not os.path.isdir(netns.DIRECTORY):
        return []
    return [name for name in os.listdir(netns.DIRECTORY) if name.startswith(prefix)]


def _empty_namespaces(inodes: set[int]) -> None:
    deadline = time.monotonic() + _SECONDS
    while found := _processes_in(inodes):
        if time.monotonic() > deadline:
            raise TimeoutError(f'processes {found} survive SIGKILL')
        for process in found:
            _kill(process)


def _kill(process: int) -> None:
    """And waits for its end, a second at most; a pidfd knows the end of other people's children too."""
    try:
        pidfd = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        cgroup.kill_process(process)
        select.select([pidfd], [], [], 1)
    finally:
        os.close(pidfd)


def _processes_in(inodes: set[int]) -> list[int]:
    """All whose network namespace is one of these, but not the calling process."""
    own = os.getpid()
    return [int(name) for name in os.listdir('/proc') if name.isdigit() and int(name) != own and _netns(name) in inodes]


def _netns(process: str) -> int:
    try:
        return os.stat(f'/proc/{process}/ns/net').st_ino
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it has ended
    except PermissionError:
        return 0  # it may do more than we: we have not started it
