"""A whole Node on the real kernel: API, runtime, network and the agent, in one event loop."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import CONFIGMAPS, EVENTS, PODS, SERVICEACCOUNTS
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.client.interface import Client
from netkube.client.kubelet import LogOptions
from netkube.network.plan import AddressPlan, AddressPlans
from netkube.node.agent import NodeAgent
from netkube.node.config import NodeConfig
from netkube.node.network import NodeNetwork, NodeNetworkConfig
from netkube.runtime.client import RuntimeClient
from netkube.runtime.teardown import teardown
from netkube.testing import eventually, memory_api

NODE = 'node-1'
IPV4 = AddressPlan.of('10.244.0.0/16', '10.96.0.0/16')
IPV6 = AddressPlan.of('fd00:10:244::/56', 'fd00:10:96::/112')
_numbers = itertools.count(1)


class Lab:
    def __init__(self, client: Client, folder: Path, plans: AddressPlans) -> None:
        self.client, self.folder = client, folder
        self.name = f'nkn-{os.getpid()}-{next(_numbers)}'
        self.socket = str(folder / 'runtime.sock')
        self.network_config = NodeNetworkConfig(f'{self.name}-node', plans)
        self.config = NodeConfig(
            node_name=NODE,
            cluster_name='t',
            cluster_domain='cluster.local',
            plans=plans,
            state_dir=folder / 'state',
            memory_dir=Path('/run') / self.name,
            netns_of=lambda uid: f'{self.name}-{uid}',
        )
        self.agent: NodeAgent
        self.network: NodeNetwork

    async def start_runtime(self) -> None:
        options = ('--socket', self.socket, '--root', str(self.folder / 'root'), '--cgroup', self.name)
        command = [sys.executable, '-m', 'netkube.runtime.server', *options]
        self.server = await asyncio.to_thread(subprocess.Popen, command)
        await eventually(self._answers)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as stream:
            return stream.connect_ex(self.socket) == 0

    async def stop_runtime(self) -> None:
        self.server.kill()
        await asyncio.to_thread(self.server.wait)
        await asyncio.to_thread(teardown, self.name, str(self.folder / 'root'), self.name)

    @asynccontextmanager
    async def running_agent(self) -> AsyncIterator[NodeAgent]:
        """One life of the daemon: its own informers, connection and memory."""
        informers, runtime = Informers(self.client), RuntimeClient(self.socket)
        recorder, network = EventRecorder(self.client, 'kubelet', NODE), NodeNetwork(self.network_config)
        await runtime.connect()
        await network.start()
        self.network = network
        self.agent = NodeAgent(self.client, informers, runtime, network, self.config, recorder)
        life = asyncio.gather(informers.run(), recorder.run(), self.agent.run())
        try:
            registered = asyncio.create_task(self.agent.registered.wait())
            await asyncio.wait([life, registered], return_when=asyncio.FIRST_COMPLETED, timeout=60)
            assert registered.done(), life
            yield self.agent
            assert not life.done(), life
        finally:
            registered.cancel()
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)
            await runtime.close()
            await network.close()

    # what tests do

    async def create_pod(self, *command: str, name: str = 'p', wait: bool = False, **container: Any) -> Object:
        """One container ``c``; keys of ``spec`` go to the Pod."""
        spec = container.pop('spec', {})
        one = {'name': 'c', 'image': 'kangaroo', **container}
        if command:
            one['command'] = list(command)
        pod = {
            'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name, 'namespace': 'default'},
            'spec': {'nodeName': NODE, 'containers': [one], **spec},
        }  # fmt: skip
        created = await self.client.create(PODS, pod)
        return await self.until(lambda pod: running(pod), name) if wait else created

    async def pod(self, name: str = 'p') -> Object:
        return await self.client.get(PODS, 'default', name)

    async def until(self, condition: Any, name: str = 'p', timeout: float = 60) -> Object:
        async def holds() -> Object | None:
            pod = await self.pod(name)
            return pod if 'containerStatuses' in pod['status'] and condition(pod) else None

        async def last() -> Any:
            try:
                return (await self.pod(name))['status']
            except ApiError as error:
                return error

        try:
            return await eventually(holds, timeout)
        except AssertionError as error:
            raise AssertionError(f'{error}\n{await last()}\n{await self.events(name)}') from None

    async def gone(self, name: str = 'p', timeout: float = 60) -> None:
        async def absent() -> bool:
            try:
                await self.pod(name)
            except ApiError as error:
                return error.code == 404
            return False

        await eventually(absent, timeout)

    async def events(self, name: str = 'p') -> list[tuple[str, str, str]]:
        found = (await self.client.list(EVENTS, 'default')).items
        return [(e['type'], e['reason'], e['message']) for e in found if e['involvedObject']['name'] == name]

    async def has_event(self, type: str, reason: str, message: str, name: str = 'p') -> None:
        async def there() -> bool:
            return (type, reason, message) in await self.events(name)

        try:
            await eventually(there)
        except AssertionError:
            raise AssertionError(f'no event {reason} {message!r} in {await self.events(name)}') from None

    async def logs(self, name: str = 'p', container: str = 'c', **options: Any) -> str:
        chunks = [chunk async for chunk in self.agent.serving.logs('default', name, container, LogOptions(**options))]
        return b''.join(chunks).decode()

    async def prints(self, text: str, name: str = 'p', container: str = 'c') -> None:
        async def there() -> bool:
            return text in await self.logs(name, container)

        await eventually(there, what=f'{text!r} in the log')

    async def sh(self, script: str, name: str = 'p', container: str = 'c') -> str:
        """What a shell in the container prints; it must succeed."""
        session = await self.agent.serving.exec('default', name, container, ['sh', '-euc', script])
        output = {1: b'', 2: b''}
        while (read := await session.read()) is not None:
            output[read[0]] += read[1]
        code = await session.exit_code()
        await session.close()
        assert code == 0, (code, output)
        return output[1].decode()


@asynccontextmanager
async def lab(folder: Path, plans: AddressPlans = (IPV4,)) -> AsyncIterator[Lab]:
    async with memory_api(namespaces=('default', 'kube-node-lease')) as client, AsyncExitStack() as undo:
        await give_account(client, 'default')
        made = Lab(client, folder, plans)
        await made.start_runtime()
        undo.push_async_callback(made.stop_runtime)
        undo.push_async_callback(NodeNetwork(made.network_config).stop)
        yield made


async def give_account(client: Client, namespace: str) -> None:
    """What the controllers make in each namespace, and every Pod's token volume is made from."""
    await client.create(SERVICEACCOUNTS, {'metadata': {'name': 'default', 'namespace': namespace}})
    ca = {'metadata': {'name': 'kube-root-ca.crt', 'namespace': namespace}, 'data': {'ca.crt': 'a certificate'}}
    await client.create(CONFIGMAPS, ca)


def container(pod: Object, name: str = 'c') -> Object:
    return next(row for row in pod['status']['containerStatuses'] if row['name'] == name)


def running(pod: Object, name: str = 'c') -> bool:
    return 'running' in container(pod, name)['state']


def condition(pod: Object, type: str) -> Object:
    return next(row for row in pod['status']['conditions'] if row['type'] == type)


def waiting_reason(pod: Object, name: str = 'c') -> str:
    return container(pod, name)['state'].get('waiting', {}).get('reason', '')
