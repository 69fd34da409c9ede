"""One client of the server: lines of JSON over a unix stream socket, and descriptors beside them.

``{"id": 1, "verb": "start_container", "arguments": {...}}`` is answered by ``{"id": 1, "result": {...}}`` or
``{"id": 1, "error": {"code": "NotFound", "message": "..."}}``, in any order. After the verb ``subscribe`` come
``{"event": <ContainerStatus>}`` too.

An ``exec`` or ``attach`` takes a connection of its own. The request carries the descriptors of those streams that it
names; the answer carries a terminal's master if one was asked for, or what the standard input of an attached container
is written to; ``{"exit_code": 0, "signal": 0}`` follows at the end. A client that goes away before takes the command
with it, but not the container that it was attached to.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from netkube.runtime import descriptors
from netkube.runtime.attachment import Attachment
from netkube.runtime.cri import ContainerStatus, CriError, record_of
from netkube.runtime.exec import Command
from netkube.runtime.execution import Execution
from netkube.runtime.gate import when_all_open
from netkube.runtime.loop import Loop
from netkube.runtime.service import After, Result, RuntimeService
from netkube.runtime.words import say

_READ = 65536
_MAX_FDS = 3
_MAX_UNSENT = 16 << 20  # a client that does not read is cut off: it can connect again and list
_STREAMS = ('stdin', 'stdout', 'stderr')

VERBS = frozenset({
    'version', 'run_pod_sandbox', 'stop_pod_sandbox', 'remove_pod_sandbox', 'list_pod_sandboxes',
    'create_container', 'start_container', 'stop_container', 'remove_container', 'list_containers',
    'shutdown',
})  # fmt: skip


class Connection:
    def __init__(
        self, loop: Loop, service: RuntimeService, stream: socket.socket, closed: Callable[[Connection], None]
    ) -> None:
        self._loop = loop
        self._service = service
        self._socket = stream
        self._closed = closed
        self._received = b''
        self._fds: list[int] = []
        self._unsent = b''
        self._subscribed = False
        self._session: Execution | Attachment | None = None
        stream.setblocking(False)
        loop.watch(stream.fileno(), self._serve)

    def _serve(self) -> None:
        self._flush()
        if self._socket.fileno() < 0:
            return
        try:
            data, fds = descriptors.receive(self._socket, _READ, _MAX_FDS)
        except BlockingIOError:
            return
        except ConnectionError:
            data, fds = b'', []
        self._fds += fds
        if not data:
            return self.close()
        *lines, self._received = (self._received + data).split(b'\n')
        try:
            for line in lines:
                self._take(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:  # not a request: whoever that is does not speak our language
            say(f'a client sent what is no request: {error!r}')
            self.close()

    def _take(self, request: dict[str, Any]) -> None:
        id, verb, arguments = request['id'], request['verb'], request.get('arguments', {})
        if verb == 'subscribe':
            self._subscribed = True
            self._send({'id': id, 'result': {}})
        elif verb == 'exec':
            self._answer(id, lambda: self._exec(id, **arguments))
        elif verb == 'attach':
            self._answer(id, lambda: self._attach(id, **arguments))
        elif verb in VERBS:
            self._answer(id, lambda: getattr(self._service, verb)(**arguments))
        else:
            self._refuse(id, 'Unimplemented', f'unknown verb {verb!r}')

    def _answer(self, id: int, action: Callable[[], Result | After | None]) -> None:
        """The one place where exceptions become answers; what nobody expected must not end every container."""
        try:
            result = action()
        except CriError as error:
            return self._refuse(id, error.code, error.message)
        except OSError as error:
            return self._refuse(id, 'Internal', str(error))
        except Exception as error:
            sys.excepthook(*sys.exc_info())
            return self._refuse(id, 'Internal', repr(error))
        if isinstance(result, After):
            when_all_open(result.gates, lambda: self._answer(id, result.rest))
        elif result is not None:
            self._send({'id': id, 'result': result})

    def _refuse(self, id: int, code: str, message: str) -> None:
        self._send({'id': id, 'error': {'code': code, 'message': message}})

    def notify(self, status: ContainerStatus) -> None:
        if self._subscribed:
            self._send({'event': record_of(status)})

    def _exec(self, id: int, container: str, argv: list[str], streams: list[str], tty: bool) -> None:
        """Answers by itself, for the sake of the descriptor."""
        fds, self._fds = self._fds, []
        try:
            given = dict(zip(streams, fds, strict=True))
            stdin, stdout, stderr = (given.get(name, -1) for name in _STREAMS)
            execution = self._service.execute(container, Command(tuple(argv), tty, (stdin, stdout, stderr)))
        finally:
            for fd in fds:
                os.close(fd)
        self._session = execution
        execution.begun.then(lambda: self._begun(id, execution))
        execution.gone.then(lambda: self._send({'exit_code': execution.exit.code, 'signal': execution.exit.signal}))

    def _attach(self, id: int, container: str, streams: list[str], stdin: bool) -> None:
        fds, self._fds = self._fds, []
        with ExitStack() as undo:
            for fd in fds:
                undo.callback(os.close, fd)
            attachment = self._service.attach(container, dict(zip(streams, fds, strict=True)), stdin)
            undo.pop_all()
        self._session = attachment
        self._send({'id': id, 'result': {'stdin': attachment.stdin >= 0}}, attachment.stdin)
        if attachment.stdin >= 0:
            os.close(attachment.stdin)
        attachment.gone.then(lambda: self._send({'exit_code': 0, 'signal': 0}))

    def _begun(self, id: int, execution: Execution) -> None:
        if execution.refusal:
            self._refuse(id, 'Internal', execution.refusal)
        else:
            self._send({'id': id, 'result': {}}, execution.master)
        if execution.master >= 0:
            os.close(execution.master)

    def _send(self, message: dict[str, Any], fd: int = -1) -> None:
        """A descriptor goes with the first bytes on a connection, which always fit."""
        if self._socket.fileno() < 0:
            return
        data = json.dumps(message, separators=(',', ':')).encode() + b'\n'
        if fd >= 0:
            sent = socket.send_fds(self._socket, [data], [fd])
            data = data[sent:]
        self._unsent += data
        self._flush()

    def _flush(self) -> None:
        if not self._unsent:
            return
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            pass  # the rest goes when there is room
        except ConnectionError:
            return self.close()
        if len(self._unsent) > _MAX_UNSENT:
            return self.close()
        events = select.EPOLLIN | select.EPOLLOUT if self._unsent else select.EPOLLIN
        self._loop.watch(self._socket.fileno(), self._serve, events)

    def close(self) -> None:
        if self._socket.fileno() < 0:
            return
        self._loop.unwatch(self._socket.fileno())
        self._socket.close()
        for fd in self._fds:
            os.close(fd)
        if self._session is not None:
            self._session.abandon()
        self._closed(self)
