"""A command beside a container's own process: in the same namespaces and cgroup, with the same rights."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from typing import NamedTuple

from netkube.runtime import credentials, linux, lookup
from netkube.runtime.cri import ContainerConfig
from netkube.runtime.process import enter_directory, environment, execute, own_streams, use_streams

_TIOCSPTLCK, _TIOCGPTPEER = 0x40045431, 0x5441
_NAMESPACES = (
    linux.CLONE_NEWNS | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC | linux.CLONE_NEWNET | linux.CLONE_NEWCGROUP
)  # fmt: skip
TTY = b'tty'  # the message that carries a terminal's master


class Command(NamedTuple):
    argv: tuple[str, ...]
    tty: bool
    streams: tuple[int, int, int]  # unused with a terminal


def be_command(
    config: ContainerConfig, rights: credentials.Rights, pidfd: int, command: Command, channel: socket.socket
) -> None:
    """In the child: becomes the command; ends with a shell's code, and runc's words on stderr, if it cannot.

    What fails before that is said on the channel.
    """
    try:
        linux.setns(pidfd, _NAMESPACES)
        home = _take_place(config, rights, command, channel)
    except OSError as error:
        channel.send(f'exec failed: {lookup.in_words(error)}'.encode())
        os._exit(126)
    try:
        execute(command.argv, ({'TERM': 'xterm'} if command.tty else {}) | environment(config, home))
    except lookup.CommandError as error:
        os.write(2, f'exec failed: unable to start container process: {error.message}\n'.encode())
        os._exit(error.code)


def _take_place(
    config: ContainerConfig, rights: credentials.Rights, command: Command, channel: socket.socket
) -> str:
    """Directory, streams and user; returns the user's home directory."""
    enter_directory(config.working_dir)
    master, *streams = open_terminal() if command.tty else (-1, *command.streams)
    use_streams(*streams)
    user = credentials.find_user(config)
    own_streams(user)
    credentials.become(user, rights)
    if command.tty:
        socket.send_fds(channel, [TTY], [master])
    return user.home


def open_terminal() -> tuple[int, int, int, int]:
    """The master of a new terminal of the container, and its slave for each of the three streams.

    We lead a new session, so the slave becomes our controlling terminal by being opened.
    """
    master = os.open('/dev/ptmx', os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack('i', 0))
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_CLOEXEC)
    return master, slave, slave, slave
