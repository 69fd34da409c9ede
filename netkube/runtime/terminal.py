"""A terminal of a container: the slave is its standard streams, the master goes to whoever started it."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct

_TIOCSPTLCK, _TIOCGPTPEER = 0x40045431, 0x5441
_PTMX = os.makedev(5, 2)
TTY = b'tty'  # the message that carries a master


def open_terminal() -> tuple[int, int, int, int]:
    """The master of a new terminal of the container, and its slave for each of the three streams.

    We lead a new session, so the slave becomes our controlling terminal by being opened. OSError ENODEV when the
    container has put something else in that place (runc's CVE-2025-52565).
    """
    master = os.open('/dev/ptmx', os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK)
    if os.fstat(master).st_rdev != _PTMX:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), '/dev/ptmx')
    os.set_blocking(master, True)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack('i', 0))
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_CLOEXEC)
    return master, slave, slave, slave


def hand_over(channel: int, master: int) -> None:
    with socket.socket(fileno=os.dup(channel)) as stream:
        socket.send_fds(stream, [TTY], [master])
