"""Forking a child that is born in another pid namespace, and in its cgroup."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable

from netkube.runtime import linux

_CRASHED = 125


class Forker:
    def __init__(self) -> None:
        self._own = os.open('/proc/self/ns/pid', os.O_RDONLY | os.O_CLOEXEC)

    def fork(self, child: Callable[[], None], cgroup: str, beside: int, *, first: bool) -> int:
        """In the cgroup unless that is ''. The pid that is returned is the machine's.

        ``first`` is pid 1 of a new pid namespace; ``beside`` is a pidfd of a process whose pid namespace it is in, or
        -1. ``setns`` of a pid namespace concerns only children to come: so fork between there and back.
        """
        kinds = linux.CLONE_NEWPID if first else 0
        if beside < 0:
            return self._fork(kinds, cgroup, child)
        linux.setns(beside, linux.CLONE_NEWPID)
        try:
            return self._fork(kinds, cgroup, child)
        finally:
            linux.setns(self._own, linux.CLONE_NEWPID)

    def _fork(self, kinds: int, cgroup: str, child: Callable[[], None]) -> int:
        group = os.open(cgroup, os.O_PATH | os.O_CLOEXEC) if cgroup else -1
        try:
            pid = linux.fork_sibling(kinds, group)
            if pid == 0:
                _be_child(child)
            return pid
        finally:
            if group >= 0:
                os.close(group)


def _be_child(child: Callable[[], None]) -> None:
    """A child that does not become another program ends here, whatever happened in it."""
    try:
        for number in _IGNORED:
            linux.default_signal(number)
        os.setsid()
        child()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(_CRASHED)


_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP)  # by Python, and by the server


def allow_many_files() -> None:
    """Five per container. The containers' own limit is what ours was, see Nursery."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def forget_ignored_signals() -> None:
    """What a shell or nohup had us ignore is no business of the containers."""
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN and number not in _IGNORED:
            signal.signal(number, signal.SIG_DFL)
