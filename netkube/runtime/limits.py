"""Cgroup values of Pods and containers, by the controllers wherever a machine has them.

A machine has cgroup v2 only, v1 only, or both trees with each controller on one of them ("hybrid"). In v2 the cgroups
in which Pods and containers are tracked get the values. In v1 a Pod gets one of its own in the tree of each controller
it has values for, and its containers theirs below it; Pods that ask for nothing share one, ``besteffort``.
Source: Linux Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/; the kubelet's and runc's use of them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from netkube.runtime import cgroup
from netkube.runtime.cri import MIN_SHARES, LinuxContainerResources

CPU_PERIOD = 100_000  # microseconds, as the kubelet
CONTROLLERS = ('cpu', 'memory', 'pids')
OPTIONAL = ('memory.memsw.limit_in_bytes', 'memory.swap.max', 'memory.oom.group')  # not in every kernel
OOM_FILES = {1: 'memory.oom_control', 2: 'memory.events'}
SHARED = 'besteffort'
LEAST = [('cpu.shares', str(MIN_SHARES))]


class Controller(NamedTuple):
    version: int
    root: str  # where its tree is mounted


def weight_of(shares: int) -> int:
    """cgroup v2's for v1's (runc 1.3.2, crun 1.23): 2 is 1, 1024 is 100, 262144 is 10000."""
    log = math.log2(shares)
    return math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34)) if shares > MIN_SHARES else 1


def render_pod_settings(version: int, wanted: LinuxContainerResources) -> dict[str, list[tuple[str, str]]]:
    """What to write to which files, in order, by controller."""
    settings: dict[str, list[tuple[str, str]]] = {}
    shares, quota, memory = wanted.cpu_shares, wanted.cpu_quota, wanted.memory_limit
    if shares:
        settings['cpu'] = [('cpu.shares', str(shares)) if version == 1 else ('cpu.weight', str(weight_of(shares)))]
    if quota:
        v1 = [('cpu.cfs_period_us', str(CPU_PERIOD)), ('cpu.cfs_quota_us', str(quota))]
        settings.setdefault('cpu', []).extend(v1 if version == 1 else [('cpu.max', f'{quota} {CPU_PERIOD}')])
    if memory:
        settings['memory'] = [('memory.limit_in_bytes' if version == 1 else 'memory.max', str(memory))]
    if wanted.pids_limit:
        settings['pids'] = [('pids.max', str(wanted.pids_limit))]
    return settings


def render_settings(version: int, wanted: LinuxContainerResources) -> dict[str, list[tuple[str, str]]]:
    """A container does not swap instead of staying within its memory, and is killed as a whole."""
    settings = render_pod_settings(version, wanted)
    if 'memory' in settings:
        v1 = [('memory.memsw.limit_in_bytes', str(wanted.memory_limit))]
        settings['memory'] += v1 if version == 1 else [('memory.swap.max', '0'), ('memory.oom.group', '1')]
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


class Change(NamedTuple):
    """What one controller is told."""

    controller: str
    version: int
    directory: str
    settings: list[tuple[str, str]]


class Confinement:
    """The cgroup values of a Pod, or of a container below its Pod's; without any it costs nothing."""

    def __init__(self, changes: Iterable[Change], places: Mapping[str, str]) -> None:
        """``places`` is where its processes go in each v1 tree."""
        self._changes, self.places = tuple(changes), places

    def apply(self) -> None:
        """Before a process is in it. OSError when the kernel refuses; nothing is left then."""
        try:
            for change in self._changes:
                _apply(change)
        except OSError:
            self.remove()
            raise

    @property
    def joined(self) -> tuple[str, ...]:
        """The cgroups of v1 that its processes have to join; in that of v2 they are born."""
        return tuple(self.places.values())

    def oom_kills(self) -> int:
        """How many of its processes the kernel has killed for want of memory."""
        for change in self._changes:
            if change.controller == 'memory':
                with open(f'{change.directory}/{OOM_FILES[change.version]}') as counters:
                    return int(dict(line.split() for line in counters).get('oom_kill', 0))
        return 0

    def remove(self) -> None:
        """After its last process; what is not there is removed."""
        for change in self._changes:
            if change.version == 1:
                cgroup.remove(change.directory)


