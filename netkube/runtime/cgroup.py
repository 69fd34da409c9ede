"""Tracking and killing processes by cgroup (v2), wherever that tree is mounted.

``/sys/fs/cgroup`` on most machines, ``/sys/fs/cgroup/unified`` on hybrid ones. A path of '' stands for "this
machine has no cgroup tree we can write": then everything here does nothing.
"""

from __future__ import annotations

import os
import signal
import time
from errno import EBUSY

_KILL_SECONDS = 10.0


def find_tree() -> str:
    """The mount point of the cgroup v2 tree; '' where there is none."""
    with open('/proc/self/mountinfo') as table:
        for line in table:
            left, _, right = line.partition(' - ')
            if right.startswith('cgroup2 '):
                return left.split(' ')[4]
    return ''


def create(*parts: str) -> str:
    """The directory of these names below each other, made if missing; '' where that is not possible."""
    path = os.path.join(*parts) if parts[0] else ''
    if not path:
        return ''
    try:
        os.mkdir(path)
    except FileExistsError:
        return path
    except FileNotFoundError:
        os.makedirs(path, exist_ok=True)
    except OSError:  # read-only or not ours (EROFS, EACCES): work without
        return ''
    return path


def live_in_v1(name: str) -> None:
    """Moves the calling process, which has one thread, to a cgroup of this name in each v1 tree; children follow.

    With a user namespace a process may mount these trees from its own cgroup on (cgroup_namespaces(7)), and root write
    there what it likes: so that must not be the machine's first one. Trees without a controller (systemd's) stay.
    """
    for tree in _v1_trees():
        directory = create(tree, name)
        if not directory:
            continue
        for file in ('cpuset.cpus', 'cpuset.mems'):  # without which nobody can be in a cgroup of that controller
            if os.path.exists(f'{directory}/{file}'):
                write(f'{directory}/{file}', _read(f'{tree}/{file}'))
        write(f'{directory}/tasks', '0')


def _v1_trees() -> list[str]:
    """Those with controllers that we may change."""
    with open('/proc/self/mountinfo') as table:
        rows = [line.partition(' - ') for line in table]
    trees = [left.split(' ')[4] for left, _, right in rows if right.startswith('cgroup ') and 'name=' not in right]
    return [tree for tree in trees if os.access(tree, os.W_OK)]


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def create_below(parent: str, name: str) -> str:
    """'' where there is no parent. OSError when the kernel refuses: outside of it a process would not be confined."""
    if parent:
        os.makedirs(os.path.join(parent, name), exist_ok=True)
    return os.path.join(parent, name) if parent else ''


def kill(path: str) -> None:
    """SIGKILL to every process in the cgroup and below; a cgroup that is gone has none."""
    if not path:
        return
    try:
        write(f'{path}/cgroup.kill', '1')
    except FileNotFoundError:  # before Linux 5.14
        for process in processes(path):
            kill_process(process)


def processes(path: str) -> list[int]:
    """Every process in the cgroup and below, as the machine numbers them."""
    found = []
    for directory, _, _ in os.walk(path):
        try:
            with open(f'{directory}/cgroup.procs') as file:
                found += [int(line) for line in file]
        except FileNotFoundError:
            continue  # removed meanwhile
    return [process for process in found if process]  # 0 is a process of a foreign pid namespace


def kill_process(process: int) -> None:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return  # it was faster


def remove(path: str) -> None:
    """Removes the cgroup and all below. OSError EBUSY while a process lives in it."""
    if not path:
        return
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
    except OSError:  # there are others below it; or EBUSY, which comes again
        for directory, _, _ in os.walk(path, topdown=False):
            os.rmdir(directory)


def dissolve(path: str) -> None:
    """Removes a cgroup of a v1 tree; who still lives in it, such as an rm of a killed server, goes to its parent.

    OSError EBUSY after 10 s. A process that is ending may keep the cgroup for a moment without being listed.
    """
    deadline = time.monotonic() + _KILL_SECONDS
    while os.path.exists(path):
        for process in processes(path):
            _move(process, os.path.dirname(path))
        try:
            remove(path)
        except OSError as error:
            if error.errno != EBUSY or time.monotonic() > deadline:
                raise
            _await_release()


def _move(process: int, path: str) -> None:
    try:
        write(f'{path}/cgroup.procs', str(process))
    except ProcessLookupError:
        return  # it has ended


def _await_release() -> None:
    """10 ms: v1 has no event for it."""
    import select

    select.poll().poll(10)


def empty(path: str) -> None:
    """Kills all in the cgroup until nothing is left there. TimeoutError after 10 s (an uninterruptible process).

    ``populated`` counts a process that ``cgroup.procs`` lists no more but that keeps the cgroup from being removed: one
    whose first thread has ended, while its last one is ending (Linux css_task_iter_advance).
    """
    deadline = time.monotonic() + _KILL_SECONDS
    while _populated(path):
        if time.monotonic() > deadline:
            raise TimeoutError(f'processes {processes(path)} in {path} survive SIGKILL')
        kill(path)
        _await_change(path)


def _populated(path: str) -> bool:
    if not path or not os.path.exists(path):
        return False
    with open(f'{path}/cgroup.events') as events:
        return 'populated 1' in events.read()


def _await_change(path: str) -> None:
    """Returns when ``populated`` changes (cgroup.events signals EPOLLPRI), or after 50 ms."""
    import select

    with open(f'{path}/cgroup.events') as events:
        if 'populated 0' in events.read():
            return
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        poll.poll(50)


def write(path: str, text: str) -> None:
    """OSError when the kernel does not take it; a file that is not there is not made."""
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)
