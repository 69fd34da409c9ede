"""The resolver over its sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest
from dns_cluster import endpoint, endpoint_slice, resolver, said, service
from nameservers import scripted

from netkube.dns import server
from netkube.dns.server import TcpServer, UdpServer
from netkube.dns.sockets import open_sockets
from netkube.testing import eventually

ADDRESS = '127.0.0.10'
SVC = 'testns.svc.cluster.local.'
MANY = (
    service('many', 'None'),
    service('svc1', '10.0.0.1'),
    endpoint_slice('many', *(endpoint(f'10.1.2.{i}') for i in range(1, 101))),
)


@pytest.fixture
async def served(tmp_path) -> AsyncIterator[str]:
    """A resolver on ADDRESS, port 53; its nameserver is 127.0.0.53."""
    (tmp_path / 'resolv.conf').write_text('nameserver 127.0.0.53\n')
    cluster = resolver(MANY, resolv_conf=str(tmp_path / 'resolv.conf'))
    udp, tcp = open_sockets(None, ADDRESS, 53)
    datagrams, streams = UdpServer(udp, cluster), asyncio.create_task(TcpServer(tcp, cluster, idle_seconds=0.5).run())
    datagrams.start()
    yield ADDRESS
    datagrams.stop()
    streams.cancel()
    await asyncio.wait([streams])
    udp.close()
    tcp.close()


async def dig(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        'dig', f'@{ADDRESS}', '+tries=1', '+time=2', *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output
    return output.decode()


@pytest.mark.parametrize('flags', [('+notcp',), ('+tcp',), ('+nocookie', '+noedns')])
async def test_dig_understands_us(served, flags):
    output = ' '.join((await dig(f'SVC1.{SVC}', *flags)).split())
    assert 'status: NOERROR' in output and 'flags: qr aa rd ra;' in output
    assert f'SVC1.{SVC} 5 IN A 10.0.0.1' in output


async def test_dig_goes_on_with_tcp_when_the_answer_was_cut(served):
    assert len((await dig(f'many.{SVC}', '+short', '+noedns')).split()) == 100


async def test_many_clients_at_a_time_each_get_their_own_answer(served):
    async def ask(name: str) -> list[str]:
        return said(await dns.asyncquery.udp(dns.message.make_query(name, 'A'), served, timeout=5))[1]

    answers = await asyncio.gather(*(ask(f'10-0-{i // 200}-{i % 200}.testns.pod.cluster.local.') for i in range(500)))
    expected = [
        [f'10-0-{i // 200}-{i % 200}.testns.pod.cluster.local. 5 IN A 10.0.{i // 200}.{i % 200}'] for i in range(500)
    ]
    assert answers == expected


async def test_a_slow_nameserver_keeps_nobody_waiting(served):
    with scripted('127.0.0.53', lambda query: []) as queries:
        slow = asyncio.create_task(dns.asyncquery.udp(dns.message.make_query('slow.test', 'A'), served, timeout=5))
        await eventually(lambda: queries)
        answer = await dns.asyncquery.udp(dns.message.make_query(f'svc1.{SVC}', 'A'), served, timeout=5)
        assert said(answer)[1] == [f'svc1.{SVC} 5 IN A 10.0.0.1']
        assert not slow.done()
        assert (await slow).rcode() == dns.rcode.SERVFAIL


async def test_garbage_does_not_stop_it(served):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for garbage in (b'', b'\0', bytes(11), bytes(12), bytes(range(256)) * 16, b'\xff' * 512):
            sock.sendto(garbage, (served, 53))
    answer = await dns.asyncquery.udp(dns.message.make_query(f'svc1.{SVC}', 'A'), served, timeout=5)
    assert answer.rcode() == dns.rcode.NOERROR


# TCP


def framed(name: str, number: int) -> bytes:
    wire = dns.message.make_query(name, 'A', id=number).to_wire()
    return len(wire).to_bytes(2, 'big') + wire


async def read_message(reader: asyncio.StreamReader) -> dns.message.Message:
    return dns.message.from_wire(await reader.readexactly(int.from_bytes(await reader.readexactly(2), 'big')))


async def test_several_queries_go_over_one_connection_and_need_not_wait_for_each_other(served):
    with scripted('127.0.0.53', lambda query: []):
        reader, writer = await asyncio.open_connection(served, 53)
        writer.write(framed('slow.test', 1) + b''.join(framed(f'svc1.{SVC}', number) for number in range(2, 12)))
        first = [(await read_message(reader)).id for _ in range(10)]
        assert sorted(first) == list(range(2, 12))
        assert (await read_message(reader)).id == 1
        writer.close()


async def test_a_message_may_come_in_pieces(served):
    reader, writer = await asyncio.open_connection(served, 53)
    for byte in framed(f'svc1.{SVC}', 5):
        writer.write(bytes((byte,)))
        await writer.drain()
    assert (await read_message(reader)).id == 5
    writer.close()


async def test_an_idle_connection_is_closed(served):
    reader, writer = await asyncio.open_connection(served, 53)
    writer.write(b'\0')
    assert await asyncio.wait_for(reader.read(), 5) == b''
    writer.close()


async def test_connections_are_bounded(served, monkeypatch):
    monkeypatch.setattr(server, 'MAX_CONNECTIONS', 2)
    connections = [await asyncio.open_connection(served, 53) for _ in range(2)]
    for reader, writer in connections:
        writer.write(framed(f'svc1.{SVC}', 1))
        await read_message(reader)
    refused, writer = await asyncio.open_connection(served, 53)
    assert await asyncio.wait_for(refused.read(), 5) == b''
    for _, open_writer in (*connections, (None, writer)):
        open_writer.close()


async def test_a_client_that_goes_away_in_the_middle_leaves_nothing(served):
    for part in (b'', b'\0', framed(f'svc1.{SVC}', 1)[:9], framed(f'many.{SVC}', 1) * 50):
        _, writer = await asyncio.open_connection(served, 53)
        writer.write(part)
        writer.transport.abort()
    reader, writer = await asyncio.open_connection(served, 53)
    writer.write(framed(f'svc1.{SVC}', 1))
    assert (await read_message(reader)).rcode() == dns.rcode.NOERROR
    writer.close()
