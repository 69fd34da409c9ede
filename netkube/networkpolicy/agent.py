"""The network policies of one Node: NetworkPolicies, Pods and Namespaces in, verdicts of the kernel out.

Events queue names; a sync takes all that are queued, reads them anew from the caches, and hands the kernel the
difference in one transaction. One name, RESET, stands for everything: the start, and the recovery when somebody else
changed the table, which the name CHECK looks for.

A Pod is announced (``expect``) before its address is on the network, as a CNI plugin is called before a container
starts: when that returns, the kernel has the Pod's verdicts. So it is protected, and known as a peer, from its first
packet; ``status.podIPs`` comes later, and says the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import NoReturn

from netkube.api.meta import Key, Object, key_of
from netkube.api.resources import NAMESPACES, NETWORKPOLICIES, PODS, Resource
from netkube.client.events import EventRecorder
from netkube.client.informer import Handler, Informers
from netkube.client.workqueue import WorkQueue
from netkube.network.namespaces import NamespaceThread
from netkube.network.nft import Nft, NftError
from netkube.networkpolicy.policies import Pod, parse_pod, parse_policy
from netkube.networkpolicy.table import Changes, Failures, Table, first_line

log = logging.getLogger(__name__)

Name = tuple[str, Key]  # a resource's plural, and the object

RESET: Name = ('', ('', 'reset'))
CHECK: Name = ('', ('', 'check'))
CHECK_SECONDS = 1.0  # how often somebody else's changes are looked for
CHECK_SHARE = 0.1  # of the time, at most, that others can make us spend on that by changing something all the time
PODS_A_STEP = 500
BY_UID, BY_ADDRESS = 'uid', 'address'


class NetworkPolicyAgent:
    """``netns`` is the Node's namespace, ``resolvers`` the addresses of cluster DNS. ``synced`` is set as soon as the
    kernel has all policies that were there at the start."""

    def __init__(
        self,
        informers: Informers,
        netns: str,
        recorder: EventRecorder,
        *,
        resolvers: Iterable[str] = (),
        nft: Nft | None = None,
    ) -> None:
        self.synced = asyncio.Event()
        self._policies, self._pods = informers[NETWORKPOLICIES], informers[PODS]
        self._namespaces = informers[NAMESPACES]
        self._recorder = recorder
        self._thread = NamespaceThread(netns)
        self._table = Table(resolvers, nft)
        self._expected: dict[str, tuple[str, ...]] = {}  # Pod uid -> its addresses, announced
        self._owners: dict[str, str] = {}  # address -> the uid of the last Pod announced with it
        self._waiting: dict[Name, list[asyncio.Future[None]]] = {}
        self._queue: WorkQueue[Name] = WorkQueue()
        self._cost = 0.0  # of the last check or reset, in seconds
        self._pods.add_index(BY_UID, lambda pod: (_uid(pod),))
        self._pods.add_index(BY_ADDRESS, lambda pod: [one['ip'] for one in pod.get('status', {}).get('podIPs') or ()])

    async def run(self) -> NoReturn:
        """Follow the policies for ever. The rules stay in the kernel when it ends: they belong to the Node."""
        for informer in (self._policies, self._pods, self._namespaces):
            await informer.synced.wait()
        self._queue.add(RESET)
        for informer in (self._policies, self._pods, self._namespaces):
            informer.subscribe(self._queue_changed(informer.resource))
        try:
            while True:
                await self._sync(await self._queued())
        finally:
            self._queue.close()
            await self._thread.closed()

    def announce(self, pod_uid: str, addresses: Iterable[str]) -> None:
        """The Pod has these addresses, whatever its status says; nobody waits for the kernel to know."""
        self._expected[pod_uid] = tuple(addresses)
        self._owners |= dict.fromkeys(self._expected[pod_uid], pod_uid)

    async def expect(self, pod_uid: str, addresses: Iterable[str]) -> None:
        """The Pod is about to get these addresses; returns when the kernel has what applies to it.

        OSError if there are policies and the kernel takes none: a Pod that nothing protects does not start.
        """
        found = self._pods.by_index(BY_UID, pod_uid)
        if not found:
            return
        self.announce(pod_uid, addresses)
        name = (PODS.plural, key_of(found[0]))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, []).append(done)
        self._queue.add(name)
        for address in self._expected[pod_uid]:
            for former in self._pods.by_index(BY_ADDRESS, address):
                self._queue.add((PODS.plural, key_of(former)))
        await done

    def _queue_changed(self, resource: Resource) -> Handler:
        def changed(old: Object | None, new: Object | None) -> None:
            if one := new or old:
                self._queue.add((resource.plural, key_of(one)))
            if resource is PODS and old is not None and (new is None or _uid(new) != _uid(old)):
                self._forget(_uid(old))

        return changed

    def _forget(self, pod_uid: str) -> None:
        for address in self._expected.pop(pod_uid, ()):
            if self._owners.get(address) == pod_uid:
                del self._owners[address]

    async def _queued(self) -> set[Name]:
        """All names that are queued, at least one."""
        names = {await self._queue.get()}
        while len(self._queue):
            names.add(await self._queue.get())
        return names

    async def _sync(self, names: set[Name]) -> None:
        waiting = [done for name in names for done in self._waiting.pop(name, ())]
        try:
            if await self._needs_reset(names):
                failures = await self._timed_reset(names - {RESET, CHECK})
            else:
                failures = await self._change(self._changes(names - {CHECK}))
            refused = {(NETWORKPOLICIES.plural, key): message for key, message in failures.items()}
        except NftError as error:
            refused = {RESET: first_line(error)}
        self._settle(names, refused)
        self._release(waiting, refused.get(RESET, ''))

    async def _change(self, changes: Changes) -> Failures:
        if self._table.is_pure(changes):
            return self._table.change(changes)
        return await self._thread.run(self._table.change, changes)

    async def _needs_reset(self, names: set[Name]) -> bool:
        if RESET in names or not self.synced.is_set():
            return True
        if CHECK not in names:
            return False
        started = asyncio.get_running_loop().time()
        disturbed = await self._thread.run(self._table.is_disturbed)
        self._cost = asyncio.get_running_loop().time() - started
        if disturbed:
            log.warning('somebody changed the table of network policies; putting it right')
        return disturbed

    async def _timed_reset(self, names: set[Name]) -> Failures:
        started = asyncio.get_running_loop().time()
        changes = await self._everything(names)
        failures = await self._thread.run(self._table.reset, changes)
        self._cost = asyncio.get_running_loop().time() - started
        self.synced.set()
        return failures

    def _settle(self, names: set[Name], refused: dict[Name, str]) -> None:
        """What succeeded is forgotten; what failed is reported, and tried again after a growing delay."""
        for name in names:
            self._queue.done(name)
            if name not in refused:
                self._queue.forget(name)
        for name, message in refused.items():
            self._report(name, message)
            self._queue.add_rate_limited(name)
        self._queue.add_after(CHECK, max(CHECK_SECONDS, self._cost / CHECK_SHARE))

    def _release(self, waiting: Iterable[asyncio.Future[None]], fault: str) -> None:
        for done in waiting:
            if done.cancelled():
                continue
            if fault and self._policies.list():
                done.set_exception(OSError(f'network policies are not in force: {fault}'))
            else:
                done.set_result(None)

    def _changes(self, names: Iterable[Name]) -> Changes:
        changes = Changes()
        for plural, key in names:
            if plural == PODS.plural:
                changes.pods[key] = self._pod(key)
            elif plural == NAMESPACES.plural:
                namespace = self._namespaces.get(key)
                changes.namespaces[key[1]] = (namespace['metadata'].get('labels') or {}) if namespace else None
            elif plural == NETWORKPOLICIES.plural:
                policy = self._policies.get(key)
                changes.policies[key] = parse_policy(policy) if policy else None
        return changes

    async def _everything(self, names_too: set[Name]) -> Changes:
        """All that there is, and ``names_too``, of which some may have gone.

        In steps, so that nobody waits for long; what changes meanwhile is queued, and so looked at again.
        """
        informers = self._namespaces, self._policies, self._pods
        names = [*names_too, *((one.resource.plural, key_of(obj)) for one in informers for obj in one.list())]
        changes = Changes()
        for start in range(0, len(names), PODS_A_STEP):
            await asyncio.sleep(0)
            step = self._changes(names[start : start + PODS_A_STEP])
            changes.namespaces |= step.namespaces
            changes.pods |= step.pods
            changes.policies |= step.policies
        return changes

    def _pod(self, key: Key) -> Pod | None:
        """An address belongs to the Pod that was announced with it last: that of an ended Pod is given to another."""
        pod = self._pods.get(key)
        parsed = parse_pod(pod, self._expected.get(_uid(pod), ())) if pod else None
        if pod is None or parsed is None:
            return None
        own = tuple(one for one in parsed.addresses if self._owners.get(one, _uid(pod)) == _uid(pod))
        return Pod(parsed.key, parsed.labels, own, parsed.ports) if own else None

    def _report(self, name: Name, message: str) -> None:
        log.warning('nftables refused %s: %s', '/'.join(name[1]), message)
        policy = self._policies.get(name[1]) if name[0] == NETWORKPOLICIES.plural else None
        if policy is not None:
            self._recorder.event(policy, 'Warning', 'FailedToApplyNetworkPolicy', message)


def _uid(pod: Object) -> str:
    return pod['metadata'].get('uid', '')
