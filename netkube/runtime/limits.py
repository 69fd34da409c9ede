"""Holding a container to its limits, by the cgroup controllers wherever a machine has them.

A machine has cgroup v2 only, v1 only, or both trees with each controller on one of them ("hybrid"). In v2 the
container's own cgroup, in which it is tracked, gets the limits; in v1 it gets one of its own in each controller's tree.
Source: Linux Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from netkube.runtime import cgroup
from netkube.runtime.cri import LinuxContainerResources

CPU_PERIOD = 100_000  # microseconds, as the kubelet
CONTROLLERS = ('cpu', 'memory', 'pids')
OPTIONAL = ('memory.memsw.limit_in_bytes', 'memory.swap.max', 'memory.oom.group')  # not in every kernel
OOM_FILES = {1: 'memory.oom_control', 2: 'memory.events'}


class Controller(NamedTuple):
    version: int
    root: str  # where its tree is mounted


def render_settings(version: int, wanted: LinuxContainerResources) -> dict[str, list[tuple[str, str]]]:
    """What to write to which files, in order, by controller."""
    settings: dict[str, list[tuple[str, str]]] = {}
    if wanted.cpu_quota:
        v1 = [('cpu.cfs_period_us', str(CPU_PERIOD)), ('cpu.cfs_quota_us', str(wanted.cpu_quota))]
        settings['cpu'] = v1 if version == 1 else [('cpu.max', f'{wanted.cpu_quota} {CPU_PERIOD}')]
    if wanted.memory_limit:
        limit = str(wanted.memory_limit)
        v1 = [('memory.limit_in_bytes', limit), ('memory.memsw.limit_in_bytes', limit)]
        v2 = [('memory.max', limit), ('memory.swap.max', '0'), ('memory.oom.group', '1')]
        settings['memory'] = v1 if version == 1 else v2
    if wanted.pids_limit:
        settings['pids'] = [('pids.max', str(wanted.pids_limit))]
    return settings


def find_controllers(name: str) -> dict[str, Controller]:
    """Those that can be used below a cgroup of this name, which is made ready in v2."""
    found: dict[str, Controller] = {}
    with open('/proc/self/mountinfo') as table:
        for line in table:
            left, _, right = line.partition(' - ')
            kind, _, options = right.split()[:3]
            root = left.split(' ')[4]
            if kind == 'cgroup' and os.access(root, os.W_OK):
                found |= {one: Controller(1, root) for one in options.split(',') if one in CONTROLLERS}
            elif kind == 'cgroup2':
                found |= {one: Controller(2, root) for one in CONTROLLERS if _enable(one, root, f'{root}/{name}')}
    return found


def _enable(controller: str, *paths: str) -> bool:
    """For the children of each of these cgroups of the v2 tree."""
    try:
        for path in paths:
            cgroup.write(f'{path}/cgroup.subtree_control', f'+{controller}')
    except OSError:  # it is on a v1 tree, or the tree is not ours to change
        return False
    return True


class Confinement:
    """The limits of one container; without any it costs nothing."""

    def __init__(
        self, controllers: dict[str, Controller], name: str, path: str, wanted: LinuxContainerResources
    ) -> None:
        """``name`` is the container's cgroup below each v1 tree, ``path`` its directory in the v2 tree, if any."""
        self._path, self._wanted = path, wanted
        self._controllers = {one: controllers[one] for one in render_settings(1, wanted) if one in controllers}
        self._own = {
            one: f'{controller.root}/{name}'
            for one, controller in self._controllers.items()
            if controller.version == 1
        }

    def apply(self) -> None:
        """Before the container starts. OSError when the kernel refuses; nothing is left then."""
        try:
            for one, controller in self._controllers.items():
                self._apply(one, controller)
        except OSError:
            self.remove()
            raise

    def _apply(self, name: str, controller: Controller) -> None:
        directory = self._own.get(name, self._path)
        if controller.version == 1:
            os.makedirs(directory, exist_ok=True)
        else:
            cgroup.write(f'{os.path.dirname(self._path)}/cgroup.subtree_control', f'+{name}')
        for file, text in render_settings(controller.version, self._wanted)[name]:
            try:
                cgroup.write(f'{directory}/{file}', text)
            except FileNotFoundError:
                if file not in OPTIONAL:
                    raise

    @property
    def joined(self) -> tuple[str, ...]:
        """The cgroups of v1 that its processes have to join; in that of v2 they are born."""
        return tuple(self._own.values())

    def oom_kills(self) -> int:
        """How many of its processes the kernel has killed for want of memory."""
        if 'memory' not in self._controllers:
            return 0
        file = OOM_FILES[self._controllers['memory'].version]
        with open(f'{self._own.get("memory", self._path)}/{file}') as counters:
            values = dict(line.split() for line in counters)
        return int(values.get('oom_kill', 0))

    def remove(self) -> None:
        """After its last process; what is not there is removed."""
        for directory in self._own.values():
            cgroup.remove(directory)


def join(directories: Iterable[str]) -> None:
    """In the child: from here on the limits of v1 count; those of v2 did from its first instruction."""
    for directory in directories:
        cgroup.write(f'{directory}/cgroup.procs', '0')


def teardown(name: str) -> None:
    """Removes what a killed runtime left in the v1 trees, when its processes have ended."""
    with open('/proc/self/mountinfo') as table:
        mounts = [line.partition(' - ') for line in table]
    for left, _, right in mounts:
        if right.startswith('cgroup '):
            cgroup.dissolve(f'{left.split(" ")[4]}/{name}')
