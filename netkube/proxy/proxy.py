"""The service proxy of one Node: Services and EndpointSlices in, translation by the kernel out.

Events queue keys of Services; a sync takes all keys that are queued, derives from the caches what these Services
ask for now, and hands the kernel the difference in one transaction. While that runs, further keys gather for the
next. One key, RESYNC, stands for everything: the start, and the recovery when somebody else changed the rules, which
the key CHECK looks for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import NoReturn

from netkube.api.meta import Key, Object, key_of
from netkube.api.resources import ENDPOINTSLICES, SERVICES
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.client.workqueue import WorkQueue
from netkube.network.conntrack import Address, Conntrack
from netkube.network.namespaces import NamespaceThread
from netkube.network.nft import NftError
from netkube.proxy.frontends import NOTHING, ServiceRules, service_key_of_slice, service_rules
from netkube.proxy.table import Failures, Table

log = logging.getLogger(__name__)

RESYNC: Key = ('', 'resync')  # no Service has such a key: Services have a namespace
CHECK: Key = ('', 'check')
CHECK_SECONDS = 1.0  # how often somebody else's changes are looked for
RESYNC_SHARE = 0.1  # of the time, at most, that others can make us spend on resyncs by changing something all the time
SERVICES_A_STEP = 200
BY_SERVICE = 'service'


class ServiceProxy:
    """``netns`` is the Node's namespace and ``uplink`` its link to the machine. ``synced`` is set as soon as the
    kernel has all Services that were there at the start."""

    def __init__(
        self,
        informers: Informers,
        netns: str,
        service_cidr: str,
        recorder: EventRecorder,
        *,
        node_name: str,
        uplink: str = 'machine',
    ) -> None:
        self.synced = asyncio.Event()
        self._services = informers[SERVICES]
        self._slices = informers[ENDPOINTSLICES]
        self._recorder = recorder
        self._node_name = node_name
        self._thread = NamespaceThread(netns)
        self._table = Table(service_cidr, uplink)
        self._conntrack = Conntrack()
        self._applied: dict[Key, ServiceRules] = {}
        self._queue: WorkQueue[Key] = WorkQueue()
        self._resync_seconds = 0.0
        self._slices.add_index(BY_SERVICE, service_key_of_slice)

    async def run(self) -> NoReturn:
        """Follow the Services for ever. The rules stay in the kernel when it ends: they belong to the Node."""
        await self._services.synced.wait()
        await self._slices.synced.wait()
        self._queue.add(RESYNC)
        self._services.subscribe(self._service_changed)
        self._slices.subscribe(self._slice_changed)
        try:
            while True:
                await self._sync(await self._queued())
        finally:
            self._queue.close()
            await self._thread.closed()

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        if changed := new or old:
            self._queue.add(key_of(changed))

    def _slice_changed(self, old: Object | None, new: Object | None) -> None:
        for endpoint_slice in (old, new):
            for key in service_key_of_slice(endpoint_slice) if endpoint_slice else ():
                self._queue.add(key)

    async def _queued(self) -> set[Key]:
        """All keys that are queued, at least one."""
        keys = {await self._queue.get()}
        while len(self._queue):
            keys.add(await self._queue.get())
        return keys

    async def _sync(self, keys: set[Key]) -> None:
        try:
            if await self._needs_resync(keys):
                failures = await self._resync()
            else:
                failures = await self._sync_services(keys - {CHECK})
        except NftError as error:
            failures = {RESYNC: str(error)}
        self._settle(keys, failures)

    async def _needs_resync(self, keys: set[Key]) -> bool:
        if RESYNC in keys or not self.synced.is_set():
            return True
        return CHECK in keys and await self._thread.run(self._table.is_disturbed)

    def _settle(self, keys: set[Key], failures: Failures) -> None:
        """What succeeded is forgotten; what failed is reported, and tried again after a growing delay."""
        for key in keys:
            self._queue.done(key)
            if key not in failures:
                self._queue.forget(key)
        for key, message in failures.items():
            self._report(key, message)
            self._queue.add_rate_limited(key)
        self._queue.add_after(CHECK, max(CHECK_SECONDS, self._resync_seconds / RESYNC_SHARE))

    async def _sync_services(self, keys: set[Key]) -> Failures:
        wanted = {key: self._rules_of(key) for key in keys}
        changed = {
            key: (self._applied.get(key, NOTHING), rules)
            for key, rules in wanted.items()
            if rules != self._applied.get(key, NOTHING)
        }
        if not changed:
            return {}
        failures = await self._thread.run(self._table.change, changed)
        done = {key: change for key, change in changed.items() if key not in failures}
        for key, (_, rules) in done.items():
            self._remember(key, rules)
        await self._forget_udp_flows(done.values())
        return failures

    async def _resync(self) -> Failures:
        """Everything, from what the kernel has to what the caches ask for."""
        started = asyncio.get_running_loop().time()
        wanted = await self._all_rules()
        failures = await self._thread.run(self._table.reset, wanted)
        applied = {key: rules for key, rules in wanted.items() if key not in failures}
        gone = [(rules, NOTHING) for key, rules in self._applied.items() if key not in applied]
        self._applied = applied
        await self._forget_udp_flows([*gone, *((NOTHING, rules) for rules in applied.values())])
        self._resync_seconds = asyncio.get_running_loop().time() - started
        self.synced.set()
        return failures

    async def _forget_udp_flows(self, changes: Iterable[tuple[ServiceRules, ServiceRules]]) -> None:
        if destinations := changed_udp(changes):
            await self._thread.run(self._conntrack.delete_udp_flows, destinations)

    async def _all_rules(self) -> dict[Key, ServiceRules]:
        """In steps, so that nobody waits for long; what changes meanwhile is queued, and so looked at again."""
        wanted = {}
        for number, service in enumerate(self._services.list()):
            if number % SERVICES_A_STEP == 0:
                await asyncio.sleep(0)
            if (rules := self._rules_of(key_of(service))) != NOTHING:
                wanted[key_of(service)] = rules
        return wanted

    def _rules_of(self, key: Key) -> ServiceRules:
        service = self._services.get(key)
        if service is None:
            return NOTHING
        return service_rules(service, self._slices.by_index(BY_SERVICE, key), self._node_name)

    def _remember(self, key: Key, rules: ServiceRules) -> None:
        if rules == NOTHING:
            self._applied.pop(key, None)
        else:
            self._applied[key] = rules

    def _report(self, key: Key, message: str) -> None:
        log.warning('nftables refused %s: %s', '/'.join(key), message)
        if (service := self._services.get(key)) is not None:
            self._recorder.event(service, 'Warning', 'FailedToProxyService', message)


def changed_udp(changes: Iterable[tuple[ServiceRules, ServiceRules]]) -> dict[Address, set[Address]]:
    """The UDP frontends that differ between (old, new), and the endpoints they have now: none for those that went.

    What goes is listed before what came, so that an address that passed from one Service to another counts as new.
    """
    gone: dict[Address, set[Address]] = {}
    come: dict[Address, set[Address]] = {}
    for old, new in changes:
        for frontend in old.frontends:
            if frontend.protocol == 'udp' and frontend not in new.frontends:
                gone[frontend.ip, frontend.port] = set()
        for frontend, backends in new.frontends.items():
            if frontend.protocol == 'udp' and old.frontends.get(frontend) != backends:
                come[frontend.ip, frontend.port] = {(endpoint.ip, endpoint.port) for endpoint in backends.endpoints}
    return gone | come
