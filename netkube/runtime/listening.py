"""The server's socket: it accepts clients, tells them of events, and ends with all that was made."""

from __future__ import annotations

import gc
import os
import signal
import socket

from netkube.runtime import cgroup, limits, trees
from netkube.runtime.connection import Connection
from netkube.runtime.cri import ContainerStatus
from netkube.runtime.gate import when_all_open
from netkube.runtime.loop import Loop
from netkube.runtime.nursery import Nursery
from netkube.runtime.service import RuntimeService


class Server:
    """``groups`` is the cgroup of that name in the v2 tree, '' where there is none."""

    def __init__(self, path: str, root: str, cgroup_name: str, groups: str, nursery: Nursery) -> None:
        self._path, self._root = path, root
        self._cgroup_name, self._groups = cgroup_name, groups
        self._nursery = nursery
        self._loop = Loop()
        self._connections: set[Connection] = set()

    def run(self) -> None:
        """Until a shutdown."""
        listener = _listen(self._path)
        service = RuntimeService(self._loop, self._nursery, self._root, self._cgroup_name, self._groups)
        service.launcher.on_change = self._notify
        self._loop.watch(listener.fileno(), lambda: self._accept(listener, service))
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.on_signal(number, lambda: self._shut_down(service))
        gc.collect()
        gc.freeze()
        self._loop.run()
        os.unlink(self._path)
        cgroup.remove(self._groups)
        limits.teardown(self._cgroup_name)
        trees.remove(self._root)

    def _shut_down(self, service: RuntimeService) -> None:
        after = service.shutdown()
        when_all_open(after.gates, after.rest)

    def _accept(self, listener: socket.socket, service: RuntimeService) -> None:
        stream, _ = listener.accept()
        self._connections.add(Connection(self._loop, service, stream, self._connections.discard))

    def _notify(self, status: ContainerStatus) -> None:
        for connection in tuple(self._connections):
            connection.notify(status)


def _listen(path: str) -> socket.socket:
    """Only root may connect. What bears the name listens: a socket that a killed server left is replaced."""
    new = f'{path}.{os.getpid()}'
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    listener.bind(new)
    os.umask(before)
    listener.listen(128)
    os.rename(new, path)
    return listener
