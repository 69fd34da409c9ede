"""The Node says that it is there: its Node object, and a Lease that it renews.

Source: kubernetes pkg/kubelet/kubelet_node_status.go, component-helpers apimachinery/lease.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from netkube.api.errors import ApiError
from netkube.api.meta import Object, micro_timestamp, utc_now
from netkube.api.resources import LEASES, NODES
from netkube.client.events import EventRecorder
from netkube.client.interface import Client
from netkube.node.config import NodeConfig
from netkube.node.machine import MachineInfo, Pressure, read_pressure
from netkube.node.nodestatus import new_node, node_status, pressure_events

log = logging.getLogger(__name__)

LEASE_NAMESPACE = 'kube-node-lease'
LEASE_SECONDS, RENEW_SECONDS = 40, 10
STATUS_EVERY = 30  # renewals: a status that did not change is written again every five minutes
RETRY_SECONDS = 0.2


class NodeRegistration:
    """Registers the Node, then keeps its Lease and its conditions fresh. ``registered`` is set once it is Ready."""

    def __init__(
        self,
        client: Client,
        config: NodeConfig,
        info: MachineInfo,
        recorder: EventRecorder,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.registered = asyncio.Event()
        self._recorder = recorder
        self._client, self._config, self._info, self._now = client, config, info, now
        self._written: Pressure | None = None  # what the Node object says
        self._renewals = 0  # since it was written

    async def run(self) -> None:
        while True:
            pressure = await asyncio.to_thread(read_pressure, self._config.state_dir)
            done = await self._published(pressure) and await self._tried(self._renew())
            await asyncio.sleep(RENEW_SECONDS if done else RETRY_SECONDS)

    async def _published(self, pressure: Pressure) -> bool:
        """The Node object is there and says how it is; False if that was refused."""
        self._renewals += 1
        if self._written == pressure and self._renewals < STATUS_EVERY:
            return True
        write = self._write_status if self.registered.is_set() else self._register
        if not await self._tried(write(pressure)):
            return False
        if self._written is not None:
            self._announce(self._written, pressure)
        self._written, self._renewals = pressure, 0
        self.registered.set()
        return True

    def _announce(self, before: Pressure, now: Pressure) -> None:
        """The kubelet's object in its events has the Node's name for a uid."""
        name = self._config.node_name
        node = {'apiVersion': 'v1', 'kind': 'Node', 'metadata': {'name': name, 'uid': name}}
        for reason in pressure_events(before, now):
            self._recorder.event(node, 'Normal', reason, f'Node {name} status is now: {reason}')

    async def _register(self, pressure: Pressure) -> None:
        """The Node exists, has our labels and range, and is Ready: from then on Pods can be bound to it."""
        node = new_node(self._config, self._info)
        try:
            await self._client.create(NODES, node)
        except ApiError as error:
            if error.reason != 'AlreadyExists':
                raise
            ours = {'metadata': {'labels': node['metadata']['labels']}, 'spec': node['spec']}
            await self._client.patch(NODES, '', self._config.node_name, ours)
        await self._write_status(pressure)

    async def _write_status(self, pressure: Pressure) -> None:
        name = self._config.node_name
        node = await self._client.get(NODES, '', name)
        status = node_status(self._config, self._info, pressure, node.get('status') or {}, self._now())
        await self._client.patch(NODES, '', name, {'status': status}, subresource='status')

    async def _renew(self) -> None:
        name = self._config.node_name
        renewed = {
            'holderIdentity': name,
            'leaseDurationSeconds': LEASE_SECONDS,
            'renewTime': micro_timestamp(self._now()),
        }
        try:
            await self._client.patch(LEASES, LEASE_NAMESPACE, name, {'spec': renewed})
        except ApiError as error:
            if error.reason != 'NotFound':
                raise
            await self._create_lease(renewed)

    async def _create_lease(self, spec: Object) -> None:
        """Owned by the Node, so that it goes with it."""
        name = self._config.node_name
        node = await self._client.get(NODES, '', name)
        owner = {'apiVersion': 'v1', 'kind': 'Node', 'name': name, 'uid': node['metadata']['uid']}
        metadata = {'name': name, 'namespace': LEASE_NAMESPACE, 'ownerReferences': [owner]}
        lease = {'apiVersion': 'coordination.k8s.io/v1', 'kind': 'Lease', 'metadata': metadata, 'spec': spec}
        await self._client.create(LEASES, lease)

    async def _tried(self, write: Coroutine[Any, Any, None]) -> bool:
        """A refused write is not the end of the Node: the next round repeats it."""
        try:
            await write
        except ApiError as error:
            log.log(logging.DEBUG if error.code in (404, 409) else logging.WARNING, 'node: %s', error)
            return False
        return True
