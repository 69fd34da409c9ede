"""CRI's verbs: what the server does for its clients.

Arguments and results are JSON objects. A verb that has to wait for processes returns an ``After``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, NamedTuple

from netkube.runtime import cgroup, cri, netns
from netkube.runtime.attachment import Attachment
from netkube.runtime.container import Container
from netkube.runtime.credentials import CAPABILITIES
from netkube.runtime.cri import CONTAINER, POD, ContainerConfig, CriError, Record, SandboxConfig, record_of
from netkube.runtime.exec import Command
from netkube.runtime.execution import Execution
from netkube.runtime.gate import Gate
from netkube.runtime.launch import Launcher
from netkube.runtime.limits import find_controllers, plan_container, plan_pod, weigh_all
from netkube.runtime.lookup import in_words
from netkube.runtime.loop import Loop
from netkube.runtime.mounts import MachineMounts
from netkube.runtime.namespaces import NamespaceMaker
from netkube.runtime.nursery import Nursery
from netkube.runtime.sandbox import INIT_NAME, Sandbox, init_config
from netkube.runtime.trees import Trash

VERSION = '1'
Result = dict[str, Any]


class After(NamedTuple):
    """The rest of a verb, to be done when all these gates are open."""

    gates: list[Gate]
    rest: Callable[[], Result]


class RuntimeService:
    """``directory`` is ours alone; ``cgroup_path`` is '' where the machine has no cgroup v2 tree for us.

    ``cgroup_name`` is ours below each tree.
    """

    def __init__(
        self,
        loop: Loop,
        nursery: Nursery,
        directory: str,
        cgroup_name: str,
        cgroup_path: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._loop = loop
        self._directory = directory
        self._cgroup_name, self._cgroup_path = cgroup_name, cgroup_path
        self._controllers = weigh_all(find_controllers(cgroup_name), cgroup_name)
        self._now = now
        self._sandboxes: dict[str, Sandbox] = {}
        self._containers: dict[str, Container] = {}
        self._closing = False
        self._mounts = MachineMounts(directory)
        self._namespaces = NamespaceMaker()
        self._trash = Trash(loop, f'{directory}/trash')
        os.makedirs(f'{directory}/containers', exist_ok=True)
        self.launcher = Launcher(loop, nursery, self._mounts, now)

    def _require_open(self) -> None:
        if self._closing:
            raise CriError('FailedPrecondition', 'the runtime is shutting down')

    def version(self) -> Result:
        controllers = sorted(self._controllers)
        return {
            'version': VERSION, 'pid': os.getpid(), 'cgroup': self._cgroup_path, 'controllers': controllers,
            'devices': self.launcher.devices, 'layers': f'{self._directory}/containers',
        }  # fmt: skip

    def run_pod_sandbox(self, config: Record) -> Result:
        self._require_open()
        asked = cri.sandbox_config(config)
        _check_id(asked.id)
        if asked.id in self._sandboxes:
            raise CriError('AlreadyExists', f'sandbox {asked.id!r} exists')
        _check_id(asked.netns)
        if asked.namespaces.pid != CONTAINER and not self._cgroup_path:
            raise CriError('FailedPrecondition', 'shared process ids need a cgroup v2 tree, which this machine has not')
        self._mounts.change(lambda: self._make_sandbox(asked))
        return {}

    def _make_sandbox(self, asked: SandboxConfig) -> None:
        with ExitStack() as undo:
            path = cgroup.create_below(self._cgroup_path, asked.id)
            undo.callback(cgroup.remove, path)
            self.launcher.shared_memory.create(asked.id)
            undo.callback(self.launcher.shared_memory.delete, asked.id)
            confinement = plan_pod(self._controllers, self._cgroup_name, path, asked.id, asked.resources)
            confinement.apply()
            undo.callback(confinement.remove)
            namespaces = self._namespaces.make(asked)
            undo.pop_all()
        self._sandboxes[asked.id] = Sandbox(asked, path, confinement, namespaces, self._now())

    def stop_pod_sandbox(self, id: str) -> After:
        """Kills what runs in it, and answers when that has ended. An unknown one is stopped."""
        sandbox = self._sandboxes.get(id)
        if sandbox is not None:
            sandbox.status = sandbox.status._replace(state=cri.NOT_READY)
        return self._kill(self._all_of(id), lambda: {})

    def remove_pod_sandbox(self, id: str) -> After:
        """With its containers, running or not. An unknown one is removed."""
        self.stop_pod_sandbox(id)
        return self._kill(self._all_of(id), lambda: self._forget_sandbox(id))

    def list_pod_sandboxes(self) -> Result:
        return {'items': [record_of(sandbox.status) for sandbox in self._sandboxes.values()]}

    def create_container(self, config: Record) -> Result:
        asked = cri.container_config(config)
        _check_container(asked)
        sandbox = self._sandboxes.get(asked.sandbox_id)
        if sandbox is None or sandbox.status.state != cri.READY:
            raise CriError('NotFound', f'there is no ready sandbox {asked.sandbox_id!r}')
        if asked.id in self._containers:
            raise CriError('AlreadyExists', f'container {asked.id!r} exists')
        made = self._make_container(asked, sandbox)
        self._containers[asked.id] = sandbox.containers[asked.id] = made
        return {}

    def _make_container(self, asked: ContainerConfig, sandbox: Sandbox) -> Container:
        asked = asked._replace(hostname=asked.hostname or sandbox.config.hostname)
        path = cgroup.create_below(sandbox.cgroup_path, asked.id)
        confinement = plan_container(
            self._controllers, self._cgroup_name, path, asked.id, asked.resources, sandbox.confinement,
            sandbox.config.resources.cpu_shares,
        )  # fmt: skip
        try:
            confinement.apply()
        except OSError:
            cgroup.remove(path)
            raise
        directory = f'{self._directory}/containers/{asked.id}'
        own = sandbox.config.namespaces.pid == CONTAINER or asked.name == INIT_NAME
        return Container(asked, path, confinement, directory, self._now(), first_is_all=own)

    def start_container(self, id: str) -> After:
        """Answers with the status when the program runs, or could not be started (reason StartError)."""
        self._require_open()
        container = self._get_container(id)
        if container.alive or container.status.state != cri.CREATED:
            raise CriError('FailedPrecondition', f'container {id!r} has been started before')
        sandbox = self._sandboxes[container.config.sandbox_id]
        if sandbox.status.state != cri.READY:
            raise CriError('FailedPrecondition', f'sandbox {sandbox.config.id!r} is stopped')
        if sandbox.config.namespaces.pid == POD:
            self._start_after_init(sandbox, container)
        else:
            self.launcher.start(container, sandbox)
        return After([container.begun], lambda: record_of(container.status))

    def _start_after_init(self, sandbox: Sandbox, container: Container) -> None:
        """Process 1 first becomes its program: until then it has the machine's files in sight."""
        self._loop.reap()  # it may have ended without our having noticed
        container.alive = True
        if sandbox.init is None or not sandbox.init.alive:
            sandbox.init = self._start_init(sandbox, container.config)
        sandbox.init.begun.then(lambda: self._join_init(sandbox, container))

    def _join_init(self, sandbox: Sandbox, container: Container) -> None:
        init = sandbox.init
        assert init is not None
        try:
            self.launcher.start(container, sandbox)
        except OSError as error:
            if init.alive and init.pid and isinstance(error, ProcessLookupError):  # it is ending: another one, then
                init.gone.then(lambda: self._start_after_init(sandbox, container))
            else:
                self.launcher.refuse(container, init.refusal or in_words(error))

    def _start_init(self, sandbox: Sandbox, first: ContainerConfig) -> Container:
        last = sandbox.init
        if last is not None:
            self._discard(last)
        attempt = last.config.attempt + 1 if last is not None else 0
        init = self._make_container(init_config(sandbox.config, attempt, first), sandbox)
        self.launcher.start(init, sandbox)
        return init

    def stop_container(self, id: str, grace_seconds: float) -> Result:
        """Asks it to end, and kills it when the time is up; answers at once. One that does not run is stopped."""
        container = self._containers.get(id)
        if container is None or not container.pid:
            return {}
        if grace_seconds <= 0 or container.status.state == cri.CREATED:
            container.kill()
            return {}
        container.signal(container.config.stop_signal)
        deadline = time.monotonic() + grace_seconds
        if deadline < container.kill_at:
            container.kill_at = deadline
            self._loop.call_after(grace_seconds, container.kill)
        return {}

    def remove_container(self, id: str) -> Result | After:
        """Kills it if it runs; its files go in the background. An unknown one is removed."""
        container = self._containers.get(id)
        if container is None:
            return {}
        return self._kill([container], lambda: self._forget_container(container))

    def list_containers(self) -> Result:
        return {'items': [record_of(container.status) for container in self._containers.values()]}

    def execute(self, id: str, command: Command) -> Execution:
        return self.launcher.execute(self._get_container(id), command)

    def attach(self, id: str, outputs: dict[str, int], stdin: bool) -> Attachment:
        return self.launcher.attach(self._get_container(id), outputs, stdin)

    def shutdown(self) -> After:
        """Kills and removes everything, then ends the server."""
        self._closing = True

        def finish() -> Result:
            for sandbox in list(self._sandboxes):
                self._forget_sandbox(sandbox)
            self._loop.call_after(0, self._loop.stop)
            return {}

        return self._kill([*self._containers.values(), *_inits(self._sandboxes.values())], finish)

    def _kill(self, containers: list[Container], rest: Callable[[], Result]) -> After:
        running = [container for container in containers if container.alive]
        for container in running:
            container.kill()
        return After([container.gone for container in running], rest)

    def _forget_container(self, container: Container) -> Result:
        """The same one may have been removed by two clients."""
        if self._containers.get(container.config.id) is container:
            self._discard(container)
            del self._containers[container.config.id]
            del self._sandboxes[container.config.sandbox_id].containers[container.config.id]
        return {}

    def _discard(self, container: Container) -> None:
        container.confinement.remove()
        cgroup.remove(container.cgroup_path)
        self._trash.take(container.directory)

    def _forget_sandbox(self, id: str) -> Result:
        sandbox = self._sandboxes.get(id)
        if sandbox is not None:
            for container in tuple(sandbox.containers.values()):
                self._forget_container(container)
            for init in _inits([sandbox]):
                self._discard(init)
            if sandbox.config.namespaces.network == POD:
                self._mounts.change(lambda: netns.delete(sandbox.config.netns))
            sandbox.namespaces.close()
            self.launcher.shared_memory.delete(id)
            sandbox.confinement.remove()
            cgroup.remove(sandbox.cgroup_path)
            del self._sandboxes[id]
        return {}

    def _get_container(self, id: str) -> Container:
        try:
            return self._containers[id]
        except KeyError:
            raise CriError('NotFound', f'there is no container {id!r}') from None

    def _all_of(self, sandbox_id: str) -> list[Container]:
        """With process 1 of the sandbox."""
        sandbox = self._sandboxes.get(sandbox_id)
        return [*sandbox.containers.values(), *_inits([sandbox])] if sandbox else []


def _inits(sandboxes: Iterable[Sandbox]) -> list[Container]:
    return [sandbox.init for sandbox in sandboxes if sandbox.init is not None]


def _check_id(id: str) -> None:
    """It becomes a file's name."""
    if not id or '/' in id or id.startswith('.'):
        raise CriError('InvalidArgument', f'{id!r} cannot be an id')


def _check_container(config: ContainerConfig) -> None:
    _check_id(config.id)
    if not config.argv:
        raise CriError('InvalidArgument', f'container {config.id!r} has no command')
    unknown = sorted(set(config.capabilities) - set(CAPABILITIES))
    if unknown:
        raise CriError('InvalidArgument', f'unknown capabilities: {", ".join(unknown)}')
    relative = [mount.container_path for mount in config.mounts if not mount.container_path.startswith('/')]
    if relative:
        raise CriError('InvalidArgument', f'mounts on relative paths: {", ".join(relative)}')
