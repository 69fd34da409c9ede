"""The node agent: one loop over the Pods bound to this Node.

``sync`` re-reads the Pod, compares it with what the runtime has, does what the plan says and writes the status.
Whatever happens (an object changed, a container ended, a probe changed its mind, time went by) only queues the
Pod's key.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from netkube.api.meta import Key, Object, is_deleting, key_of, utc_now
from netkube.api.resources import CONFIGMAPS, PODS, SECRETS, SERVICEACCOUNTS, SERVICES, Resource
from netkube.client.controller import Controller
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.client.interface import Client
from netkube.node import honoured
from netkube.node.actions import RETRY, Actions, Machinery, NotYet
from netkube.node.adoption import adopt_pods
from netkube.node.config import NodeConfig
from netkube.node.environment import MASTER_SERVICE, Sources
from netkube.node.failure import DEADLINE_EXCEEDED, Failure, eviction
from netkube.node.handlers import Handlers
from netkube.node.hostfiles import HostFiles
from netkube.node.imagetable import ImageTable
from netkube.node.lease import NodeRegistration
from netkube.node.localeviction import LocalEviction
from netkube.node.machine import read_machine_info
from netkube.node.network import NodeNetwork
from netkube.node.nodestatus import allocatable
from netkube.node.plan import NO_IMAGE, Observed, Plan, StopContainer, deadline_of, is_past_deadline, plan_end, plan_pod
from netkube.node.podspec import is_ready, is_terminal, running_containers
from netkube.node.record import PodRecord, PodRecords
from netkube.node.references import references_of
from netkube.node.sandboxes import Sandboxes
from netkube.node.serving import Serving
from netkube.node.sockets import NodeSockets
from netkube.node.status import Facts, pod_status, without_sandbox
from netkube.node.statuswriter import report_gone, write_status
from netkube.node.terminationmessage import read_log_message, wants_log_message
from netkube.node.tokens import TokenSource
from netkube.runtime.client import RuntimeClient
from netkube.runtime.cri import EXITED, ContainerStatus, CriError

log = logging.getLogger(__name__)

WORKERS = 16
USES_INDEX = 'references'
NO_PIDS = 'a limit of Pods\' processes needs the cgroup controller "pids", which this machine has not'


class NodeAgent:
    """The kubelet of ``config.node_name``; ``serving`` is what it answers to the API server.

    ``runtime`` is connected and ``network`` started by whoever makes the agent.
    """

    def __init__(
        self,
        client: Client,
        informers: Informers,
        runtime: RuntimeClient,
        network: NodeNetwork,
        config: NodeConfig,
        recorder: EventRecorder,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.registered = asyncio.Event()  # the Node exists and is ready
        self._client, self._runtime, self._network, self._config = client, runtime, network, config
        self._host_ips = config.node_addresses
        self._recorder, self._now = recorder, now
        self._informers = informers
        self._records = PodRecords()
        self._sandboxes = Sandboxes(runtime, network, config, now, HostFiles(self._look_at_all))
        self._sockets = NodeSockets(network.config.netns)
        self._controller = Controller('node', informers, self._sync, workers=WORKERS, expected=(CriError, OSError))
        informers[PODS].add_index(USES_INDEX, references_of)
        informers[PODS].subscribe(self._pod_changed)
        for resource in (CONFIGMAPS, SECRETS, SERVICEACCOUNTS):
            self._controller.watch(resource, self._keys_of_users(resource))
        self._services = informers[SERVICES]
        self._images = ImageTable(informers[CONFIGMAPS], recorder, self._look_at_all)
        self.serving = Serving(self._find_record, runtime, self._sockets, config, now)
        self._controllers: frozenset[str] = frozenset()  # of cgroups, which limits need
        self._actions: Actions  # made by run(), which knows the machine and has tasks
        self._local_eviction: LocalEviction

    async def run(self) -> None:
        events = self._runtime.events()
        info = await asyncio.to_thread(read_machine_info, self._config.state_dir)
        runtime = await self._runtime.version()
        self._controllers = frozenset(runtime['controllers'])
        if self._config.pod_pids_limit and 'pids' not in self._controllers:
            raise CriError('FailedPrecondition', NO_PIDS)
        self._local_eviction = LocalEviction(self._config, runtime['layers'], self._evict)
        await self._sandboxes.start()
        for resource in (PODS, CONFIGMAPS, SECRETS, SERVICEACCOUNTS, SERVICES):
            await self._informers[resource].synced.wait()
        await self._adopt()
        registration = NodeRegistration(self._client, self._config, info, self._recorder, now=self._now)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._actions = Actions(self._machinery(tasks, allocatable(self._config, info)))
                tasks.create_task(self._follow_runtime(events), name='runtime events')
                tasks.create_task(self._controller.run(), name='pods')
                tasks.create_task(registration.run(), name='registration')
                tasks.create_task(self._local_eviction.run(), name='local eviction')
                await registration.registered.wait()
                self.registered.set()
        finally:
            self._sockets.close()

    def _machinery(self, tasks: asyncio.TaskGroup, allocatable: dict[str, str]) -> Machinery:
        configmaps, secrets = self._informers[CONFIGMAPS], self._informers[SECRETS]

        def spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
            return tasks.create_task(work)

        return Machinery(
            config=self._config,
            runtime=self._runtime,
            sandboxes=self._sandboxes,
            handlers=Handlers(self._sockets.dial, self._runtime),
            sources=Sources(lambda *key: configmaps.get(key), lambda *key: secrets.get(key)),
            images=self._images,
            services=self._services_for,
            allocatable=allocatable,
            recorder=self._recorder,
            tokens=TokenSource(self._client, self._now),
            spawn=spawn,
            wake=lambda record: self._controller.queue.add(record.key),
            now=self._now,
        )

    # what queues a key

    def _is_ours(self, pod: Object) -> bool:
        return pod['spec'].get('nodeName') == self._config.node_name

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and self._is_echo(new):
            return
        for pod in (old, new):
            if pod is not None and self._is_ours(pod):
                self._controller.queue.add(key_of(pod))

    def _is_echo(self, pod: Object) -> bool:
        """Our own word comes back: nothing to look at, unless the Pod has ended by it and has to be cleaned up."""
        record = self._records.find(pod['metadata']['uid'])
        told = record is not None and record.written == pod['metadata']['resourceVersion']
        return told and (is_deleting(pod) or not is_terminal(pod))

    def _keys_of_users(self, resource: Resource) -> Callable[[Object], Iterable[Key]]:
        """The Pods whose volumes or variables come from an object, or that have its tokens."""
        pods = self._informers[PODS]

        def keys(obj: Object) -> Iterable[Key]:
            users = pods.by_index(USES_INDEX, (resource.plural, *key_of(obj)))
            return [key_of(pod) for pod in users if self._is_ours(pod)]

        return keys

    def _look_at_all(self) -> None:
        for record in self._records.all():
            self._controller.queue.add(record.key)

    async def _follow_runtime(self, events: AsyncIterator[ContainerStatus]) -> None:
        """RuntimeUnavailable when the runtime ends: without it there is no node.

        That a container runs is no reason to look: it is also the answer to the sync that has started it.
        """
        async for status in events:
            record = self._records.find(status.sandbox_id)
            if record is not None and record.sandbox and record.see_container(status) and status.state == EXITED:
                self._controller.queue.add(record.key)

    def _services_for(self, namespace: str) -> list[Object]:
        master = self._services.get(MASTER_SERVICE)
        found = self._services.list(namespace)
        return [master, *found] if master is not None and namespace != MASTER_SERVICE[0] else found

    async def _adopt(self) -> None:
        ours = {pod['metadata']['uid']: pod for pod in self._informers[PODS].list() if self._is_ours(pod)}
        await adopt_pods(self._records, self._runtime, self._network, self._sandboxes, set(ours))
        for record in self._records.all():
            if record.uid in ours:
                record.see_pod(ours[record.uid])
        await self._sandboxes.adopt_ports(self._records.all())
        await asyncio.gather(*(self._doubt(pod) for pod in ours.values() if is_ready(pod)))
        self._look_at_all()

    async def _doubt(self, pod: Object) -> None:
        """A Pod that was Ready in an earlier life is not so any more if a container of it has ended since.

        Told before the Node is registered: who waits for the Node believes what the API says from then on.
        """
        record = self._records.ensure(pod['metadata']['uid'], key_of(pod))
        record.see_pod(pod)
        alive = {container.name for container in record.running()}
        if record.pod is not None and not alive.issuperset(running_containers(pod)):
            await self._write_status(record, lambda pod: pod_status(pod, self._facts(record), self._now()))

    # one Pod

    async def _sync(self, key: Key) -> None:
        pod = self._informers[PODS].get(key)
        if pod is not None and not self._is_ours(pod):
            pod = None
        for record in self._records.of(key):
            if pod is None or record.uid != pod['metadata']['uid']:
                await self._end_orphan(record)
        if pod is None:
            if not self._records.of(key):
                self._controller.queue.drop_delayed(key)  # the renewal of its tokens, an hour from now
            return
        record = self._records.ensure(pod['metadata']['uid'], key)
        record.see_pod(pod)
        if record.pod is not None and not record.gone:
            await self._sync_pod(record, record.pod)

    async def _sync_pod(self, record: PodRecord, pod: Object) -> None:
        if is_deleting(pod):
            await self._end(record)
        elif is_terminal(pod):
            await self._clean_up(record)
        elif is_past_deadline(pod, self._now()):
            await self._fail(record, DEADLINE_EXCEEDED)
        elif record.failure is not None:
            await self._fail(record, record.failure)
        else:
            await self._run_pod(record, pod)

    async def _run_pod(self, record: PodRecord, pod: Object) -> None:
        if 'unhonoured' not in record.announced:  # what a Pod asks for does not change
            record.announced.add('unhonoured')
            if fields := honoured.unhonoured(pod, self._controllers):
                self._actions.event(record, 'Warning', 'NotHonoured', honoured.message(fields))
        record.refused.clear()
        self._local_eviction.watch(record, pod)
        if record.sandbox:
            await self._actions.refresh_volumes(record)
            self._actions.attend_all(record)
        resolved = self._images.resolved(pod)
        plan = await self._carry_out(record, lambda observed: plan_pod(resolved, observed, self._now()))
        await self._read_messages(record, pod)
        self._announce(record, pod, plan)
        await self._write_status(record, lambda pod: pod_status(pod, self._facts(record, plan.waiting), self._now()))
        deadline = deadline_of(record.pod) if record.pod is not None else None  # the start may have been reported now
        for when in (plan.look_again, deadline, *(token.renew for token in record.tokens.values())):
            if when is not None:
                self._look_again(record, when)

    async def _carry_out(self, record: PodRecord, plan_for: Callable[[Observed], Plan]) -> Plan:
        """Plan and act until there is nothing left to do now; the last plan."""
        plan = plan_for(record.observed())
        try:
            while plan.actions:
                for action in plan.actions:
                    await self._actions.carry_out(record, action)
                plan = plan_for(record.observed())
        except NotYet:
            self._look_again(record, self._now() + RETRY)
        return plan

    async def _clean_up(self, record: PodRecord) -> None:
        """The Pod has ended and the API knows: give back everything but its logs."""
        await self._carry_out(record, lambda observed: plan_end(observed, record.pod))
        if not record.sandbox:
            await self._empty(record)
            await self._write_status(record, lambda pod: without_sandbox(pod, self._now()))

    def _evict(self, record: PodRecord, message: str) -> None:
        record.failure = eviction(message)
        self._controller.queue.add(record.key)

    async def _empty(self, record: PodRecord) -> None:
        if not record.emptied:
            await self._sandboxes.remove_volumes(record.uid)
            record.emptied = True

    async def _fail(self, record: PodRecord, failure: Failure) -> None:
        """Stop everything, then report the failure; that makes the Pod terminal."""
        self._actions.event_once(record, failure.reason, failure.event_type, failure.reason, failure.message)
        ended = not await self._stop_all(record, failure.grace)
        await self._write_status(
            record, lambda pod: pod_status(pod, self._facts(record, ended=ended, failure=failure), self._now())
        )

    async def _end(self, record: PodRecord) -> None:
        """The Pod is being deleted: stop, report the end, remove everything, let the API forget it."""
        if await self._stop_all(record):
            await self._write_status(record, lambda pod: pod_status(pod, self._facts(record), self._now()))
            return
        if record.pod is not None and not is_terminal(record.pod):
            await self._read_messages(record, record.pod)
            await self._write_status(record, lambda pod: pod_status(pod, self._facts(record, ended=True), self._now()))
        await self._remove(record)
        await report_gone(self._client, record)

    async def _end_orphan(self, record: PodRecord) -> None:
        """The API does not know the Pod any more."""
        if record.gone:
            self._records.forget(record)
            return
        record.pod = None
        if not await self._stop_all(record):
            await self._remove(record)
            self._records.forget(record)

    async def _stop_all(self, record: PodRecord, grace: int | None = None) -> bool:
        """Tell all containers to stop, in ``grace`` seconds if the Pod is not asked; whether some still run."""
        if not record.running():
            return False
        await self._actions.hasten(record, grace)
        for action in plan_end(record.observed(), record.pod).actions:
            if isinstance(action, StopContainer):
                action = msgspec.structs.replace(action, grace=grace)
            await self._actions.carry_out(record, action)
        return True

    async def _remove(self, record: PodRecord) -> None:
        await self._sandboxes.remove(record)
        await self._sandboxes.remove_files(record.uid)

    # telling

    def _facts(
        self,
        record: PodRecord,
        waiting: Any = None,
        *,
        ended: bool = False,
        failure: Failure | None = None,
    ) -> Facts:
        return Facts(
            host_ips=self._host_ips,
            pod_ips=tuple(map(str, record.addresses)) if record.sandbox else (),
            sandbox=record.sandbox,
            containers=record.all_containers(),
            waiting=waiting or {},
            ready=record.ready(),
            started=record.started(),
            ended=ended,
            failure=failure,
        )

    def _announce(self, record: PodRecord, pod: Object, plan: Plan) -> None:
        """The events of containers that wait, each said once."""
        metadata = pod['metadata']
        for name, waiting in plan.waiting.items():
            identity = f'{waiting.reason} {name} {waiting.until}'
            if waiting.reason == 'CrashLoopBackOff':
                who = f'{name} in pod {metadata["name"]}_{metadata["namespace"]}({metadata["uid"]})'
                message = f'Back-off restarting failed container {who}'
                self._actions.event_once(record, identity, 'Warning', 'BackOff', message, name)
            elif waiting.reason == NO_IMAGE:
                self._actions.event_once(record, identity, 'Warning', NO_IMAGE, waiting.message, name)

    async def _read_messages(self, record: PodRecord, pod: Object) -> None:
        """terminationMessagePolicy FallbackToLogsOnError."""
        for status in [c for c in record.containers.values() if wants_log_message(pod, c)]:
            path = self._config.log_file(record.uid, status.name, status.attempt)
            record.containers[status.id] = status._replace(message=await read_log_message(path))

    async def _write_status(self, record: PodRecord, make: Callable[[Object], Object]) -> None:
        await write_status(self._client, record, make)

    def _look_again(self, record: PodRecord, at: datetime) -> None:
        self._controller.queue.add_after(record.key, max(0.0, (at - self._now()) / timedelta(seconds=1)))

    def _find_record(self, key: Key) -> PodRecord | None:
        """A Pod that was bound a moment ago has one too, with nothing in it."""
        pod = self._informers[PODS].get(key)
        if pod is None or not self._is_ours(pod):
            return None
        record = self._records.ensure(pod['metadata']['uid'], key)
        record.see_pod(pod)
        return record
