"""The life of a container's process before its program: a table of stages, each run in the new child.

A stage that fails is named in the container's message; nothing of it is left, since all a stage makes belongs to
namespaces that end with the process.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from collections.abc import Callable
from typing import NamedTuple

from netkube.runtime import credentials, kernelfs, linux, lookup, namespaces, rootfs
from netkube.runtime.cri import BIDIRECTIONAL, HOST_TO_CONTAINER, PRIVATE, ContainerConfig, Mount, SandboxConfig
from netkube.runtime.devices import DeviceControl
from netkube.runtime.limits import Confinement
from netkube.runtime.mounts import Layer, Template, read_mountinfo, require_propagation
from netkube.runtime.netns import path_of
from netkube.runtime.terminal import hand_over, open_terminal

PROPAGATIONS = {PRIVATE: linux.MS_PRIVATE, HOST_TO_CONTAINER: linux.MS_SLAVE, BIDIRECTIONAL: linux.MS_SHARED}


class Volume(NamedTuple):
    mount: Mount
    tree: int  # a detached copy of what is at the mount's host_path
    is_directory: bool


class Machine(NamedTuple):
    """What all containers are made from."""

    template: Template
    shared_memory: int  # the mount namespace of SharedMemory
    rootfs: str  # where a root is put together: each in a mount namespace of its own, so one place does for all
    file_systems: tuple[kernelfs.FileSystem, ...]
    protection: kernelfs.Protection
    capabilities: int  # our own, as a bit set
    devices: DeviceControl


class Setup:
    """What the stages need to know, and what they tell each other."""

    def __init__(
        self,
        machine: Machine,
        config: ContainerConfig,
        confinement: Confinement,
        pod: SandboxConfig,
        shared: namespaces.Namespaces,
        directory: str,
        channel: socket.socket,
    ) -> None:
        self.machine = machine
        self.config = config
        self.confinement = confinement
        self.pod = pod
        self.shared = shared  # with the other containers of the Pod
        self.directory = directory  # where the upper layers go
        self.channel = channel  # to whoever started us
        self.rights = credentials.plan_rights(config, machine.capabilities)
        self.volumes: list[Volume] = []
        self.devices: list[kernelfs.Device] = []
        self.filter = b''  # of system calls
        self.shared_memory = -1  # a detached copy of the Pod's
        self.user = credentials.User(0, 0, (), '/')

    @property
    def without_devices(self) -> bool:
        """No mount but those of the usual few leads to a device."""
        return not self.machine.devices.kind and not self.config.privileged


def join_cgroups(setup: Setup) -> None:
    """First of all: what it does from here on counts."""
    setup.confinement.join()
    if setup.config.privileged:
        setup.machine.devices.leave()


def open_volumes(setup: Setup) -> None:
    """While the machine's mounts are in sight."""
    for mount in setup.config.mounts:
        if mount.propagation != PRIVATE:
            require_propagation(read_mountinfo(), mount.host_path, both_ways=mount.propagation == BIDIRECTIONAL)
        tree = open_volume(mount)
        propagation = PROPAGATIONS[mount.propagation]
        linux.set_attributes(
            tree, read_only=mount.read_only, no_devices=setup.without_devices, propagation=propagation
        )
        setup.volumes.append(Volume(mount, tree, stat.S_ISDIR(os.fstat(tree).st_mode)))


def open_volume(mount: Mount) -> int:
    """OSError ELOOP when a container has put a link in the way since it was looked at (CVE-2021-25741)."""
    if not mount.within:
        return linux.open_tree(mount.host_path, recursive=True)
    root = os.open(mount.within, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    place = linux.open_beneath(root, os.path.relpath(mount.host_path, mount.within))
    try:
        return linux.open_tree('', recursive=True, at=place)
    finally:
        os.close(place)
        os.close(root)


def open_machine(setup: Setup) -> None:
    """What else is read of the machine's files."""
    if setup.config.privileged:
        setup.devices = kernelfs.find_devices()
    setup.filter = credentials.read_filter(setup.config)


def enter_network(setup: Setup) -> None:
    if setup.pod.netns:
        namespace = os.open(path_of(setup.pod.netns), os.O_RDONLY | os.O_CLOEXEC)
        linux.setns(namespace, linux.CLONE_NEWNET)


def make_namespaces(setup: Setup) -> None:
    """Those of the Pod are entered, those of the container are made."""
    namespaces.enter(setup.shared)
    setup.shared_memory = namespaces.open_shared_memory(setup.machine.shared_memory, setup.pod)
    linux.setns(setup.machine.template.namespace, linux.CLONE_NEWNS)
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWCGROUP)


def close_others(setup: Setup) -> None:
    """What is left of the server's: some lead to the machine's files, by /proc/self/fd (runc's CVE-2024-21626)."""
    close_descriptors({setup.channel.fileno(), setup.shared_memory, *(volume.tree for volume in setup.volumes)})


