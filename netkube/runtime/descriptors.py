"""Receiving descriptors that no program that we execute inherits.

``socket.recv_fds`` takes flags and does not pass them on (CPython 3.11 to 3.13), so MSG_CMSG_CLOEXEC is lost there.
"""

from __future__ import annotations

import array
import socket


def receive(stream: socket.socket, size: int, most: int) -> tuple[bytes, list[int]]:
    """Up to ``size`` bytes, and up to ``most`` descriptors that came with them (unix(7), SCM_RIGHTS)."""
    fds = array.array('i')
    data, messages, _, _ = stream.recvmsg(size, socket.CMSG_LEN(most * fds.itemsize), socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in messages:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    return data, list(fds)
