"""The service proxy of one Node: Services and EndpointSlices in, translation by the kernel out.

Events queue keys of Services; a sync takes all keys that are queued, derives from the caches what these Services
ask for now, and hands the kernel the difference in one transaction. While that runs, further keys gather for the
next. One key, RESYNC, stands for everything: the start, and the recovery when somebody else changed the rules. Whether
somebody did is looked at beside all that, in a thread of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NoReturn

from netkube.api.meta import Key, Object, key_of
from netkube.api.resources import ENDPOINTSLICES, NODES, SERVICES
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.client.workqueue import WorkQueue
from netkube.network.conntrack import Conntrack
from netkube.network.namespaces import NamespaceThread
from netkube.network.nft import NftError
from netkube.proxy.claims import Claims, without
from netkube.proxy.endpoints import Place
from netkube.proxy.families import FAMILIES, family_of
from netkube.proxy.frontends import NOTHING, Frontend, HealthCheck, service_key_of_slice, service_rules
from netkube.proxy.healthcheck import HealthCheckServers
from netkube.proxy.ruleset import Elements, Network, elements_of, frontends_of, pack, unpack
from netkube.proxy.table import Failures, Table
from netkube.proxy.udpflows import UDP, changed_udp

log = logging.getLogger(__name__)

RESYNC: Key = ('', 'resync')  # no Service has such a key: Services have a namespace
CHECK_SECONDS = 1.0  # how often somebody else's changes are looked for
CHECK_SHARE = 0.1  # of the time, at most, that others can make us spend on that by changing something all the time
LOOKS = 5  # at rules that change all the time; then changes must wait for one
SERVICES_A_STEP = 200
BY_SERVICE = 'service'
ZONE_LABEL = 'topology.kubernetes.io/zone'


def networks_of(
    service_cidrs: Iterable[str], load_balancer_cidrs: Iterable[str] = (), uplink: str = 'machine'
) -> list[Network]:
    """One for each IP family that the service CIDRs are of. The CIDRs as text; several of one family are fine."""
    services, balancers = list(service_cidrs), list(load_balancer_cidrs)
    return [
        Network(
            family,
            tuple(cidr for cidr in services if family_of(cidr) == family),
            tuple(cidr for cidr in balancers if family_of(cidr) == family),
            uplink,
        )
        for family in FAMILIES.values()
        if any(family_of(cidr) == family for cidr in services)
    ]


class ServiceProxy:
    """``netns`` is the Node's namespace. ``synced`` is set while the kernel has all Services that it should have: for
    the first time when it has those that were there at the start."""

    def __init__(
        self,
        informers: Informers,
        netns: str,
        networks: Sequence[Network],
        recorder: EventRecorder,
        *,
        node_name: str,
    ) -> None:
        self.synced = asyncio.Event()
        self._services = informers[SERVICES]
        self._slices = informers[ENDPOINTSLICES]
        self._nodes = informers[NODES]
        self._recorder = recorder
        self._place = Place(node_name)
        self._thread = NamespaceThread(netns)
        self._table = Table(networks)
        self._observing = NamespaceThread(netns)
        self._observer = Table(networks)
        self._conntrack = Conntrack()
        self._health = HealthCheckServers(netns)
        self._applied: dict[Key, str] = {}  # packed elements
        self._claims = Claims()
        self._queue: WorkQueue[Key] = WorkQueue()
        self._slices.add_index(BY_SERVICE, service_key_of_slice)

    def serve(self, networks: Sequence[Network]) -> None:
        """The cluster's ranges have changed: a ServiceCIDR came or went."""
        self._table.networks = self._observer.networks = networks
        self._queue.add(RESYNC)

    async def run(self) -> NoReturn:
        """Follow the Services for ever. The rules stay in the kernel when it ends: they belong to the Node."""
        for informer in (self._services, self._slices, self._nodes):
            await informer.synced.wait()
        self._queue.add(RESYNC)
        self._nodes.subscribe(self._node_changed)
        self._services.subscribe(self._service_changed)
        self._slices.subscribe(self._slice_changed)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow(), name='proxy')
                tasks.create_task(self._guard(), name='guard of the rules')
        finally:
            self._queue.close()
            self._health.close()
            await self._observing.closed()
            await self._thread.closed()
        raise AssertionError('both run for ever')

    async def _follow(self) -> NoReturn:
        while True:
            await self._sync(await self._queued())

    async def _guard(self) -> NoReturn:
        """What somebody else did to our rules is undone."""
        loop = asyncio.get_running_loop()
        await self.synced.wait()
        while True:
            started = loop.time()
            if await self._is_disturbed():
                self.synced.clear()
                self._queue.add(RESYNC)
                await self.synced.wait()
            await asyncio.sleep(max(CHECK_SECONDS, (loop.time() - started) / CHECK_SHARE))

    async def _is_disturbed(self) -> bool:
        if not await self._thread.run(self._table.is_suspect):
            return False
        for _ in range(LOOKS):
            look = await self._observing.run(self._observer.look)
            if (disturbed := await self._thread.run(self._table.judge, look)) is not None:
                return disturbed
        return await self._thread.run(self._table.is_disturbed)

    def _node_changed(self, _: Object | None, new: Object | None) -> None:
        """Hints are about the zone of this Node."""
        if new is None or new['metadata']['name'] != self._place.node:
            return
        place = Place(self._place.node, (new['metadata'].get('labels') or {}).get(ZONE_LABEL, ''))
        if place != self._place:
            self._place = place
            self._queue.add(RESYNC)

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
            if RESYNC in keys or not self.synced.is_set():
                failures = await self._resync()
            else:
                failures = await self._sync_services(keys)
        except NftError as error:
            failures = {RESYNC: str(error)}
        self._settle(keys, failures)

    def _settle(self, keys: set[Key], failures: Failures) -> None:
        """What succeeded is forgotten; what failed is reported, and tried again after a growing delay."""
        for key in keys:
            self._queue.done(key)
            if key not in failures:
                self._queue.forget(key)
        for key, message in failures.items():
            self._report(key, message)
            self._queue.add_rate_limited(key)

    async def _sync_services(self, keys: set[Key]) -> Failures:
        changed: dict[Key, tuple[Elements, Elements]] = {}
        unreachable: Failures = {}
        for key in keys:
            old = unpack(self._applied.get(key, ''))
            new, check = self._wanted(key, old)
            if new != old:
                changed[key] = old, new
            unreachable |= await self._serve_health(key, check)
        if not changed:
            return unreachable
        failures = await self._thread.run(self._table.change, changed)
        done = {key: change for key, change in changed.items() if key not in failures}
        for key, (_, new) in done.items():
            self._remember(key, new)
        await self._forget_udp_flows(done.values())
        return failures | unreachable

    async def _resync(self) -> Failures:
        """Everything, from what the kernel has to what the caches ask for.

        A part is worked out while the kernel takes the one before. What changes meanwhile is queued, and so looked at
        again.
        """
        await self._thread.run(self._table.begin)
        self._claims = Claims()
        before, self._applied = self._applied, {}
        failures: Failures = {}
        filling: asyncio.Task[Failures] | None = None
        services = sorted(self._services.list(), key=_age)
        async with asyncio.TaskGroup() as tasks:
            for start in range(0, len(services), SERVICES_A_STEP):
                part, unreachable = await self._wanted_of(services[start : start + SERVICES_A_STEP])
                failures |= unreachable | (await filling if filling else {})
                filling = tasks.create_task(self._fill(part))
        failures |= filling.result() if filling else {}
        await self._thread.run(self._table.finish)
        await self._forget_udp_flows(self._since(before))
        self.synced.set()
        return failures

    async def _wanted_of(self, services: Sequence[Object]) -> tuple[dict[Key, Elements], Failures]:
        await asyncio.sleep(0)  # nobody waits for long
        wanted: dict[Key, Elements] = {}
        unreachable: Failures = {}
        for key in map(key_of, services):
            elements, check = self._wanted(key, {})
            unreachable |= await self._serve_health(key, check)
            if elements:
                wanted[key] = elements
        return wanted, unreachable

    async def _fill(self, wanted: dict[Key, Elements]) -> Failures:
        failures = await self._thread.run(self._table.fill, wanted)
        for key, elements in wanted.items():
            if key not in failures:
                self._remember(key, elements)
        return failures

    def _since(self, before: Mapping[Key, str]) -> Iterator[tuple[Elements, Elements]]:
        """What had UDP, and has gone; all that has UDP: nobody knows what the kernel led where."""
        for key, packed in before.items():
            if UDP in packed and key not in self._applied:
                yield unpack(packed), {}
        for packed in self._applied.values():
            if UDP in packed:
                yield {}, unpack(packed)

    async def _forget_udp_flows(self, changes: Iterable[tuple[Elements, Elements]]) -> None:
        if destinations := changed_udp(changes):
            await self._thread.run(self._conntrack.delete_udp_flows, destinations)

    def _wanted(self, key: Key, old: Elements) -> tuple[Elements, HealthCheck | None]:
        """What the Service asks for now, without what another Service has already."""
        service = self._services.get(key)
        families = [network.family.name for network in self._table.networks]
        slices = self._slices.by_index(BY_SERVICE, key) if service else ()
        rules = service_rules(service, slices, self._place, families) if service else NOTHING
        rivals, freed = self._claims.claim(key, frontends_of(old), rules)
        for waiting in freed:
            self._queue.add(waiting)
        if rivals and service:
            self._report_rivals(service, rivals)
        return elements_of(without(rules, rivals)), rules.health

    async def _serve_health(self, key: Key, check: HealthCheck | None) -> Failures:
        try:
            await self._health.serve(key, check)
        except OSError as error:
            return {key: f'cannot serve healthCheckNodePort {check.port if check else ""}: {error}'}
        return {}

    def _remember(self, key: Key, elements: Elements) -> None:
        if elements:
            self._applied[key] = pack(elements)
        else:
            self._applied.pop(key, None)

    def _report_rivals(self, service: Object, rivals: Mapping[Frontend, Key]) -> None:
        for frontend, rival in rivals.items():
            message = f'{frontend} is already that of Service {"/".join(rival)}'
            self._recorder.event(service, 'Warning', 'FailedToProxyService', message)

    def _report(self, key: Key, message: str) -> None:
        log.warning('Service %s: %s', '/'.join(key), message)
        if (service := self._services.get(key)) is not None:
            self._recorder.event(service, 'Warning', 'FailedToProxyService', message)


def _age(service: Object) -> tuple[str, Key]:
    return service['metadata'].get('creationTimestamp') or '', key_of(service)
