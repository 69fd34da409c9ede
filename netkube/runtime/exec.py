"""A command beside a container's own process: in the same namespaces and cgroup, with the same rights."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from netkube.runtime import credentials, limits, linux, lookup
from netkube.runtime.cri import ContainerConfig, Record, container_config
from netkube.runtime.devices import DeviceControl
from netkube.runtime.process import (
    Machine,
    close_descriptors,
    enter_directory,
    environment,
    execute,
    own_streams,
    use_streams,
)
from netkube.runtime.terminal import hand_over, open_terminal

_NAMESPACES = (
    linux.CLONE_NEWNS | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC | linux.CLONE_NEWNET | linux.CLONE_NEWCGROUP
)  # fmt: skip


class Command(NamedTuple):
    argv: tuple[str, ...]
    tty: bool
    streams: tuple[int, int, int]  # unused with a terminal


def be_command(
    machine: Machine, fds: Sequence[int], config: Record, groups: tuple[str, ...], argv: tuple[str, ...], tty: bool
) -> Callable[[], None]:
    """To be called in the child, which becomes the command.

    It ends with a shell's code, and runc's words on stderr, if it cannot. What fails before that is said on the
    channel, the first of ``fds``; the second one is a pidfd of the container's process.
    """
    channel, pidfd, *streams = fds
    asked = container_config(config)
    rights = credentials.plan_rights(asked, machine.capabilities)
    command = Command(argv, tty, (streams[0], streams[1], streams[2]))
    return partial(_become, asked, groups, machine.devices, rights, pidfd, command, channel)


def _become(
    config: ContainerConfig,
    groups: tuple[str, ...],
    devices: DeviceControl,
    rights: credentials.Rights,
    pidfd: int,
    command: Command,
    channel: int,
) -> None:
    try:
        limits.join(groups, config.resources.oom_score_adj)
        if config.privileged:
            devices.leave()
        program = credentials.read_filter(config)
        linux.setns(pidfd, _NAMESPACES)
        if not command.tty:
            use_streams(*command.streams)
        close_descriptors({channel})
        home = _take_place(config, rights, program, command, channel)
    except OSError as error:
        os.write(channel, f'exec failed: {lookup.in_words(error)}'.encode())
        os._exit(126)
    try:
        execute(command.argv, ({'TERM': 'xterm'} if command.tty else {}) | environment(config, home))
    except lookup.CommandError as error:
        os.write(2, f'exec failed: unable to start container process: {error.message}\n'.encode())
        os._exit(error.code)


def _take_place(
    config: ContainerConfig, rights: credentials.Rights, program: bytes, command: Command, channel: int
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
