"""From a container's record to its process, and from the process' end back to the record."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import NamedTuple

from netkube.runtime import cgroup, descriptors
from netkube.runtime.attachment import Attachment, Tap
from netkube.runtime.container import Container, Exit, exit_of
from netkube.runtime.credentials import USER
from netkube.runtime.cri import NODE, ContainerConfig, ContainerStatus, CriError, Mount, record_of
from netkube.runtime.exec import Command
from netkube.runtime.execution import Execution
from netkube.runtime.logs import LogFile, LogStream
from netkube.runtime.loop import Loop
from netkube.runtime.mounts import MachineMounts
from netkube.runtime.namespaces import SharedMemory
from netkube.runtime.netns import path_of
from netkube.runtime.nursery import Birth, Nursery
from netkube.runtime.population import when_empty
from netkube.runtime.sandbox import INIT_NAME, Sandbox
from netkube.runtime.terminal import TTY

_WORD_BYTES = 4096


class Pipes(NamedTuple):
    """The child's ends of its standard streams, and ours: ``input`` is -1 without one, outputs have their names."""

    stdin: int
    stdout: int
    stderr: int
    input: int = -1
    outputs: tuple[tuple[int, str], ...] = ()

    @property
    def theirs(self) -> tuple[int, int, int]:
        return self.stdin, self.stdout, self.stderr


class Run(NamedTuple):
    """The descriptors of one started container, until it has exited."""

    container: Container
    channel: socket.socket  # the child's word on its start; closed by a successful exec
    log: LogFile


