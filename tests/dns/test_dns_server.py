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
from netkube.dns.probes import Pages
from netkube.dns.resolver import Resolver
from netkube.dns.server import TcpServer, UdpServer
from netkube.dns.sockets import open_sockets
from netkube.testing import eventually

ADDRESS, ADDRESS6 = '127.0.0.10', '::1'
SVC, POD = 'testns.svc.cluster.local.', 'testns.pod.cluster.local.'
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
    sockets = open_sockets(None, (ADDRESS, ADDRESS6), 53)
    datagrams = [UdpServer(sock, cluster) for sock in sockets.udp]
    server = TcpServer(cluster, idle_seconds=0.5)
    streams = [asyncio.create_task(server.run(sock)) for sock in sockets.tcp]
    for each in datagrams:
        each.start()
    yield ADDRESS
    for each in datagrams:
        each.stop()
    for stream in streams:
        stream.cancel()
    await asyncio.wait(streams)
    sockets.close()


async def dig(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        'dig', f'@{ADDRESS}', '+tries=1', '+time=60', *arguments, stdout=asyncio.subprocess.PIPE
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
        return said(await dns.asyncquery.udp(dns.message.make_query(name, 'A'), served, timeout=60))[1]

    answers = await asyncio.gather(*(ask(f'10-0-{i // 200}-{i % 200}.testns.pod.cluster.local.') for i in range(500)))
    expected = [
        [f'10-0-{i // 200}-{i % 200}.testns.pod.cluster.local. 5 IN A 10.0.{i // 200}.{i % 200}'] for i in range(500)
    ]
    assert answers == expected


async def test_a_slow_nameserver_keeps_nobody_waiting(served):
    with scripted('127.0.0.53', lambda query: []) as queries:
        slow = asyncio.create_task(dns.asyncquery.udp(dns.message.make_query('slow.test', 'A'), served, timeout=60))
        await eventually(lambda: queries)
        answer = await dns.asyncquery.udp(dns.message.make_query(f'svc1.{SVC}', 'A'), served, timeout=60)
        assert said(answer)[1] == [f'svc1.{SVC} 5 IN A 10.0.0.1']
        assert not slow.done()
        assert (await slow).rcode() == dns.rcode.SERVFAIL


async def test_garbage_does_not_stop_it(served):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for garbage in (b'', b'\0', bytes(11), bytes(12), bytes(range(256)) * 16, b'\xff' * 512):
            sock.sendto(garbage, (served, 53))
    answer = await dns.asyncquery.udp(dns.message.make_query(f'svc1.{SVC}', 'A'), served, timeout=60)
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
    assert await asyncio.wait_for(reader.read(), 60) == b''
    writer.close()


async def test_connections_are_bounded(served, monkeypatch):
    monkeypatch.setattr(server, 'MAX_CONNECTIONS', 2)
    connections = [await asyncio.open_connection(served, 53) for _ in range(2)]
    for reader, writer in connections:
        writer.write(framed(f'svc1.{SVC}', 1))
        await read_message(reader)
    refused, writer = await asyncio.open_connection(served, 53)
    assert await asyncio.wait_for(refused.read(), 60) == b''
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


async def test_it_answers_on_every_address_it_was_given(served):
    query = dns.message.make_query(f'svc1.{SVC}', 'A')
    for ask in (dns.asyncquery.udp, dns.asyncquery.tcp):
        assert said(await ask(query, ADDRESS6, timeout=60))[1] == [f'svc1.{SVC} 5 IN A 10.0.0.1']
    absent = dns.message.make_query(f'absent.{SVC}', 'A')
    for _ in range(2):  # built, and from the cache
        assert (await dns.asyncquery.udp(absent, ADDRESS6, timeout=60)).rcode() == dns.rcode.NXDOMAIN


async def test_known_and_unknown_questions_of_one_wake_up_each_get_their_answer(served):
    """Both in one batch: some from the cache, some built, in one order or another, each with its own id."""
    await dns.asyncquery.udp(dns.message.make_query(f'svc1.{SVC}', 'A'), served, timeout=60)
    names = [f'svc1.{SVC}', f'10-1-2-3.{POD}', f'svc1.{SVC}', f'svc1.{SVC}', f'10-1-2-4.{POD}', f'svc1.{SVC}']
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((served, 53))
        for number, name in enumerate(names):  # the resolver runs when this loop is through
            client.send(dns.message.make_query(name, 'A', id=number).to_wire())
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        answers = [dns.message.from_wire(await loop.sock_recv(client, 4096)) for _ in names]
    assert {each.id: each.answer[0].name.to_text() for each in answers} == dict(enumerate(names))


async def http(path: str, port: int, method: str = 'GET') -> tuple[str, str]:
    """Status line and body."""
    reader, writer = await asyncio.open_connection(ADDRESS, port)
    writer.write(f'{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n'.encode())
    head, _, body = (await reader.read()).decode().partition('\r\n\r\n')
    writer.close()
    return head.partition('\r\n')[0].removeprefix('HTTP/1.1 '), body


@pytest.fixture
async def probed(tmp_path) -> AsyncIterator[Resolver]:
    cluster = resolver(MANY)
    sockets = open_sockets(None, (ADDRESS,), 53)
    pages = Pages({'/health': cluster.health, '/ready': cluster.ready, '/metrics': cluster.metrics})
    tasks = [asyncio.create_task(pages.run(sock)) for sock in sockets.probes]
    yield cluster
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    sockets.close()


async def test_health_and_readiness(probed):
    assert await http('/health', 8080) == ('200 OK', 'OK')
    assert await http('/ready', 8181) == ('200 OK', 'OK')
    probed.synced.clear()
    assert await http('/ready', 8181) == ('503 Service Unavailable', 'kubernetes')
    assert (await http('/absent', 8080))[0] == '404 Not Found'
    assert (await http('/health', 8080, 'POST'))[0] == '405 Method Not Allowed'
    assert await http('/health', 8080, 'HEAD') == ('200 OK', '')
    assert (await http('', 8080, ''))[0] == '404 Not Found'


async def test_metrics_count_what_was_answered(probed):
    for name in (f'svc1.{SVC}', f'svc1.{SVC}', f'absent.{SVC}'):
        probed.resolve(dns.message.make_query(name, 'A').to_wire(), probed.udp)
    status, text = await http('/metrics', 9153)
    lines = dict(line.rsplit(' ', 1) for line in text.splitlines() if not line.startswith('#'))
    server = 'server="dns://:53",zone="."'
    assert status == '200 OK'
    assert {name: value for name, value in lines.items() if 'proto' in name or 'rcode' in name} == {
        f'coredns_dns_requests_total{{{server},proto="udp"}}': '3',
        f'coredns_dns_requests_total{{{server},proto="tcp"}}': '0',
        f'coredns_dns_responses_total{{{server},rcode="NOERROR"}}': '2',
        f'coredns_dns_responses_total{{{server},rcode="NXDOMAIN"}}': '1',
    }
    assert lines['coredns_cache_hits_total{server="dns://:53"}'] == '1'
    assert lines['coredns_cache_entries{server="dns://:53"}'] == '2'
    assert float(lines['process_resident_memory_bytes']) > 1e6
