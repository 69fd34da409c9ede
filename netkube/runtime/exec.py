"""A command beside a container's own process: in the same namespaces and cgroup, with the same rights."""

from __future__ import annotations

import os
import socket
from typing import NamedTuple

from netkube.runtime import credentials, linux, lookup
from netkube.runtime.cri import ContainerConfig
from netkube.runtime.devices import DeviceControl
from netkube.runtime.limits import Confinement
from netkube.runtime.process import close_descriptors, enter_directory, environment, execute, own_streams, use_streams
from netkube.runtime.terminal import hand_over, open_terminal

_NAMESPACES = (
    linux.CLONE_NEWNS | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC | linux.CLONE_NEWNET | linux.CLONE_NEWCGROUP
)  # fmt: skip


class Command(NamedTuple):
    argv: tuple[str, ...]
    tty: bool
    streams: tuple[int, int, int]  # unused with a terminal


def be_command(
    config: ContainerConfig,
    confinement: Confinement,
    devices: DeviceControl,
    rights: credentials.Rights,
    pidfd: int,
    command: Command,
    channel: socket.socket,
) -> None:
    """In the child: becomes the command; ends with a shell's code, and runc's words on stderr, if it cannot.

    What fails before that is said on the channel.
    """
    try:
        confinement.join()
        if config.privileged:
            devices.leave()
        program = credentials.read_filter(config)
        linux.setns(pidfd, _NAMESPACES)
        if not command.tty:
            use_streams(*command.streams)
        close_descriptors({channel.fileno()})
        home = _take_place(config, rights, program, command, channel)
    except OSError as error:
        channel.send(f'exec failed: {lookup.in_words(error)}'.encode())
        os._exit(126)
    try:
        execute(command.argv, ({'TERM': 'xterm'} if command.tty else {}) | environment(config, home))
    except lookup.CommandError as error:
        os.write(2, f'exec failed: unable to start container process: {error.message}\n'.encode())
        os._exit(error.code)


def _take_place(
    config: ContainerConfig, rights: credentials.Rights, program: bytes, command: Command, channel: socket.socket
) -> str:
    """Directory, streams and user; returns the user's home directory."""
    enter_directory(config.working_dir)
    if command.tty:
        master, *streams = open_terminal()
        use_streams(*streams)
    user = credentials.find_user(config)
    own_streams(user)
    credentials.become(user, rights, program)
    if command.tty:
        hand_over(channel, master)
    return user.home
