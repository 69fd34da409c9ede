"""Carrying out a plan: each action is a few calls of the runtime, and the events that the kubelet would send."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from netkube.api.errors import ApiError
from netkube.api.meta import Object, parse_timestamp
from netkube.api.quantity import parse_quantity
from netkube.client.events import EventRecorder
from netkube.node.addresses import AddressesExhausted
from netkube.node.config import NodeConfig
from netkube.node.containers import capabilities_of, container_config
from netkube.node.downward import PodFacts, UnsupportedField
from netkube.node.envfile import read_files, references
from netkube.node.environment import NO_FILES, ConfigError, Sources, container_environment, service_environment
from netkube.node.handlers import HandlerFailed, Handlers, Target
from netkube.node.hostfiles import NotAnswering
from netkube.node.hostpath import host_paths
from netkube.node.imagetable import ImageTable
from netkube.node.isolation import seen_hostname
from netkube.node.limits import container_resources
from netkube.node.plan import (
    Action,
    CreateSandbox,
    RemoveContainer,
    RemoveSandbox,
    StartContainer,
    StopContainer,
    Waiting,
)
from netkube.node.podspec import SCHEME, all_containers
from netkube.node.probes import ContainerProbes, seconds_since
from netkube.node.record import PodRecord
from netkube.node.sandboxes import Sandboxes, SandboxFailed
from netkube.node.seccomp import ProfileError, SeccompFilters
from netkube.node.termination import MINIMUM_GRACE, grace_seconds
from netkube.node.tokens import TokenSource, tokens_of
from netkube.node.volumes import MountFailed, VolumeContext
from netkube.runtime.client import RuntimeClient
from netkube.runtime.cri import RUNNING, ContainerConfig, ContainerStatus, CriError, RuntimeUnavailable

SANDBOX_CHANGED = 'Pod sandbox changed, it will be killed and re-created.'
START_SECONDS = 30  # that a container has to reach its program: a mount may be of something that does not answer
RETRY = timedelta(seconds=10)  # what a change of an object did not mend is tried again


class NotYet(Exception):
    """The Pod cannot get any further now; the event has been sent."""


class Machinery(msgspec.Struct, frozen=True):
    """What actions work with. ``spawn`` runs something beside the sync, ``wake`` has a Pod looked at again."""

    config: NodeConfig
    runtime: RuntimeClient
    sandboxes: Sandboxes
    handlers: Handlers
    sources: Sources
    images: ImageTable
    services: Callable[[str], list[Object]]  # those whose variables a namespace's containers see
    allocatable: dict[str, str]
    recorder: EventRecorder
    tokens: TokenSource
    spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    wake: Callable[[PodRecord], None]
    now: Callable[[], datetime]


class Actions:
    def __init__(self, machinery: Machinery) -> None:
        self._m = machinery
        self._node_addresses = machinery.config.node_addresses
        self._memory = int(parse_quantity(machinery.allocatable['memory']))
        self._seccomp = SeccompFilters(machinery.config.seccomp_profiles, machinery.config.seccomp_filters)

    async def carry_out(self, record: PodRecord, action: Action) -> None:
        """NotYet when the rest of the plan has no meaning any more."""
        match action:
            case CreateSandbox():
                await self._create_sandbox(record)
                self._report_dns(record)
            case StartContainer():
                await self._start_container(record, action)
            case StopContainer():
                await self._stop_container(record, action)
            case RemoveContainer():
                await self._m.runtime.remove_container(action.id)
                record.forget_container(action.id)
            case RemoveSandbox():
                await self._m.sandboxes.remove(record)

    def event(self, record: PodRecord, type: str, reason: str, message: str, container: str = '') -> None:
        """Of the Pod, or of one of its containers."""
        if record.pod is not None:
            path = _field_path(record.pod, container) if container else ''
            self._m.recorder.event(record.pod, type, reason, message, path)

    def event_once(
        self, record: PodRecord, identity: str, type: str, reason: str, message: str, container: str = ''
    ) -> None:
        if identity not in record.announced:
            record.announced.add(identity)
            self.event(record, type, reason, message, container)

    def _report_dns(self, record: PodRecord) -> None:
        if record.pod is not None:
            for problem in self._m.sandboxes.dns_problems(record.pod):
                self.event(record, 'Warning', 'DNSConfigForming', problem)

    # the sandbox

    async def _create_sandbox(self, record: PodRecord) -> None:
        if record.all_containers():
            self.event(record, 'Normal', 'SandboxChanged', SANDBOX_CHANGED)
        try:
            assert record.pod is not None
            self._m.sandboxes.addresses_of(record.pod)
            await self._renew_tokens(record)
            await self._m.sandboxes.create(record, self._context(record))
        except MountFailed as error:
            self._m.sandboxes.addresses.release(record.uid)
            self.event(record, 'Warning', 'FailedMount', str(error))
            raise NotYet from error
        except (SandboxFailed, AddressesExhausted) as error:
            self.event(record, 'Warning', 'FailedCreatePodSandBox', str(error))
            raise NotYet from error

    async def _renew_tokens(self, record: PodRecord) -> None:
        """MountFailed when the Pod has none that is good."""
        assert record.pod is not None
        try:
            record.tokens = await self._m.tokens.renewed(record.pod, record.tokens)
        except ApiError as error:
            volume = next(each for each in record.pod['spec']['volumes'] if any(tokens_of([each])))
            failed = f'MountVolume.SetUp failed for volume "{volume["name"]}"'
            raise MountFailed(f'{failed} : failed to fetch token: {error}') from None

    async def refresh_volumes(self, record: PodRecord) -> None:
        try:
            await self._renew_tokens(record)
            await self._m.sandboxes.refresh_volumes(record, self._context(record))
        except MountFailed as error:
            self.event(record, 'Warning', 'FailedMount', str(error))

    def _context(self, record: PodRecord) -> VolumeContext:
        assert record.pod is not None
        return VolumeContext(record.pod, self._m.sources, self._facts(record), record.tokens)

    def _facts(self, record: PodRecord) -> PodFacts:
        assert record.pod is not None
        addresses = self._m.sandboxes.addresses_of(record.pod)
        config = self._m.config
        return PodFacts(self._node_addresses, tuple(map(str, addresses)), config.node_name, self._m.allocatable)

    # starting

    async def _start_container(self, record: PodRecord, start: StartContainer) -> None:
        assert record.pod is not None
        pod = self._m.images.resolved(record.pod)
        container = _find_container(pod, start.name)
        try:
            config = await self._config_of(record, pod, container, start)
        except (ConfigError, UnsupportedField) as error:
            self._refuse(record, start.name, 'CreateContainerConfigError', str(error))
            return
        except (ProfileError, NotAnswering) as error:
            self._refuse(record, start.name, 'CreateContainerError', str(error))
            return
        try:
            await self._create(record, config)
            async with asyncio.timeout(START_SECONDS):
                status = await self._m.runtime.start_container(config.id)
        except RuntimeUnavailable:
            raise
        except TimeoutError:
            self._refuse(record, start.name, 'RunContainerError', 'context deadline exceeded')
            await self._m.runtime.stop_container(config.id, 0)
            return
        except CriError as error:
            await self._m.runtime.remove_container(config.id)  # the next try makes it anew
            record.forget_container(config.id)
            self._refuse(record, start.name, 'CreateContainerError', error.message)
            return
        record.refused.pop(start.name, None)
        record.see_container(status)
        if status.state == RUNNING:
            self.event(record, 'Normal', 'Started', 'Container started', start.name)
            self._attend(record, container, record.containers[status.id])
        else:
            self.event(record, 'Warning', 'Failed', f'Error: {status.message}', start.name)

    async def _create(self, record: PodRecord, config: ContainerConfig) -> None:
        known = record.containers.get(config.id)
        if known is None:  # else the daemon died between creating and starting it
            await self._m.runtime.create_container(config)
            self.event(record, 'Normal', 'Created', 'Container created', config.name)

    async def _config_of(
        self, record: PodRecord, pod: Object, container: Object, start: StartContainer
    ) -> ContainerConfig:
        config = self._m.config
        namespace, links = pod['metadata']['namespace'], pod['spec'].get('enableServiceLinks', True)
        services = service_environment(namespace, self._m.services(namespace), links)
        pod_files = self._m.sandboxes.files(pod)
        named = any(references(container))
        env_files = await asyncio.to_thread(read_files, container, pod_files.volumes) if named else NO_FILES
        variables = container_environment(pod, container, self._m.sources, self._facts(record), services, env_files)

        seccomp = await self._seccomp.path_for(pod, container, capabilities_of(container))

        def make() -> ContainerConfig:
            return container_config(
                pod, container, start, variables, pod_files,
                hostname=seen_hostname(pod, config.cluster_domain, config.node_name),
                log_path=config.log_file(record.uid, start.name, start.attempt),
                hide=config.hide,
                seccomp=seccomp,
                rootfs=self._m.images.rootfs_of(container.get('image', '')),
                resources=container_resources(pod, container, self._memory),
            )  # fmt: skip

        return await self._with_host_files(record, pod, container, make)

    async def _with_host_files(
        self, record: PodRecord, pod: Object, container: Object, make: Callable[[], ContainerConfig]
    ) -> ContainerConfig:
        """Where the machine's files are asked for, or are about to be mounted, they have to answer. NotAnswering."""
        mounts, files = container.get('volumeMounts') or (), self._m.sandboxes.host_files
        mounted = {mount['name'] for mount in mounts}
        for path in [volume['hostPath']['path'] for volume in host_paths(pod) if volume['name'] in mounted]:
            await files.run(path, partial(os.path.exists, path))
        if any(mount.get('subPath') or mount.get('subPathExpr') for mount in mounts):
            return await files.run(f'a subPath of container {container["name"]} of Pod {record.uid}', make)
        return make()

    def _refuse(self, record: PodRecord, name: str, reason: str, message: str) -> None:
        record.refused[name] = Waiting(reason, message, self._m.now() + RETRY)
        self.event(record, 'Warning', 'Failed', f'Error: {message}', name)

    # what goes on beside a running container

    def attend_all(self, record: PodRecord) -> None:
        """Every running container has its probes: those found again after a restart, too."""
        assert record.pod is not None
        by_name = {container['name']: container for container in all_containers(record.pod)}
        for status in list(record.containers.values()):
            if status.state == RUNNING and status.id not in record.probes.keys() | record.starting:
                self._probe(record, by_name[status.name], status)

    def _attend(self, record: PodRecord, container: Object, status: ContainerStatus) -> None:
        if status.state != RUNNING:
            return
        hook = (container.get('lifecycle') or {}).get('postStart')
        if hook:
            record.starting.add(status.id)
            self._spawn(record, status.id, self._post_start(record, container, status, hook))
        else:
            self._probe(record, container, status)

    async def _post_start(self, record: PodRecord, container: Object, status: ContainerStatus, hook: Object) -> None:
        """The container does not count as started before the hook has ended; a hook that fails ends it."""
        try:
            await self._m.handlers.run(hook, self._target(record, container, status), float('inf'))
        except HandlerFailed as error:
            self.event(record, 'Warning', 'FailedPostStartHook', f'PostStartHook failed: {error}', status.name)
            stop = StopContainer(status.id, status.name, 'FailedPostStartHook')
            self._m.spawn(self._carry_out_beside(record, stop))
            return
        record.starting.discard(status.id)
        self._probe(record, container, status)
        self._m.wake(record)

    def _probe(self, record: PodRecord, container: Object, status: ContainerStatus) -> None:
        before = _reported(record.pod, status)
        probes = ContainerProbes(
            self._target(record, container, status),
            self._m.handlers,
            running_for=seconds_since(parse_timestamp(status.started_at), self._m.now),
            changed=lambda: self._m.wake(record),
            report=lambda kind, message: self.event(
                record, 'Warning', 'Unhealthy', f'{kind.capitalize()} probe failed: {message}', status.name
            ),
            was_started=before.get('started', False),
            was_ready=before.get('ready', False),
        )
        record.probes[status.id] = probes
        if probes.needed:
            self._spawn(record, status.id, probes.run())

    def _target(self, record: PodRecord, container: Object, status: ContainerStatus) -> Target:
        return Target(container, status.id, str(record.addresses[0]))

    def _spawn(self, record: PodRecord, id: str, work: Coroutine[Any, Any, None]) -> None:
        record.tasks.setdefault(id, []).append(self._m.spawn(work))

    # stopping

    async def _stop_container(self, record: PodRecord, stop: StopContainer) -> None:
        """Returns at once; the end is an event of the runtime."""
        now = self._m.now()
        grace = grace_seconds(record.pod, stop, now)
        record.stopping[stop.id] = now + timedelta(seconds=grace)
        self.event(record, 'Normal', 'Killing', stop.message, stop.name)
        hook = None if stop.abrupt else self._pre_stop_hook(record, stop.name)
        if hook is None:
            await self._m.runtime.stop_container(stop.id, grace)
        else:
            self._m.spawn(self._pre_stop(record, stop, hook, grace))

    async def hasten(self, record: PodRecord, grace_period: int | None = None) -> None:
        """A grace period that was made shorter counts for what is being stopped already."""
        now = self._m.now()
        for id, deadline in list(record.stopping.items()):
            grace = grace_seconds(record.pod, StopContainer(id, '', '', grace=grace_period), now)
            if now + timedelta(seconds=grace + 1) < deadline:
                record.stopping[id] = now + timedelta(seconds=grace)
                await self._m.runtime.stop_container(id, grace)

    async def _carry_out_beside(self, record: PodRecord, stop: StopContainer) -> None:
        await self._stop_container(record, stop)

    def _pre_stop_hook(self, record: PodRecord, name: str) -> Object | None:
        if record.pod is None:
            return None
        return (_find_container(record.pod, name).get('lifecycle') or {}).get('preStop')

    async def _pre_stop(self, record: PodRecord, stop: StopContainer, hook: Object, grace: int) -> None:
        """The hook's time is part of the grace period; whatever comes of it, the container is stopped."""
        assert record.pod is not None
        container, began = _find_container(record.pod, stop.name), self._m.now()
        target = Target(container, stop.id, str(record.addresses[0]))
        try:
            async with asyncio.timeout(grace):
                await self._m.handlers.run(hook, target, grace)
        except (HandlerFailed, TimeoutError) as error:
            self.event(record, 'Warning', 'FailedPreStopHook', f'PreStopHook failed: {error}', stop.name)
        left = grace - (self._m.now() - began).total_seconds()
        await self._m.runtime.stop_container(stop.id, max(MINIMUM_GRACE, left))


def _find_container(pod: Object, name: str) -> Object:
    """The specification of that name; the names of a Pod's containers never change."""
    return next(container for container in all_containers(pod) if container['name'] == name)


def _field_path(pod: Object, container: str) -> str:
    """Where the container stands in the Pod, as events name it."""
    initial = any(each['name'] == container for each in pod['spec'].get('initContainers') or ())
    return f'spec.{"initContainers" if initial else "containers"}{{{container}}}'


def _reported(pod: Object | None, container: ContainerStatus) -> Object:
    """What the API already says of this very container."""
    status = (pod or {}).get('status') or {}
    rows = (*(status.get('initContainerStatuses') or ()), *(status.get('containerStatuses') or ()))
    return next((row for row in rows if row.get('containerID') == SCHEME + container.id), {})
