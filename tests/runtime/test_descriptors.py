"""Descriptors that come through a socket."""

from __future__ import annotations

import os
import socket

from netkube.runtime import descriptors


def test_no_program_that_is_executed_inherits_them() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(theirs, [b'here'], [theirs.fileno(), theirs.fileno()])
        data, received = descriptors.receive(ours, 16, 2)
        assert (data, len(received)) == (b'here', 2)
        assert not any(map(os.get_inheritable, received))
        for fd in received:
            os.close(fd)
