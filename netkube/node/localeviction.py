"""Evicts Pods that use more of the disk than they may. Only Pods that have a limit are ever measured.

Each is looked at every two seconds, or the more rarely the longer that takes: no more than a twentieth of the time goes
into the looks at all that are quick, and into those at each that is not. Slow ones do not hold up the others.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from time import monotonic

import msgspec

from netkube.api.meta import Object
from netkube.node.config import NodeConfig
from netkube.node.diskusage import disk_usage, memory_usage
from netkube.node.localstorage import StorageLimits, StorageUsage, excess, is_on_disk, storage_limits
from netkube.node.podspec import all_containers, is_terminal, latest
from netkube.node.record import PodRecord
from netkube.node.volumes import VolumeRoots

INTERVAL = 2.0  # seconds between two looks at a Pod
REST = 20  # or so many times what the looks took
SLOW = 0.1  # seconds that a look may take before it is one of the slow

log = logging.getLogger(__name__)

Place = tuple[str, str]  # ('volume' or 'container', its name)


class Watched(msgspec.Struct):
    record: PodRecord
    limits: StorageLimits
    due: float
    took: float = 0.0  # the last look, seconds
    usage: dict[Place, int] = msgspec.field(default_factory=dict)


class LocalEviction:
    """``layers`` is the directory that has containers' own, by their ids; ``evict`` is told a Pod's excess."""

    def __init__(self, config: NodeConfig, layers: str, evict: Callable[[PodRecord, str], None]) -> None:
        self._config, self._layers, self._evict = config, layers, evict
        self._watched: dict[str, Watched] = {}
        self._changed = asyncio.Event()

    def watch(self, record: PodRecord, pod: Object) -> None:
        """The Pod runs, or is about to; called as often as you like."""
        if record.limited is None:
            limits = storage_limits(pod)
            record.limited = limits is not None
            if limits is not None:
                self._watched[record.uid] = Watched(record, limits, monotonic() + INTERVAL)
                self._changed.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as lanes:
            lanes.create_task(self._run_lane(lambda took: took < SLOW), name='disk usage')
            lanes.create_task(self._run_lane(lambda took: took >= SLOW), name='disk usage, slow')

    async def _run_lane(self, is_mine: Callable[[float], bool]) -> None:
        while True:
            mine = [watched for watched in self._alive() if is_mine(watched.took)]
            due = [watched for watched in mine if watched.due <= monotonic()]
            if not due:
                await self._await_due(min((watched.due for watched in mine), default=None))
                continue
            try:
                await self._look_at(due)
            except OSError as error:  # no room for another process, for example
                log.warning('the use of the disk cannot be measured: %s', error)
                for watched in due:
                    watched.due = monotonic() + INTERVAL

    async def _await_due(self, when: float | None) -> None:
        """Or until there is another Pod in a lane."""
        self._changed.clear()
        try:
            async with asyncio.timeout(None if when is None else when - monotonic()):
                await self._changed.wait()
        except TimeoutError:
            return

    def _alive(self) -> list[Watched]:
        """Those that may still grow; the others are forgotten."""
        for uid, watched in list(self._watched.items()):
            pod = watched.record.pod
            if pod is None or watched.record.gone or watched.record.failure or is_terminal(pod):
                del self._watched[uid]
        return list(self._watched.values())

    async def _look_at(self, due: list[Watched]) -> None:
        """Quick ones first; each is judged as soon as all of it has been counted."""
        due.sort(key=lambda watched: watched.took)
        owners: dict[str, tuple[Watched, Place]] = {}
        in_memory = await asyncio.to_thread(lambda: [self._in_memory(watched.record) for watched in due])
        for watched, used in zip(due, in_memory, strict=True):
            watched.usage = used
            owners.update({path: (watched, place) for path, place in self._places(watched.record).items()})
        at, since = 0, monotonic()
        async for path, size in disk_usage(owners):
            watched, place = owners[path]
            while due[at] is not watched:
                self._judge(due[at], since)
                at, since = at + 1, monotonic()
            watched.usage[place] = watched.usage.get(place, 0) + size
        for watched in due[at:]:
            self._judge(watched, since)
        self._rest(due)

    def _judge(self, watched: Watched, since: float) -> None:
        watched.took = monotonic() - since
        message = excess(watched.limits, _usage(watched.usage))
        if message:
            self._evict(watched.record, message)

    def _rest(self, looked_at: list[Watched]) -> None:
        now, quick = monotonic(), sum(watched.took for watched in looked_at if watched.took < SLOW)
        for watched in looked_at:
            watched.due = now + max(INTERVAL, REST * (quick if watched.took < SLOW else watched.took))
        self._changed.set()  # some may be in the other lane now

    def _places(self, record: PodRecord) -> Mapping[str, Place]:
        """The directories to count. Of a container that is its last attempt's layer, and all its logs."""
        pod, found = record.pod, dict[str, Place]()
        if pod is None:
            return found
        roots = VolumeRoots(self._config.pod_dir(record.uid), self._config.pod_memory_dir(record.uid))
        for volume in pod['spec'].get('volumes') or ():
            if is_on_disk(volume):
                found[str(roots.of(volume))] = 'volume', volume['name']
        for container in all_containers(pod):
            name = container['name']
            found[str(self._config.log_file(record.uid, name, 0).parent)] = 'container', name
            if (last := latest(record.containers.values(), name)) is not None:
                found[f'{self._layers}/{last.id}'] = 'container', name
        return found

    def _in_memory(self, record: PodRecord) -> dict[Place, int]:
        """Blocking. What of a container's own files is on a tmpfs."""
        pod = record.pod
        if pod is None:
            return {}
        used: dict[Place, int] = {}
        for container in all_containers(pod):
            last = latest(record.containers.values(), container['name'])
            if last is not None and last.pid:
                taken = {mount['mountPath'].rstrip('/') for mount in container.get('volumeMounts') or ()}
                in_memory = not os.path.exists(f'{self._layers}/{last.id}/upper0')
                used['container', last.name] = memory_usage(last.pid, taken, layer=in_memory)
        return used


def _usage(counted: Mapping[Place, int]) -> StorageUsage:
    return StorageUsage(
        volumes={name: size for (kind, name), size in counted.items() if kind == 'volume'},
        containers={name: size for (kind, name), size in counted.items() if kind == 'container'},
    )
