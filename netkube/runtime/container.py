"""The server's record of one container: what was asked, how it does, and its pipes."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from netkube.runtime import cgroup, cri
from netkube.runtime.cri import ContainerConfig, ContainerStatus
from netkube.runtime.gate import Gate
from netkube.runtime.limits import Confinement
from netkube.runtime.logs import LogFile, LogStream

START_ERROR_CODE = 128
_MESSAGE_BYTES = 4096


class Exit(NamedTuple):
    """How a process ended; a signal counts as 128 + its number, as in a shell."""

    code: int
    signal: int


def exit_of(wait_status: int) -> Exit:
    if os.WIFSIGNALED(wait_status):
        number = os.WTERMSIG(wait_status)
        return Exit(128 + number, number)
    return Exit(os.WEXITSTATUS(wait_status), 0)


def timestamp(now: float) -> str:
    """RFC 3339 in UTC with microseconds."""
    return f'{time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))}.{int(now % 1 * 1e6):06d}Z'


class Container:
    """States: created, (a child that is not yet its program), running, exited."""

    def __init__(
        self,
        config: ContainerConfig,
        cgroup_path: str,
        confinement: Confinement,
        directory: str,
        now: float,
        *,
        first_is_all: bool = True,
    ) -> None:
        """``directory`` is for what lasts as long as the container, above all its upper layers.

        ``first_is_all``: its first process is number 1 of a namespace of its own, whose end is that of all in it.
        """
        self.config = config
        self.cgroup_path = cgroup_path
        self.confinement = confinement
        self.first_is_all = first_is_all
        self.directory = directory
        self.pid = 0
        self.alive = False  # some process of it is, or may be
        self.refusal = ''  # why its program was never reached
        self.log: LogFile | None = None
        self.streams: list[LogStream] = []
        self.stdin = -1  # what its standard input is written to, if it has one
        self.kill_at = float('inf')  # on the monotonic clock; set by a stop
        self.begun = Gate()  # its program runs, or could not be started
        self.gone = Gate()  # it has exited
        self.status = ContainerStatus(
            id=config.id, sandbox_id=config.sandbox_id, name=config.name, attempt=config.attempt, state=cri.CREATED,
            pid=0, created_at=timestamp(now), annotations=config.annotations,
        )  # fmt: skip

    @property
    def termination_log(self) -> str:
        """The machine's path of the file that the container sees at ``config.termination_log``."""
        return f'{self.directory}/termination-log' if self.config.termination_log else ''

    @property
    def hostname_file(self) -> str:
        return f'{self.directory}/hostname'

    def see_user(self, word: bytes) -> None:
        self.status = self.status._replace(user=tuple(map(int, word.split())))

    def started(self, now: float) -> None:
        self.status = self.status._replace(state=cri.RUNNING, pid=self.pid, started_at=timestamp(now))

    def exited(self, exit: Exit, now: float) -> None:
        self.alive = False
        ended = self.status._replace(state=cri.EXITED, pid=0, finished_at=timestamp(now))
        if self.refusal:
            self.status = ended._replace(exit_code=START_ERROR_CODE, reason='StartError', message=self.refusal)
        else:
            reason = ('OOMKilled' if self.confinement.oom_kills() else 'Error') if exit.code else 'Completed'
            self.status = ended._replace(
                exit_code=exit.code, signal=exit.signal, reason=reason, message=self._termination_message()
            )

    def _termination_message(self) -> str:
        if not self.termination_log:
            return ''
        with open(self.termination_log, 'rb') as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _MESSAGE_BYTES))
            return file.read(_MESSAGE_BYTES).decode(errors='replace')

    def hand_out_stdin(self) -> int:
        """A descriptor of its own for a client; -1 when there is none, or the only one was given to another."""
        if self.stdin < 0:
            return -1
        given = os.dup(self.stdin)
        if self.config.stdin_once and not self.config.tty:
            self.close_stdin()
        return given

    def close_stdin(self) -> None:
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def kill(self) -> None:
        """SIGKILL to everything in it; stopped processes too."""
        cgroup.kill(self.cgroup_path)
        self.signal(9)

    def signal(self, number: int) -> None:
        """To its first process; it is our child, so its number cannot be another's before we have reaped it."""
        if self.pid:
            os.kill(self.pid, number)
