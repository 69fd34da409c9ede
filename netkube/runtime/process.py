"""The life of a container's process before its program: a table of stages, each run in the new child.

A stage that fails is named in the container's message; nothing of it is left, since all a stage makes belongs to
namespaces that end with the process.
"""

from __future__ import annotations

import fcntl
import os
import signal
import stat
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from netkube.runtime import credentials, kernelfs, limits, linux, lookup, namespaces, rootfs
from netkube.runtime.cri import (
    BIDIRECTIONAL,
    HOST_TO_CONTAINER,
    PRIVATE,
    ContainerConfig,
    Mount,
    Record,
    container_config,
)
from netkube.runtime.devices import DeviceControl
from netkube.runtime.mounts import Layer, read_mountinfo, require_propagation
from netkube.runtime.terminal import hand_over, open_terminal

PROPAGATIONS = {PRIVATE: linux.MS_PRIVATE, HOST_TO_CONTAINER: linux.MS_SLAVE, BIDIRECTIONAL: linux.MS_SHARED}


class Volume(NamedTuple):
    mount: Mount
    tree: int  # a detached copy of what is at the mount's host_path
    is_directory: bool


class Machine(NamedTuple):
    """What all containers are made from."""

    rootfs: str  # where a root is put together: each in a mount namespace of its own, so one place does for all
    file_systems: tuple[kernelfs.FileSystem, ...]
    protection: kernelfs.Protection
    capabilities: int  # our own, as a bit set
    devices: DeviceControl


def find_machine(rootfs: str, devices: DeviceControl, *, cgroups: bool) -> Machine:
    """``cgroups`` tells whether containers have some."""
    file_systems = (*kernelfs.FILE_SYSTEMS, kernelfs.CGROUP) if cgroups else kernelfs.FILE_SYSTEMS
    return Machine(rootfs, file_systems, kernelfs.find_protection(), linux.permitted_capabilities(), devices)


class Descriptors(NamedTuple):
    """What a new container gets from the server."""

    channel: int  # to the server: the word on its start; closed by a successful exec
    stdin: int
    stdout: int
    stderr: int
    uts: int  # namespaces; -1 is the one that it is born in
    ipc: int
    template: int  # the mount namespace that its own is a copy of
    shared_memory: int  # a mount namespace, see SharedMemory


class Setup:
    """What the stages need to know, and what they tell each other."""

    def __init__(
        self,
        machine: Machine,
        given: Descriptors,
        config: ContainerConfig,
        groups: tuple[str, ...],
        layers: list[Layer],
        netns: str,
        shared_memory: str,
        directory: str,
    ) -> None:
        self.machine = machine
        self.given = given
        self.config = config
        self.groups = groups  # to join
        self.layers = layers  # that the root is made of
        self.netns = netns  # a path
        self.shared_memory_name = shared_memory  # the Pod's; '' is the machine's
        self.directory = directory  # where the upper layers go
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
    limits.join(setup.groups, setup.config.resources.oom_score_adj)
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
    if setup.netns:
        namespace = os.open(setup.netns, os.O_RDONLY | os.O_CLOEXEC)
        linux.setns(namespace, linux.CLONE_NEWNET)


def make_namespaces(setup: Setup) -> None:
    """Those of the Pod are entered, those of the container are made."""
    given = setup.given
    if given.ipc >= 0:
        linux.setns(given.ipc, linux.CLONE_NEWIPC)
    linux.setns(given.uts, linux.CLONE_NEWUTS)
    setup.shared_memory = namespaces.open_shared_memory(given.shared_memory, setup.shared_memory_name)
    linux.setns(given.template, linux.CLONE_NEWNS)
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWCGROUP)


def close_others(setup: Setup) -> None:
    """What is left of the server's: some lead to the machine's files, by /proc/self/fd (runc's CVE-2024-21626)."""
    close_descriptors({setup.given.channel, setup.shared_memory, *(volume.tree for volume in setup.volumes)})


def mount_root(setup: Setup) -> None:
    os.umask(0)
    target = setup.machine.rootfs
    rootfs.mount_root(setup.layers, setup.config.hide, setup.directory, target)
    rootfs.enter_root(target)


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
        hand_over(setup.given.channel, master)


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
    os.write(setup.given.channel, credentials.word_of(setup.user))
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


def be_container(
    machine: Machine, fds: Sequence[int], config: Record, layers: list[tuple[str, bool]], **places: Any
) -> Callable[[], None]:
    """To be called in the child: it becomes the container's program, or says on the channel why not.

    ``places`` are the rest of what a Setup needs.
    """
    given = Descriptors(*fds)
    setup = Setup(machine, given, container_config(config), layers=[Layer(*layer) for layer in layers], **places)
    return partial(_become, setup)


def be_init(machine: Machine, fds: Sequence[int], *arguments: Any, **places: Any) -> Callable[[], None]:
    """As ``be_container``. The kernel reaps its children: an ignored SIGCHLD, which exec keeps, asks for that."""
    become = be_container(machine, fds, *arguments, **places)

    def ignore_children_and_become() -> None:
        linux.ignore_signal(signal.SIGCHLD)
        become()

    return ignore_children_and_become


def _become(setup: Setup) -> None:
    given = setup.given
    try:
        use_streams(given.stdin, given.stdout, given.stderr)
        run_stages(setup)
        execute(setup.config.argv, environment(setup.config, setup.user.home))
    except (StageError, lookup.CommandError) as error:
        os.write(given.channel, str(error).encode())


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
