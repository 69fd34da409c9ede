"""The process that forks: a copy of the server from before it grew, which makes all its children.

A fork costs by the pages and the descriptors of who forks, and both processes then copy each page that they write
to. The server has some MB more, and five descriptors for each container; so it forks once, at its start, and that
copy does the rest. Its children are the server's all the same (CLONE_PARENT): reaped by it, and killed with it.
"""

from __future__ import annotations

import gc
import marshal
import os
import resource
import signal
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from netkube.runtime import linux
from netkube.runtime.exec import be_command
from netkube.runtime.fork import Forker
from netkube.runtime.process import Machine, be_container, be_init

ROLES: dict[str, Callable[..., Callable[[], None]]] = {
    'container': be_container, 'init': be_init, 'command': be_command,
}  # fmt: skip
_HEADER, _INT = struct.Struct('I'), struct.Struct('i')
_MAX_FDS = 16
_READ = 65536


class Birth(NamedTuple):
    """What a child is to be, in values that ``marshal`` knows, and the descriptors that it gets."""

    role: str
    arguments: Mapping[str, object]  # of the role
    fds: Sequence[int]  # -1 is none
    cgroup: str  # '' is ours
    beside: int = -1  # a pidfd of a process whose pid namespace it joins
    first: bool = False  # it is number 1 of a new pid namespace


class Nursery:
    """The server's end."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._files = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._begin()

    def _begin(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        gc.collect()
        gc.freeze()
        self.pid = os.fork()
        if self.pid == 0:
            resource.setrlimit(resource.RLIMIT_NOFILE, self._files)
            _be_nursery(self.machine, theirs)
        theirs.close()

    def bear(self, birth: Birth) -> int:
        """The machine's number of the new process. OSError when the kernel refuses one."""
        try:
            return self._ask(birth)
        except ConnectionError:  # somebody has killed it: the next one is a copy of what we are now
            self._socket.close()
            self._begin()
            return self._ask(birth)

    def _ask(self, birth: Birth) -> int:
        fds = [fd for fd in (*birth.fds, birth.beside) if fd >= 0]
        places = iter(range(len(fds)))
        given = [next(places) if fd >= 0 else -1 for fd in (*birth.fds, birth.beside)]
        data = marshal.dumps((birth.role, birth.arguments, given, birth.cgroup, birth.first))  # type: ignore[arg-type]
        data = _HEADER.pack(len(data)) + data
        self._socket.sendall(data[socket.send_fds(self._socket, [data], fds) :])
        answer = self._socket.recv(_INT.size)
        if not answer:
            raise ConnectionResetError
        (result,) = _INT.unpack(answer)  # a pid, or an errno below zero
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return int(result)


def _be_nursery(machine: Machine, requests: socket.socket) -> None:
    """Until the server's end."""
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    kept = requests.detach()
    os.dup2(kept, 3, inheritable=False)
    os.closerange(4, 1 << 30)
    gc.disable()
    gc.freeze()
    _serve(machine, socket.socket(fileno=3), Forker())


def _serve(machine: Machine, requests: socket.socket, forker: Forker) -> None:
    while True:
        data, fds = _receive(requests)
        role, arguments, given, cgroup, first = marshal.loads(data)
        *own, beside = (fds[place] if place >= 0 else -1 for place in given)
        child = ROLES[role](machine, own, **arguments)
        try:
            result = forker.fork(child, cgroup, beside, first=first)
        except OSError as error:
            result = -error.errno if error.errno else -1
        for fd in fds:
            os.close(fd)
        requests.send(_INT.pack(result))


def _receive(requests: socket.socket) -> tuple[bytes, list[int]]:
    """Not ``socket.recv_fds``, which ignores its flags until Python 3.12: exec is to close these descriptors."""
    room = socket.CMSG_LEN(_MAX_FDS * _INT.size)
    data, ancillary, _, _ = requests.recvmsg(_READ, room, socket.MSG_CMSG_CLOEXEC)
    if not data:
        os._exit(0)
    (size,) = _HEADER.unpack_from(data)
    while len(data) < _HEADER.size + size:
        data += requests.recv(_READ)
    return data[_HEADER.size :], [fd for _, _, packed in ancillary for (fd,) in _INT.iter_unpack(packed)]