class Launcher:
    def __init__(
        self, loop: Loop, nursery: Nursery, mounts: MachineMounts, now: Callable[[], float] = time.time
    ) -> None:
        self._loop = loop
        self._nursery = nursery
        self._mounts = mounts
        self._now = now
        self.devices = nursery.machine.devices.kind  # how the list of devices is enforced
        self.shared_memory = SharedMemory(nursery.machine.rootfs)
        self._null = os.open('/dev/null', os.O_RDWR | os.O_CLOEXEC)
        self.on_change: Callable[[ContainerStatus], None] = lambda status: None

    def start(self, container: Container, pod: Sandbox) -> None:
        """Returns at once; ``container.begun`` opens when its program runs, or could not be started."""
        config = _with_own_files(container)
        with ExitStack() as undo, ExitStack() as theirs:
            log = LogFile(config.log_path)
            undo.callback(log.close)
            channel, word = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.callback(channel.close)
            theirs.callback(word.close)
            pipes = Pipes(self._null, self._null, self._null) if config.tty else self._open_pipes(config, undo, theirs)
            container.pid = self._bear(container, pod, config, (word.fileno(), *pipes.theirs))
            undo.pop_all()
        container.alive = True
        container.log = log
        container.stdin = pipes.input
        run = Run(container, channel, log)
        self._loop.watch(channel.fileno(), lambda: self._take_word(run))
        self._loop.on_exit(container.pid, lambda status: self._take_exit(run, status))
        for fd, name in pipes.outputs:
            self._follow(run, fd, name)

    def refuse(self, container: Container, words: str) -> None:
        """For whom nobody waits to hear of a failure: it is the container's own end then."""
        container.refusal = f'error during container init: joining the process ids: {words}'
        self._end_container(container, Exit(0, 0))

    def _bear(self, container: Container, pod: Sandbox, config: ContainerConfig, fds: Sequence[int]) -> int:
        """Into the pid namespace that the Pod asks for: a new one, that of its process 1, or ours."""
        template = self._mounts.template()
        layers = [(config.rootfs, True)] if config.rootfs else [tuple(layer) for layer in template.layers]
        arguments = {
            'config': record_of(config),
            'groups': container.confinement.joined,
            'layers': layers,
            'netns': path_of(pod.config.netns) if pod.config.netns else '',
            'shared_memory': '' if pod.config.namespaces.ipc == NODE else pod.config.id,
            'directory': container.directory,
        }
        role = 'init' if config.name == INIT_NAME else 'container'
        if config.privileged:
            self._nursery.machine.devices.free(container.cgroup_path)
        fds = (*fds, pod.namespaces.uts, pod.namespaces.ipc, template.namespace, self.shared_memory.namespace)
        birth = Birth(role, arguments, fds, container.cgroup_path, first=container.first_is_all)
        if container.first_is_all or pod.init is None:
            return self._nursery.bear(birth)
        return self._bear_beside(pod.init.pid, birth)

    def _bear_beside(self, pid: int, birth: Birth) -> int:
        pidfd = os.pidfd_open(pid)
        try:
            return self._nursery.bear(birth._replace(beside=pidfd))
        finally:
            os.close(pidfd)

    def _open_pipes(self, config: ContainerConfig, undo: ExitStack, theirs: ExitStack) -> Pipes:
        (out, stdout), (err, stderr) = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
        stdin, ours = os.pipe2(os.O_CLOEXEC) if config.stdin else (self._null, -1)
        for fd in (out, err, *([ours] if config.stdin else ())):
            undo.callback(os.close, fd)
        for fd in (stdout, stderr, *([stdin] if config.stdin else ())):
            theirs.callback(os.close, fd)
        return Pipes(stdin, stdout, stderr, ours, ((out, 'stdout'), (err, 'stderr')))

    def _follow(self, run: Run, fd: int, name: str) -> None:
        stream = LogStream(fd, name, run.log)
        run.container.streams.append(stream)
        self._loop.watch(fd, partial(self._pump, stream))

    def _pump(self, stream: LogStream) -> None:
        if not stream.pump():
            self._loop.unwatch(stream.fd)

    def _take_word(self, run: Run) -> None:
        """Silence means that exec has closed the channel. A terminal and the user come before."""
        word, fds = descriptors.receive(run.channel, _WORD_BYTES, 1)
        if word == TTY:
            run.container.stdin = os.dup(fds[0]) if run.container.config.stdin else -1
            self._follow(run, fds[0], 'stdout')
            return
        if word.startswith(USER):
            run.container.see_user(word.removeprefix(USER))
            return
        run.container.refusal = word.decode(errors='replace')
        self._loop.unwatch(run.channel.fileno())
        run.channel.close()
        if not run.container.refusal:
            run.container.started(self._now())
            run.container.begun.open()  # who started it is answered first: the event is no news then
            self._report(run.container)

    def _report(self, container: Container) -> None:
        if container.config.name != INIT_NAME:
            self.on_change(container.status)

    def _take_exit(self, run: Run, wait_status: int) -> None:
        """Its other processes go with the first one: by the kernel, where that was process 1, or else by us."""
        run.container.pid = 0  # it may be another's from now on
        if run.container.first_is_all:
            self._end(run, wait_status)
        else:
            cgroup.kill(run.container.cgroup_path)
            when_empty(self._loop, run.container.cgroup_path, partial(self._end, run, wait_status))

    def _end(self, run: Run, wait_status: int) -> None:
        while run.channel.fileno() >= 0:  # the end came to our notice before the start
            self._take_word(run)
        for stream in run.container.streams:
            self._loop.unwatch(stream.fd)
            stream.close()
        run.container.close_stdin()
        run.log.close()
        self._end_container(run.container, exit_of(wait_status))

    def _end_container(self, container: Container, exit: Exit) -> None:
        container.exited(exit, self._now())
        self._report(container)
        container.begun.open()
        container.gone.open()

    def execute(self, container: Container, command: Command) -> Execution:
        """CriError when the container does not run."""
        if not container.pid:
            raise CriError('FailedPrecondition', f'container {container.config.id!r} is not running')
        streams = (self._null if fd < 0 else fd for fd in command.streams)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pidfd = os.pidfd_open(container.pid)
        arguments = {
            'config': record_of(container.config),
            'groups': container.confinement.joined,
            'argv': command.argv,
            'tty': command.tty,
        }
        try:
            fds = (theirs.fileno(), pidfd, *streams)
            pid = self._nursery.bear(Birth('command', arguments, fds, container.cgroup_path, beside=pidfd))
        except OSError:
            ours.close()
            raise
        finally:
            os.close(pidfd)
            theirs.close()
        return Execution(self._loop, pid, ours)

    def attach(self, container: Container, outputs: dict[str, int], stdin: bool) -> Attachment:
        """``outputs`` are write ends, by 'stdout' and 'stderr'; they are the attachment's from now on."""
        if not container.pid:
            raise CriError('FailedPrecondition', f'container {container.config.id!r} is not running')
        taps = {name: Tap(self._loop, fd) for name, fd in outputs.items()}
        return Attachment(container, taps, container.hand_out_stdin() if stdin else -1)


def _with_own_files(container: Container) -> ContainerConfig:
    """With the mounts of /etc/hostname and of the termination log, unless the caller has mounts there."""
    config, own = container.config, []
    with suppress(FileExistsError):  # an earlier try to start it came this far
        os.mkdir(container.directory, 0o700)
    if config.hostname:
        _create(container.hostname_file, 0o644, config.hostname + '\n')
        own.append(Mount(container.hostname_file, '/etc/hostname'))
    if container.termination_log:
        _create(container.termination_log, 0o666)  # whoever the container runs as may write to it
        own.append(Mount(container.termination_log, config.termination_log))
    taken = {mount.container_path for mount in config.mounts}
    return config._replace(mounts=(*(mount for mount in own if mount.container_path not in taken), *config.mounts))


def _create(path: str, mode: int, text: str = '') -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.fchmod(file, mode)
    os.write(file, text.encode())
    os.close(file)