def plan_pod(
    controllers: Mapping[str, Controller], name: str, path: str, id: str, wanted: LinuxContainerResources
) -> Confinement:
    """``name`` is ours below each v1 tree, ``path`` the Pod's directory in the v2 tree, if any."""
    changes, places = [], {}
    for one, settings in render_pod_settings(1, wanted).items():
        if one not in controllers:
            continue
        version, root = controllers[one]
        if version == 2:
            changes.append(Change(one, 2, path, render_pod_settings(2, wanted)[one]))
        elif settings == LEAST:
            places[one] = f'{root}/{name}/{SHARED}'
        else:
            places[one] = f'{root}/{name}/{id}'
            changes.append(Change(one, 1, places[one], settings))
    return Confinement(changes, places)


def plan_container(
    controllers: Mapping[str, Controller], name: str, path: str, id: str, wanted: LinuxContainerResources,
    pod: Confinement, pod_shares: int,
) -> Confinement:  # fmt: skip
    """``path`` is the container's directory in the v2 tree. Who asks for nothing among its equals needs no values."""
    changes, places = [], dict(pod.places)
    for one, settings in render_settings(1, wanted).items():
        if one not in controllers or (settings == LEAST and pod_shares <= MIN_SHARES):
            continue
        version, root = controllers[one]
        if version == 2:
            changes.append(Change(one, 2, path, render_settings(2, wanted)[one]))
        else:
            above = places.get(one, '')
            if not above or above.endswith(f'/{SHARED}'):
                above = f'{root}/{name}'
            places[one] = f'{above}/{id}'
            changes.append(Change(one, 1, places[one], settings))
    return Confinement(changes, places)


def weigh_all(controllers: Mapping[str, Controller], name: str) -> dict[str, Controller]:
    """All Pods together count as much as the machine has CPUs, as below the kubelet's ``kubepods``.

    Returns the controllers that can be used: not that of the CPU, where it cannot be told this.
    """
    shares = 1024 * len(os.sched_getaffinity(0))
    if (cpu := controllers.get('cpu')) is None:
        return dict(controllers)
    try:
        if cpu.version == 2:
            cgroup.write(f'{cpu.root}/{name}/cpu.weight', str(weight_of(shares)))
        else:
            _apply(Change('cpu', 1, f'{cpu.root}/{name}', [('cpu.shares', str(shares))]))
            _apply(Change('cpu', 1, f'{cpu.root}/{name}/{SHARED}', LEAST))
    except OSError:  # read-only, or no name for a cgroup
        return {one: controller for one, controller in controllers.items() if one != 'cpu'}
    return dict(controllers)


def _apply(change: Change) -> None:
    if change.version == 1:
        os.makedirs(change.directory, exist_ok=True)
    else:
        cgroup.write(f'{os.path.dirname(change.directory)}/cgroup.subtree_control', f'+{change.controller}')
    for file, text in change.settings:
        try:
            cgroup.write(f'{change.directory}/{file}', text)
        except FileNotFoundError:
            if file not in OPTIONAL:
                raise


def join(directories: Iterable[str], oom_score_adj: int) -> None:
    """In the child, which has one thread: from here on v1's values count; v2's did from its first instruction.

    ``tasks`` with 0 is what spares the kernel from waiting until nobody forks (cgroup_procs_write_start).
    """
    for directory in directories:
        cgroup.write(f'{directory}/tasks', '0')
    if not oom_score_adj:
        return
    try:
        cgroup.write('/proc/self/oom_score_adj', str(oom_score_adj))
    except PermissionError:  # lower than ours, without CAP_SYS_RESOURCE: as containerd's restrict_oom_score_adj
        return


def teardown(name: str) -> None:
    """Removes what a killed runtime left in the v1 trees, when its processes have ended."""
    with open('/proc/self/mountinfo') as table:
        mounts = [line.partition(' - ') for line in table]
    for left, _, right in mounts:
        if right.startswith('cgroup '):
            cgroup.dissolve(f'{left.split(" ")[4]}/{name}')
