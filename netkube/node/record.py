"""What a Node's agent knows about one Pod, between two syncs. All of it can be found again after a restart."""

from __future__ import annotations

import asyncio
from datetime import datetime

import msgspec

from netkube.api.families import Address
from netkube.api.meta import Key, Object
from netkube.node.atomicwriter import Payload
from netkube.node.failure import Failure
from netkube.node.plan import Observed, Waiting
from netkube.node.podspec import remembered_containers
from netkube.node.probes import ContainerProbes
from netkube.node.tokens import PodToken, TokenKey
from netkube.runtime.cri import CREATED, EXITED, RUNNING, ContainerStatus

ORDER = {CREATED: 0, RUNNING: 1, EXITED: 2}


class PodRecord(msgspec.Struct):
    uid: str
    key: Key
    pod: Object | None = None  # the newest version seen or written; None once the API has forgotten the Pod
    addresses: tuple[Address, ...] = ()  # one of each family of the Node
    sandbox: bool = False
    containers: dict[str, ContainerStatus] = msgspec.field(default_factory=dict)  # by id
    refused: dict[str, Waiting] = msgspec.field(default_factory=dict)  # by container name
    stopping: dict[str, datetime] = msgspec.field(default_factory=dict)  # id -> when it is killed
    probes: dict[str, ContainerProbes] = msgspec.field(default_factory=dict)  # by id
    tasks: dict[str, list[asyncio.Task[None]]] = msgspec.field(default_factory=dict)  # by the container they serve
    starting: set[str] = msgspec.field(default_factory=set)  # ids whose postStart hook has not ended
    payloads: dict[str, Payload | None] = msgspec.field(default_factory=dict)  # what the volumes hold, by name
    tokens: dict[TokenKey, PodToken] = msgspec.field(default_factory=dict)  # those in its volumes
    announced: set[str] = msgspec.field(default_factory=set)  # events that are said once
    limited: bool | None = None  # its use of the disk is; None is not known yet
    failure: Failure | None = None  # why the Node gives it up
    emptied: bool = False  # it has ended, and its volumes are gone
    written: str = ''  # the resourceVersion of the last status that was written of a Pod as it was looked at
    gone: bool = False  # all of it has been removed and the API told; the informer may not know yet
    _ended: dict[str, asyncio.Event] = msgspec.field(default_factory=dict)

    def see_pod(self, pod: Object) -> None:
        """Keep the newer of two versions: our own last write may be ahead of the informer."""
        if self.pod is None or _version(pod) > _version(self.pod):
            self.pod = pod

    def see_container(self, status: ContainerStatus) -> bool:
        """Take the runtime's word, unless it is older than what is known; whether it was news."""
        known = self.containers.get(status.id)
        if known is not None and (known == status or ORDER[status.state] < ORDER[known.state]):
            return False
        self.containers[status.id] = status
        if status.state == EXITED:
            self.stopping.pop(status.id, None)
            self.cancel_tasks(status.id)
            if status.id in self._ended:
                self._ended.pop(status.id).set()
        return True

    def forget_container(self, id: str) -> None:
        self.containers.pop(id, None)
        self.cancel_tasks(id)

    def forget_sandbox(self) -> None:
        """It has been removed, with all its containers."""
        for id in list(self.containers):
            self.forget_container(id)
        self.sandbox, self.addresses = False, ()
        self.stopping.clear()
        self.payloads.clear()
        self.tokens.clear()

    def cancel_tasks(self, id: str) -> None:
        self.probes.pop(id, None)
        self.starting.discard(id)
        for task in self.tasks.pop(id, ()):
            task.cancel()

    def ended(self, id: str) -> asyncio.Event:
        """Set once this container does not run any more."""
        known = self.containers.get(id)
        if known is None or known.state == EXITED:
            over = asyncio.Event()
            over.set()
            return over
        return self._ended.setdefault(id, asyncio.Event())

    def all_containers(self) -> tuple[ContainerStatus, ...]:
        """What the runtime has, and what only the API still remembers."""
        known = tuple(self.containers.values())
        return known if self.pod is None else (*known, *remembered_containers(self.pod, known))

    def observed(self) -> Observed:
        return Observed(
            sandbox=self.sandbox,
            containers=self.all_containers(),
            refused=self.refused,
            failed_probes={id: probes.failed for id, probes in self.probes.items() if probes.failed},
            started=self.started(),
            stopping=frozenset(self.stopping),
        )

    def running(self) -> list[ContainerStatus]:
        return [container for container in self.containers.values() if container.state == RUNNING]

    def started(self) -> frozenset[str]:
        return frozenset(id for id, probes in self.probes.items() if probes.started and id not in self.starting)

    def ready(self) -> frozenset[str]:
        return frozenset(id for id, probes in self.probes.items() if probes.ready)


def _version(pod: Object) -> int:
    """resourceVersions of one object can be compared (KEP-5504)."""
    return int(pod['metadata']['resourceVersion'])


class PodRecords:
    """All Pods that this Node knows, by uid and by name: a name may be used again before its last Pod is gone."""

    def __init__(self) -> None:
        self._by_uid: dict[str, PodRecord] = {}
        self._by_key: dict[Key, dict[str, PodRecord]] = {}

    def find(self, uid: str) -> PodRecord | None:
        return self._by_uid.get(uid)

    def of(self, key: Key) -> list[PodRecord]:
        return list(self._by_key.get(key, {}).values())

    def ensure(self, uid: str, key: Key) -> PodRecord:
        record = self._by_uid.get(uid)
        if record is None:
            record = self._by_uid[uid] = PodRecord(uid, key)
            self._by_key.setdefault(key, {})[uid] = record
        return record

    def forget(self, record: PodRecord) -> None:
        self._by_uid.pop(record.uid, None)
        same_name = self._by_key.get(record.key, {})
        same_name.pop(record.uid, None)
        if not same_name:
            self._by_key.pop(record.key, None)

    def all(self) -> list[PodRecord]:
        return list(self._by_uid.values())
