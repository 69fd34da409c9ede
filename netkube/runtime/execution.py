"""A running exec, as the connection that asked for it follows it."""

from __future__ import annotations

import os
import signal
import socket

from netkube.runtime import descriptors
from netkube.runtime.container import Exit, exit_of
from netkube.runtime.gate import Gate
from netkube.runtime.loop import Loop
from netkube.runtime.terminal import TTY

_WORD_BYTES = 4096


class Execution:
    def __init__(self, loop: Loop, pid: int, channel: socket.socket) -> None:
        self._loop = loop
        self._pid = pid
        self._channel = channel
        self.begun = Gate()  # the command runs, or it is known why not
        self.gone = Gate()
        self.refusal = ''
        self.master = -1  # a terminal's, for the receiver to close
        self.exit = Exit(0, 0)
        loop.watch(channel.fileno(), self._take_word)
        loop.on_exit(pid, self._take_exit)

    def _take_word(self) -> None:
        """Silence means that exec has closed the channel."""
        word, fds = descriptors.receive(self._channel, _WORD_BYTES, 1)
        self._loop.unwatch(self._channel.fileno())
        self._channel.close()
        if word == TTY:
            self.master = fds[0]
        else:
            self.refusal = word.decode(errors='replace')
        self.begun.open()

    def _take_exit(self, wait_status: int) -> None:
        self._pid = 0
        if self._channel.fileno() >= 0:  # the end came to our notice before the start
            self._take_word()
        self.exit = exit_of(wait_status)
        self.gone.open()

    def abandon(self) -> None:
        """The client has gone: the command is killed, with the processes of its group."""
        if not self._pid:
            return
        try:
            os.killpg(self._pid, signal.SIGKILL)
        except ProcessLookupError:  # so young that it does not lead a group yet
            os.kill(self._pid, signal.SIGKILL)
