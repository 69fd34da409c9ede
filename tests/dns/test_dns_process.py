"""``python -m netkube.dns``: its own process, listening in the Node's namespace, asking in the machine's."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest
from dns_cluster import said, service
from nameservers import dnsmasq

from netkube.api.resources import SERVICES
from netkube.apiserver.registry import Registry
from netkube.apiserver.server import ApiServer
from netkube.network import namespaces
from netkube.testing import eventually, memory_api

NODE = 'dns-test-node'
VIP = '10.96.0.10'
NAME = 'svc1.testns.svc.mycompany.com.'


@pytest.fixture
def node():
    """A Node's namespace that holds the resolver's address; the machine reaches it through a veth."""
    namespaces.create(NODE)
    for command in (
        f'ip link add to-node type veth peer name eth0 netns {NODE}',
        'ip addr add 192.168.77.1/24 dev to-node',
        'ip link set to-node up',
        f'ip -n {NODE} link set lo up',
        f'ip -n {NODE} addr add 192.168.77.2/24 dev eth0',
        f'ip -n {NODE} link set eth0 up',
        f'ip route add {VIP} via 192.168.77.2',
    ):
        subprocess.run(command.split(), check=True)
    yield NODE
    subprocess.run(['ip', 'link', 'delete', 'to-node'], check=True)
    namespaces.delete(NODE)


def give_address(to: str) -> None:
    subprocess.run(f'ip -n {to} addr add {VIP}/32 dev lo'.split(), check=True)


class Api:
    """The API on a unix socket that can be taken away and brought back; the objects stay."""

    def __init__(self, registry: Registry, socket_path: Path) -> None:
        self._registry, self._socket_path = registry, socket_path
        self._server: ApiServer | None = None

    async def start(self) -> None:
        self._server = ApiServer(self._registry)
        await self._server.serve_unix(self._socket_path)

    async def stop(self) -> None:
        if self._server:
            await self._server.stop()

    async def set_address(self, *addresses: str) -> None:
        """The Service svc1 has this address; none: there is no such Service."""
        for listed in (await self._registry.list(SERVICES, 'testns')).items:
            await self._registry.delete(SERVICES, 'testns', listed['metadata']['name'])
        for address in addresses:
            made = service('svc1', address, ports='http/TCP/80')
            del made['metadata']['resourceVersion']
            await self._registry.create(SERVICES, made)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with memory_api(namespaces=('testns',)) as registry:
        made = Api(registry, tmp_path / 'api.sock')
        await made.set_address('10.96.0.77')
        await made.start()
        yield made
        await made.stop()


@asynccontextmanager
async def resolver_process(tmp_path: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """The process, and the file descriptor on which it says that it is ready."""
    (tmp_path / 'resolv.conf').write_text('nameserver 127.0.0.53\n')
    ready, theirs = os.pipe()
    process = await asyncio.create_subprocess_exec(
        sys.executable, '-m', 'netkube.dns', '--api-socket', str(tmp_path / 'api.sock'), '--netns', NODE,
        '--listen', VIP, '--cluster-domain', 'mycompany.com', '--resolv-conf', str(tmp_path / 'resolv.conf'),
        '--ready-fd', str(theirs), pass_fds=(theirs,),
    )  # fmt: skip
    os.close(theirs)
    try:
        yield process, ready
    finally:
        os.close(ready)
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ask(name: str, rdtype: str = 'A') -> dns.message.Message:
    return await asyncio.to_thread(dns.query.udp, dns.message.make_query(name, rdtype), VIP, timeout=60)


async def addresses(name: str = NAME) -> list[str]:
    return [line.split()[-1] for line in said(await ask(name))[1]]


async def test_it_answers_from_the_api_and_from_the_machines_nameserver(node, api, tmp_path):
    give_address(node)
    async with resolver_process(tmp_path) as (process, ready), dnsmasq('127.0.0.53', '--host-record=w.test,192.0.2.7'):
        assert await asyncio.to_thread(os.read, ready, 1) == b'\n'
        assert await asyncio.to_thread(os.read, ready, 1) == b'', 'closed after the byte'
        assert await addresses() == ['10.96.0.77']
        assert await addresses('w.test') == ['192.0.2.7']
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 60) == 0


async def test_a_change_is_seen(node, api, tmp_path):
    give_address(node)
    async with resolver_process(tmp_path) as (_, ready):
        await asyncio.to_thread(os.read, ready, 1)
        assert await addresses() == ['10.96.0.77']
        await api.set_address('10.96.0.78')
        await eventually(lambda: _are(['10.96.0.78']))
        await api.set_address()
        await eventually(lambda: _are([]))
        assert (await ask(NAME)).rcode() == dns.rcode.NXDOMAIN


async def _are(expected: list[str]) -> bool:
    return await addresses() == expected


async def test_it_starts_before_the_api_and_before_its_address_is_there(node, api, tmp_path):
    await api.stop()
    async with resolver_process(tmp_path) as (_, ready):
        await eventually(lambda: _listens(node))
        give_address(node)
        assert (await ask(NAME)).rcode() == dns.rcode.SERVFAIL
        await api.start()
        await asyncio.to_thread(os.read, ready, 1)
        assert await addresses() == ['10.96.0.77']


async def _listens(netns: str) -> bool:
    sockets = await asyncio.create_subprocess_exec(
        'ss', '-N', netns, '-Hlun', f'src {VIP}', stdout=asyncio.subprocess.PIPE
    )
    return bool((await sockets.communicate())[0])


async def test_it_goes_on_while_the_api_is_away_and_catches_up_afterwards(node, api, tmp_path):
    give_address(node)
    async with resolver_process(tmp_path) as (process, ready):
        await asyncio.to_thread(os.read, ready, 1)
        await api.stop()
        assert await addresses() == ['10.96.0.77']
        await api.set_address('10.96.0.79')
        assert await addresses() == ['10.96.0.77']
        await api.start()
        await eventually(lambda: _are(['10.96.0.79']))
        assert process.returncode is None


async def test_it_stays_when_nobody_waits_for_it_any_more(node, api, tmp_path):
    give_address(node)
    await api.stop()
    async with resolver_process(tmp_path) as (process, ready):
        await eventually(lambda: _listens(node))
        os.dup2(0, ready)  # closes the reading end
        await api.start()
        await eventually(lambda: _are(['10.96.0.77']))
        assert process.returncode is None
