"""The client's end of an exec: pipes or a terminal whose other ends the command has itself.

The server only starts the command and tells its end; no byte of the streams goes through it.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import struct
import termios
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from netkube.runtime import descriptors
from netkube.runtime.cri import CriError, RuntimeUnavailable

STDOUT, STDERR = 1, 2
_OUTPUTS = (('stdout', STDOUT), ('stderr', STDERR))
_READ = 65536


class ExecSession:
    """``netkube.client.kubelet.ExecSession``. Descriptors are -1 where there is no such stream."""

    def __init__(self, control: _Control, stdin: int, outputs: dict[int, int], terminal: int) -> None:
        self._control = control
        self._ready = control.ready
        self._stdin = stdin
        self._outputs = outputs  # descriptor -> STDOUT or STDERR
        self._terminal = terminal
        self._exit: asyncio.Task[int] = asyncio.create_task(control.receive_exit())
        self._exit.add_done_callback(lambda task: task.cancelled() or task.exception())  # seen, if nobody asks
        for fd in {stdin, *outputs} - {-1}:
            os.set_blocking(fd, False)

    async def write_stdin(self, data: bytes) -> None:
        """What a command that has closed its stdin does not read is dropped, as a shell's pipe would."""
        while data and self._stdin >= 0:
            try:
                data = data[os.write(self._stdin, data) :]
            except BlockingIOError:
                await self._ready.to_write(self._stdin)
            except OSError:  # EPIPE; EIO of a terminal
                return

    async def close_stdin(self) -> None:
        """A terminal has no end of input but the user's own Ctrl-D."""
        if self._stdin >= 0 and self._terminal < 0:
            os.close(self._stdin)
            self._stdin = -1

    async def resize(self, width: int, height: int) -> None:
        if self._terminal >= 0:
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack('4H', height, width, 0, 0))

    async def read(self) -> tuple[int, bytes] | None:
        while self._outputs:
            for fd, stream in tuple(self._outputs.items()):
                chunk = _read(fd)
                if chunk:
                    await asyncio.sleep(0)  # a command that never stops talking must not keep the loop to itself
                    return stream, chunk
                if chunk is not None:
                    self._end_output(fd)
            if self._outputs:
                await self._ready.to_read(*self._outputs)
        return None

    def _end_output(self, fd: int) -> None:
        del self._outputs[fd]
        if fd != self._terminal:
            os.close(fd)

    async def exit_code(self) -> int:
        """RuntimeUnavailable when that cannot be known any more: the session was closed, or the server is gone."""
        return await asyncio.shield(self._exit)

    async def close(self) -> None:
        """The server kills what still runs. Whoever still waits in another method is let go."""
        self._control.close()
        for fd in {self._stdin, self._terminal, *self._outputs} - {-1}:
            os.close(fd)
        self._stdin, self._terminal, self._outputs = -1, -1, {}


def _read(fd: int) -> bytes | None:
    """b'' at the end, None when there is nothing now."""
    try:
        return os.read(fd, _READ)
    except BlockingIOError:
        return None
    except OSError:  # EIO: the last process has closed the terminal
        return b''


class _Readiness:
    """Waiting for descriptors, with an end before they are closed: afterwards their numbers are other files'."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Event, tuple[Callable[[int], Any], tuple[int, ...]]] = {}

    async def to_read(self, *fds: int) -> None:
        """Until one of them can be read, or ``close``."""
        loop = asyncio.get_running_loop()
        await self._wait(loop.add_reader, loop.remove_reader, fds)

    async def to_write(self, *fds: int) -> None:
        loop = asyncio.get_running_loop()
        await self._wait(loop.add_writer, loop.remove_writer, fds)

    async def _wait(self, add: Callable[..., Any], remove: Callable[[int], Any], fds: tuple[int, ...]) -> None:
        ready = asyncio.Event()
        for fd in fds:
            add(fd, ready.set)
        self._waiting[ready] = remove, fds
        try:
            await ready.wait()
        finally:
            self._end(ready)

    def _end(self, ready: asyncio.Event) -> None:
        if ready in self._waiting:
            remove, fds = self._waiting.pop(ready)
            for fd in fds:
                remove(fd)

    def close(self) -> None:
        for ready in tuple(self._waiting):
            self._end(ready)
            ready.set()


class _Control:
    """The connection to the server: lines of JSON, and a descriptor that may come with them."""

    def __init__(self, stream: socket.socket) -> None:
        self._socket = stream
        self._received = b''
        self.ready = _Readiness()
        self.fds: list[int] = []

    async def receive(self) -> dict[str, Any]:
        while b'\n' not in self._received:
            await self.ready.to_read(self._socket.fileno())
            if self._socket.fileno() < 0:
                raise RuntimeUnavailable('the exec session was closed')
            data, fds = descriptors.receive(self._socket, _READ, 1)
            if not data:
                raise RuntimeUnavailable('the runtime has ended in the middle of an exec')
            self._received += data
            self.fds += fds
        line, _, self._received = self._received.partition(b'\n')
        message: dict[str, Any] = json.loads(line)
        return message

    async def receive_exit(self) -> int:
        return int((await self.receive())['exit_code'])

    def close(self) -> None:
        self.ready.close()
        self._socket.close()


async def open_session(path: str, container: str, argv: list[str], streams: list[str], tty: bool) -> ExecSession:
    """``streams`` are those of stdin, stdout and stderr that are wanted; a terminal is all three."""
    arguments = {'container': container, 'argv': argv, 'tty': tty}
    control, ours, _ = await _open(path, 'exec', arguments, [] if tty else streams)
    terminal = control.fds[0] if tty else -1
    outputs = {ours[name]: number for name, number in _OUTPUTS if name in ours}
    return ExecSession(control, ours.get('stdin', terminal), {terminal: STDOUT} if tty else outputs, terminal)


async def attach_session(path: str, container: str, outputs: list[str], stdin: bool) -> ExecSession:
    """``outputs`` are those of stdout and stderr that are wanted; a terminal has only the first."""
    control, ours, answer = await _open(path, 'attach', {'container': container, 'stdin': stdin}, outputs)
    given = control.fds[0] if answer['stdin'] else -1
    terminal = given if given >= 0 and os.isatty(given) else -1
    return ExecSession(control, given, {ours[name]: number for name, number in _OUTPUTS if name in ours}, terminal)


async def _open(
    path: str, verb: str, arguments: dict[str, Any], streams: list[str]
) -> tuple[_Control, dict[str, int], dict[str, Any]]:
    """The connection, our ends of the pipes by stream, and the server's answer."""
    with ExitStack() as undo:
        stream = await _connect(path)
        undo.callback(stream.close)
        ours, theirs = _open_pipes(streams)
        for fd in ours.values():
            undo.callback(os.close, fd)
        request = {'id': 1, 'verb': verb, 'arguments': arguments | {'streams': list(theirs)}}
        socket.send_fds(stream, [json.dumps(request).encode() + b'\n'], list(theirs.values()))
        for fd in theirs.values():
            os.close(fd)
        control = _Control(stream)
        answer = await control.receive()
        if 'error' in answer:
            raise CriError(**answer['error'])
        undo.pop_all()
    return control, ours, answer['result']


async def _connect(path: str) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(stream, path)
    except OSError as error:
        stream.close()
        raise RuntimeUnavailable(f'{path}: {error.strerror}') from error
    return stream


def _open_pipes(streams: list[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Our ends and the command's, by stream."""
    ours, theirs = {}, {}
    for name in streams:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        ours[name], theirs[name] = (writer, reader) if name == 'stdin' else (reader, writer)
    return ours, theirs
