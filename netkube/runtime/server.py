"""The runtime's process: parent of every Pod's processes.

``python -m netkube.runtime.server --socket PATH --root DIR --cgroup NAME``

It is a session of its own that no terminal's hang-up ends, so that Pods survive the daemon. SIGTERM, or the verb
``shutdown``, kills and removes everything it made; SIGKILL takes the containers with it, and leaves their names
for ``netkube.runtime.teardown``.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from typing import NamedTuple

from netkube.runtime import cgroup, limits, linux, trees
from netkube.runtime.connection import Connection
from netkube.runtime.cri import ContainerStatus
from netkube.runtime.devices import control_devices
from netkube.runtime.fork import forget_ignored_signals
from netkube.runtime.gate import when_all_open
from netkube.runtime.loop import Loop
from netkube.runtime.service import RuntimeService


class Options(NamedTuple):
    socket: str
    root: str  # a directory of the runtime's own: the containers' upper layers
    cgroup: str  # a name below the cgroup v2 tree


class Server:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._loop = Loop()
        self._connections: set[Connection] = set()

    def run(self) -> None:
        """Until a shutdown.

        Not dumpable, and neither are children until they execute their programs: a container that a child has joined
        must not look into its memory or use its descriptors, with as many capabilities as it has itself (ptrace(2);
        runc's CVE-2019-5736 and CVE-2016-9962).
        """
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        os.makedirs(self._options.root, 0o700, exist_ok=True)
        listener = _listen(self._options.socket)
        groups = cgroup.create(cgroup.find_tree(), self._options.cgroup)
        devices = control_devices(self._options.cgroup, groups)
        cgroup.live_in_v1(self._options.cgroup)
        service = RuntimeService(self._loop, self._options.root, self._options.cgroup, groups, devices)
        service.launcher.on_change = self._notify
        self._loop.watch(listener.fileno(), lambda: self._accept(listener, service))
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.on_signal(number, lambda: self._shut_down(service))
        gc.collect()
        gc.freeze()
        self._loop.run()
        os.unlink(self._options.socket)
        cgroup.remove(groups)
        limits.teardown(self._options.cgroup)
        trees.remove(self._options.root)

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


def parse_options(argv: list[str]) -> Options:
    """Not argparse: it would cost the process 1 MB for good."""
    given = dict(zip(argv[::2], argv[1::2], strict=False))
    expected = {f'--{field}': field for field in Options._fields}
    if len(argv) != 2 * len(expected) or given.keys() != expected.keys():
        raise SystemExit('usage: python -m netkube.runtime.server --socket PATH --root DIR --cgroup NAME')
    return Options(**{expected[name]: value for name, value in given.items()})


def main(options: Options) -> None:
    if os.getpid() != os.getsid(0):
        os.setsid()
    forget_ignored_signals()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir('/')
    Server(options).run()


if __name__ == '__main__':
    main(parse_options(sys.argv[1:]))
