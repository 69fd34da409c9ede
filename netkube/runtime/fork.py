"""Forking a child that is born in another pid namespace, directly below us, so that we are who reaps it."""

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
        self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (self._limits[1], self._limits[1]))  # three per container

    def fork_first(self, cgroup: str, child: Callable[[], None]) -> int:
        """Pid 1 of a new pid namespace, in the cgroup unless that is ''. The pid that is returned is the machine's."""
        return self._fork(linux.CLONE_NEWPID, cgroup, child)

    def fork_here(self, cgroup: str, child: Callable[[], None]) -> int:
        """A process in our own pid namespace."""
        return self._fork(0, cgroup, child)

    def fork_beside(self, pidfd: int, cgroup: str, child: Callable[[], None]) -> int:
        """A process in the pid namespace of the one that the pidfd is of.

        ``setns`` of a pid namespace concerns only children to come: so fork between there and back.
        """
        linux.setns(pidfd, linux.CLONE_NEWPID)
        try:
            return self._fork(0, cgroup, child)
        finally:
            linux.setns(self._own, linux.CLONE_NEWPID)

    def _fork(self, kinds: int, cgroup: str, child: Callable[[], None]) -> int:
        group = os.open(cgroup, os.O_PATH | os.O_CLOEXEC) if cgroup else -1
        try:
            pid = linux.fork(kinds, group)
            if pid == 0:
                self._be_child(child)
            return pid
        finally:
            if group >= 0:
                os.close(group)

    def _be_child(self, child: Callable[[], None]) -> None:
        """A child that does not become another program ends here, whatever happened in it."""
        try:
            for number in _IGNORED:
                linux.default_signal(number)
            resource.setrlimit(resource.RLIMIT_NOFILE, self._limits)
            os.setsid()
            child()
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(_CRASHED)


_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP)  # by Python, and by the server


def forget_ignored_signals() -> None:
    """What a shell or nohup had us ignore is no business of the containers."""
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN and number not in _IGNORED:
            signal.signal(number, signal.SIG_DFL)
