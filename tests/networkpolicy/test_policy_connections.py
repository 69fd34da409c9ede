"""Connections that live while policies change: those that are still allowed go on, the others end there."""

from __future__ import annotations

import asyncio

import pytest
from policy_lab import ALL, FAMILIES, KINDS, LOST_AFTER, NONE, PATIENCE, Host, Lab, bound, socket_in, unless_lost

from netkube.testing import eventually

DENY = 'metadata: {name: deny}\nspec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}'
ALLOW_FRIENDS = """
metadata: {name: friends}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{podSelector: {matchLabels: {role: friend}}}]}]
"""


class Connection:
    """A TCP connection, or a UDP flow, with an echo at its other end."""

    def __init__(self, source: Host, target: Host, kind: str = 'tcp', family: int = 4) -> None:
        self.target, self.family = target, family
        self.socket = socket_in(source.netns, FAMILIES[family], KINDS[kind])

    async def open(self) -> Connection:
        await asyncio.get_running_loop().sock_connect(self.socket, (self.target.address[self.family], 80))
        assert await self.echoes(PATIENCE)
        return self

    async def echoes(self, within: float = LOST_AFTER) -> bool:
        loop = asyncio.get_running_loop()

        async def exchange() -> bool:
            await loop.sock_sendall(self.socket, b'x')
            return await loop.sock_recv(self.socket, 1) == b'x'

        try:
            return await unless_lost(exchange(), within)
        except TimeoutError:
            return False


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('family', FAMILIES)
async def test_idle_connections_that_are_no_longer_allowed_are_cut(lab: Lab, kind: str, family: int) -> None:
    web, client = await lab.pod('web', app='web'), await lab.pod('client')
    connection = await Connection(client, web, kind, family).open()

    await lab.apply(DENY)

    assert not await connection.echoes()


@pytest.mark.parametrize('family', FAMILIES)
async def test_connections_that_are_still_allowed_go_on(lab: Lab, family: int) -> None:
    web, friend = await lab.pod('web', app='web'), await lab.pod('friend', role='friend')
    stranger = await lab.pod('stranger')
    kept = [await Connection(friend, web, kind, family).open() for kind in KINDS]
    outgoing = await Connection(web, stranger, 'tcp', family).open()
    lost = await Connection(stranger, web, 'tcp', family).open()

    await lab.apply(ALLOW_FRIENDS)

    assert all([await connection.echoes(PATIENCE) for connection in kept])
    assert await outgoing.echoes(PATIENCE)
    assert not await lost.echoes()


async def test_a_label_that_goes_cuts_and_one_that_comes_back_joins_again(lab: Lab) -> None:
    web, client = await lab.pod('web', app='web'), await lab.pod('client', role='friend')
    await lab.apply(ALLOW_FRIENDS)
    connection = await Connection(client, web).open()

    await lab.label(client, role=None)
    assert not await connection.echoes()

    await lab.label(client, role='friend')
    assert await connection.echoes(PATIENCE)  # what was lost is sent again


async def test_a_stream_from_the_server_stops(lab: Lab) -> None:
    """The server sends without end: not a window more of it may arrive."""
    web, client = await lab.pod('web', app='web'), await lab.pod('client')
    loop = asyncio.get_running_loop()
    listener = bound(web, 4, 'tcp', 90)
    listener.listen()
    receiver = socket_in(client.netns)
    await loop.sock_connect(receiver, (web.address[4], 90))
    sender, _ = await loop.sock_accept(listener)
    sending = asyncio.create_task(send_without_end(sender))
    received = 0
    while received < 10_000_000:
        received += len(await loop.sock_recv(receiver, 1 << 16))

    await lab.apply(DENY)
    while await received_more(receiver):  # what is in the socket already
        pass

    assert not await received_more(receiver, 1.0)
    sending.cancel()
    await asyncio.wait([sending])
    for one in (sender, receiver, listener):
        one.close()


async def send_without_end(sender: object) -> None:
    while True:
        await asyncio.get_running_loop().sock_sendall(sender, b'x' * 65536)  # type: ignore[arg-type]


async def received_more(receiver: object, within: float = LOST_AFTER) -> bool:
    try:
        async with asyncio.timeout(within):
            return bool(await asyncio.get_running_loop().sock_recv(receiver, 1 << 16))  # type: ignore[arg-type]
    except TimeoutError:
        return False


async def test_a_connection_that_conntrack_forgot_does_not_come_back_from_its_other_end(lab: Lab) -> None:
    web, client = await lab.pod('web', app='web'), await lab.pod('client')
    loop = asyncio.get_running_loop()
    listener = bound(web, 4, 'tcp', 90)
    listener.listen()
    mine = socket_in(client.netns)
    await loop.sock_connect(mine, (web.address[4], 90))
    theirs, _ = await loop.sock_accept(listener)
    await lab.apply(DENY)
    await lab.thread.run(flush_conntrack)

    await loop.sock_sendall(theirs, b'the server may talk to the client, but not on this connection')

    assert not await received_more(mine, 1.0)
    for one in (mine, theirs, listener):
        one.close()


def flush_conntrack() -> None:
    import subprocess

    subprocess.run(['conntrack', '-F'], check=True, capture_output=True)


async def test_a_pod_is_protected_from_its_first_packet(lab: Lab) -> None:
    """As the node agent does it: announced, plugged, and only later reported."""
    await lab.apply(DENY, ALLOW_FRIENDS)
    friend, stranger = await lab.pod('friend', role='friend'), await lab.pod('stranger')
    web = await lab.unstarted_pod('web', app='web')

    await announced(lab, web)
    await lab.plug(web)
    assert await lab.reach(stranger, web) == NONE
    assert await lab.reach(friend, web) == ALL

    await lab.report(web)
    await lab.settled()
    assert await lab.reach(stranger, web) == NONE
    assert await lab.reach(friend, web) == ALL


async def test_a_pod_is_known_as_a_peer_from_its_first_packet(lab: Lab) -> None:
    await lab.apply(ALLOW_FRIENDS)
    web, friend = await lab.pod('web', app='web'), await lab.unstarted_pod('friend', role='friend')

    await announced(lab, friend)
    await lab.plug(friend)

    assert await lab.reach(friend, web) == ALL


async def announced(lab: Lab, host: Host) -> None:
    from netkube.api.resources import PODS

    uid = (await lab.client.get(PODS, *host.key))['metadata']['uid']
    await eventually(lambda: lab.informers[PODS].get(host.key))
    await lab.agent.expect(uid, host.address.values())


async def test_an_address_that_passes_to_another_pod_takes_nothing_along(lab: Lab) -> None:
    """The old Pod has ended; its object, which still names the address, is there."""
    await lab.apply(DENY)
    old, client = await lab.pod('old', app='web'), await lab.pod('client')
    await lab.settled()
    assert await lab.reach(client, old) == NONE

    new = await lab.unstarted_pod('new', app='other')
    new.address, new.netns = old.address, old.netns
    await announced(lab, new)
    assert await lab.reach(client, new) == ALL

    await lab.label(old, more='label')  # whatever happens to the old one
    assert await lab.reach(client, new) == ALL