def mount_root(setup: Setup) -> None:
    os.umask(0)
    machine = setup.machine
    own = setup.config.rootfs
    layers = [Layer(own, True)] if own else machine.template.layers
    rootfs.mount_root(layers, setup.config.hide, setup.directory, machine.rootfs)
    rootfs.enter_root(machine.rootfs)


def mount_kernel(setup: Setup) -> None:
    kernelfs.mount_file_systems(setup.machine.file_systems, writable=setup.config.privileged)
    rootfs.ensure_target(kernelfs.SHM, is_directory=True)
    linux.attach_tree(setup.shared_memory, kernelfs.SHM)
    kernelfs.make_devices(setup.devices)
    os.umask(0o022)
    for path in setup.config.hide:
        kernelfs.hide(path)


def protect_kernel(setup: Setup) -> None:
    """Before there are volumes: a link in one of them must not lead a mask elsewhere (runc's CVE-2025-31133)."""
    if not setup.config.privileged:
        kernelfs.protect_kernel(setup.machine.protection)


def forbid_devices(setup: Setup) -> None:
    """Where no cgroup can."""
    if setup.without_devices:
        kernelfs.forbid_devices()


def use_terminal(setup: Setup) -> None:
    if setup.config.tty:
        master, *streams = open_terminal()
        use_streams(*streams)
        hand_over(setup.channel, master)


def mount_volumes(setup: Setup) -> None:
    """Outer ones first. The root is the container's already, so no symbolic link leads out of it."""
    for volume in sorted(setup.volumes, key=lambda volume: volume.mount.container_path.rstrip('/').count('/')):
        target = os.path.realpath(volume.mount.container_path)
        rootfs.ensure_target(target, volume.is_directory)
        linux.attach_tree(volume.tree, target)


def enter_working_directory(setup: Setup) -> None:
    enter_directory(setup.config.working_dir)
    if setup.config.read_only_root:
        linux.mount('', '/', flags=linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY)


def enter_directory(path: str) -> None:
    """Made where missing, as container runtimes do. OSError ENOENT when it is not in the container.

    With all rights, so no link of /proc that leads to another's files may be followed, as /proc/1/root is one with
    the machine's process ids: realpath takes it for its text. getcwd tells when a race has led out all the same.
    """
    real = os.path.realpath(path or '/')
    os.makedirs(real, exist_ok=True)
    os.chdir(real)
    os.getcwd()


def become_user(setup: Setup) -> None:
    setup.user = credentials.find_user(setup.config)
    own_streams(setup.user)
    credentials.become(setup.user, setup.rights, setup.filter)


STAGES: tuple[tuple[str, Callable[[Setup], None]], ...] = (
    ('joining its cgroups', join_cgroups),
    ('opening the volumes', open_volumes),
    ('looking at the machine', open_machine),
    ('entering the network namespace', enter_network),
    ('making namespaces', make_namespaces),
    ('closing descriptors', close_others),
    ('mounting the root file system', mount_root),
    ('mounting /proc, /sys and /dev', mount_kernel),
    ('protecting /proc and /sys', protect_kernel),
    ('forbidding devices', forbid_devices),
    ('opening the terminal', use_terminal),
    ('mounting the volumes', mount_volumes),
    ('entering the working directory', enter_working_directory),
    ('changing the user', become_user),
)


class StageError(Exception):
    """A stage failed; the message says which, on what, and the errno in words."""


def run_stages(setup: Setup) -> None:
    for name, stage in STAGES:
        try:
            stage(setup)
        except OSError as error:
            about = f'{error.filename}: ' if error.filename else ''
            raise StageError(f'error during container init: {name}: {about}{lookup.in_words(error)}') from error


def environment(config: ContainerConfig, home: str) -> dict[str, str]:
    """The container's own variables, and those that a container runtime adds."""
    added = {'PATH': lookup.DEFAULT_PATH, 'HOSTNAME': config.hostname, 'HOME': home}
    return {**added, **({'TERM': 'xterm'} if config.tty else {}), **config.env}


def execute(argv: tuple[str, ...], env: dict[str, str]) -> None:
    """Never returns; CommandError when there is nothing to execute."""
    lookup.execute(lookup.find_executable(argv[0], env['PATH']), argv, env)


def close_descriptors(kept: set[int]) -> None:
    """All but these and the standard streams."""
    first = 3
    for fd in sorted(fd for fd in kept if fd > 2):
        linux.close_range(first, fd - 1)
        first = fd + 1
    linux.close_range(first)


def use_streams(stdin: int, stdout: int, stderr: int) -> None:
    """Makes these the standard streams; every other descriptor is closed by exec."""
    copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in (stdin, stdout, stderr)]  # none is overwritten
    for target, copy in enumerate(copies):
        os.dup2(copy, target)


def own_streams(user: credentials.User) -> None:
    """So that a program that is not root may open /dev/stdout; never a device of the machine, such as /dev/null."""
    for fd in (0, 1, 2) if user.uid else ():
        if stat.S_ISFIFO(os.fstat(fd).st_mode) or os.isatty(fd):
            os.fchown(fd, user.uid, -1)
