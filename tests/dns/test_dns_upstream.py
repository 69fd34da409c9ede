"""Forwarding: which nameservers, how long, and what is believed."""

from __future__ import annotations

import asyncio
import os
import time

import dns.flags
import dns.message
import dns.rcode
import pytest
from dns_cluster import SOA, resolver, said
from nameservers import DEAD, GOOD, OTHER, dnsmasq, reply, resolve, scripted

from netkube.dns import upstream
from netkube.dns.exchange import Nameserver, answers
from netkube.dns.forwarding import Forwarding
from netkube.dns.resolvconf import ResolvConf, parse_nameservers
from netkube.dns.upstream import Upstream
from netkube.testing import eventually

QUERY = dns.message.make_query('example.test', 'A', id=7).to_wire()


# resolv.conf


def test_nameservers_are_those_of_resolv_conf_without_our_own():
    lines = """
nameserver 10.96.0.10
nameserver 192.0.2.1 # a comment
options ndots:5
 nameserver fd00::1
nameserver
#nameserver 192.0.2.9
nameserver nonsense
nameserver 192.0.2.1
nameserver fe80::1%lo""".splitlines()
    assert parse_nameservers(lines, frozenset({'10.96.0.10'})) == ['192.0.2.1', 'fd00::1', 'fe80::1%lo']


def test_at_most_three_nameservers_count():
    assert len(parse_nameservers(f'nameserver 192.0.2.{i}' for i in range(9))) == 3


def test_a_resolv_conf_is_read_again_when_it_changes(resolv_conf):
    machine = ResolvConf(resolv_conf('192.0.2.1'))
    assert machine.nameservers() == (Nameserver('192.0.2.1'),)
    resolv_conf('192.0.2.2')
    assert machine.nameservers() == (Nameserver('192.0.2.2'),)
    os.unlink(machine.path)
    assert machine.nameservers() == ()


# what is believed


def test_only_a_response_with_the_same_id_and_question_counts():
    good = reply(QUERY)
    assert answers(QUERY, good)
    assert answers(QUERY, good.replace(b'example', b'eXaMple')), 'letter case does not matter'
    assert not answers(QUERY, b'\0\0' + good[2:]), 'another id'
    assert not answers(QUERY, QUERY), 'a query'
    assert not answers(QUERY, good.replace(b'example', b'exsmple')), 'another name'
    assert not answers(QUERY, good[:4] + b'\0\0' + good[6:]), 'no question'
    assert not answers(QUERY, good[:20])


async def test_forged_answers_are_passed_over(resolv_conf):
    def replies(query: bytes) -> list[bytes]:
        return [b'\0\0' + reply(query, address='192.0.2.66')[2:], b'nonsense', reply(query)]

    with scripted(GOOD, replies):
        answer = await resolve(resolver(resolv_conf=resolv_conf(GOOD)), 'example.test')
    assert said(answer)[1] == ['example.test. 60 IN A 192.0.2.1']


async def test_ids_and_source_ports_are_not_the_clients(resolv_conf):
    cluster = resolver(resolv_conf=resolv_conf(GOOD))
    with scripted(GOOD, lambda query: [reply(query)]) as queries:
        for _ in range(8):
            await resolve(cluster, 'example.test', id=7)
    assert len({query[:2] for query in queries}) > 4
    assert {query[2:] for query in queries} == {QUERY[2:]}, 'nothing else is changed'


# answers


async def test_a_name_outside_the_cluster_domain_is_asked_of_the_machines_nameserver(resolv_conf):
    cluster = resolver(resolv_conf=resolv_conf(GOOD))
    async with dnsmasq(GOOD, '--host-record=www.example.test,192.0.2.7', '--local=/example.test/'):
        assert said(await resolve(cluster, 'www.example.test'))[1] == ['www.example.test. 0 IN A 192.0.2.7']
        assert said(await resolve(cluster, '7.2.0.192.in-addr.arpa', 'PTR'))[1][0].endswith('PTR www.example.test.')
        assert (await resolve(cluster, 'absent.example.test')).rcode() == dns.rcode.NXDOMAIN


async def test_an_external_name_is_followed_to_its_address(resolv_conf):
    cluster = resolver(resolv_conf=resolv_conf(GOOD))
    name = 'external.testns.svc.cluster.local.'
    async with dnsmasq(GOOD, '--host-record=ext.interwebs.test,192.0.2.8', '--local=/interwebs.test/'):
        answer = await resolve(cluster, name)
    cname, address = f'{name} 5 IN CNAME ext.interwebs.test.', 'ext.interwebs.test. 0 IN A 192.0.2.8'
    assert said(answer) == ('NOERROR', [cname, address], [], [])


async def test_long_answers_are_cut_for_udp_and_whole_for_tcp(resolv_conf):
    cluster = resolver(resolv_conf=resolv_conf(GOOD))
    text = ','.join('x' * 250 for _ in range(8))
    async with dnsmasq(GOOD, f'--txt-record=long.test,{text}'):
        short, whole = [await resolve(cluster, 'long.test', 'TXT', transport=kind) for kind in ('udp', 'tcp')]
    assert short.flags & dns.flags.TC
    assert not whole.flags & dns.flags.TC and len(whole.answer[0][0].strings) == 8


async def test_more_than_the_client_takes_is_cut_even_if_the_nameserver_sends_it(resolv_conf):
    def replies(query: bytes) -> list[bytes]:
        return [reply(query) + bytes(600)]

    with scripted(GOOD, replies):
        answer = await resolve(resolver(resolv_conf=resolv_conf(GOOD)), 'example.test')
    assert answer.flags & dns.flags.TC and not answer.answer


async def test_names_below_the_cluster_domain_are_never_asked_elsewhere(resolv_conf):
    cluster = resolver(resolv_conf=resolv_conf(GOOD))
    with scripted(GOOD, lambda query: [reply(query)]) as queries:
        for name in ('absent.cluster.local', 'www.example.com.testns.svc.cluster.local'):
            answer = cluster.resolve(dns.message.make_query(name, 'A').to_wire(), cluster.udp)
            assert said(dns.message.from_wire(answer)) == ('NXDOMAIN', [], [SOA], [])
    assert queries == []


# failures


async def test_a_dead_nameserver_is_a_failure_within_the_budget(resolv_conf):
    cluster = resolver(resolv_conf=resolv_conf(DEAD, OTHER), budget=0.5)
    with scripted(DEAD, lambda query: []), scripted(OTHER, lambda query: []):
        started = time.monotonic()
        assert (await resolve(cluster, 'example.test')).rcode() == dns.rcode.SERVFAIL
    assert 0.4 < time.monotonic() - started < 30  # without a budget it would wait for ever


async def test_the_next_nameserver_answers_for_a_dead_one_and_is_asked_first_from_then_on(resolv_conf):
    cluster = resolver(resolv_conf=resolv_conf(DEAD, GOOD), budget=1.0)
    with scripted(DEAD, lambda query: []) as dead, scripted(GOOD, lambda query: [reply(query)]):
        for _ in range(3):
            assert (await resolve(cluster, 'example.test')).rcode() == dns.rcode.NOERROR
    assert len(dead) == 1


async def test_a_dead_nameserver_is_looked_after_and_asked_first_again_once_it_answers(resolv_conf):
    clock = Clock()
    machine = ResolvConf(resolv_conf(DEAD, GOOD))
    asked = Upstream(machine, 1.0, clock=clock)
    with scripted(GOOD, lambda query: [reply(query)]) as others:
        assert await asked.ask_udp(QUERY)
        clock.now += 0.5
        with scripted(DEAD, lambda query: [reply(query)]) as revived:
            assert await asked.ask_udp(QUERY)
            assert revived == [], 'it is not time yet'
            clock.now += 0.6
            assert await asked.ask_udp(QUERY)
            await eventually(lambda: revived)
            assert revived[0][2:] == upstream.PROBE
            await eventually(lambda: asked.nameservers_in_order()[0] == Nameserver(DEAD))
            assert await asked.ask_udp(QUERY)
            assert revived[-1][2:] == QUERY[2:]
    assert len(others) == 3


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_a_dead_nameserver_of_one_domain_leaves_room_for_the_others(resolv_conf, monkeypatch):
    monkeypatch.setattr(upstream, 'MAX_IN_FLIGHT_EACH', 2)
    cluster = resolver(resolv_conf=resolv_conf(GOOD), budget=5)
    cluster.configure(Forwarding(stub_domains={('acme', 'test'): (Nameserver(DEAD),)}))
    with scripted(DEAD, lambda query: []) as dead, scripted(GOOD, lambda query: [reply(query)]):
        waiting = [asyncio.create_task(resolve(cluster, f'{n}.acme.test')) for n in range(2)]
        await eventually(lambda: len(dead) == 2)
        assert (await resolve(cluster, '3.acme.test')).rcode() == dns.rcode.REFUSED
        assert (await resolve(cluster, 'example.test')).rcode() == dns.rcode.NOERROR
        for task in waiting:
            task.cancel()


@pytest.mark.parametrize('rcode', [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
async def test_a_nameserver_that_will_not_is_passed_over(resolv_conf, rcode):
    cluster = resolver(resolv_conf=resolv_conf(OTHER, GOOD))
    with scripted(OTHER, lambda query: [reply(query, rcode)]), scripted(GOOD, lambda query: [reply(query)]):
        assert (await resolve(cluster, 'example.test')).rcode() == dns.rcode.NOERROR
    with scripted(OTHER, lambda query: [reply(query, rcode)]):
        assert (await resolve(cluster, 'example.test')).rcode() == rcode, 'unless there is none better'


async def test_a_lost_datagram_is_sent_again(resolv_conf):
    lost = []

    def replies(query: bytes) -> list[bytes]:
        lost.append(query)
        return [reply(query)] if len(lost) > 1 else []

    with scripted(GOOD, replies):
        answer = await resolve(resolver(resolv_conf=resolv_conf(GOOD)), 'example.test')
    assert answer.rcode() == dns.rcode.NOERROR


@pytest.mark.parametrize('nameservers', [(), ('10.96.0.10',), (GOOD,)])
async def test_without_a_nameserver_that_is_there_a_failure_comes_at_once(resolv_conf, nameservers):
    """None at all, only ourselves, or an address where nobody listens."""
    started = time.monotonic()
    answer = await resolve(resolver(resolv_conf=resolv_conf(*nameservers), budget=100), 'example.test')
    assert answer.rcode() == dns.rcode.SERVFAIL and time.monotonic() - started < 30


async def test_too_many_questions_at_a_time_are_refused(resolv_conf, monkeypatch):
    monkeypatch.setattr(upstream, 'MAX_IN_FLIGHT', 0)
    cluster = resolver(resolv_conf=resolv_conf(GOOD))
    assert (await resolve(cluster, 'example.test')).rcode() == dns.rcode.REFUSED


async def test_the_whole_answer_comes_over_tcp_when_the_datagram_says_so(resolv_conf):
    """With a client that came over TCP; the id is the client's again."""
    text = ','.join('x' * 250 for _ in range(8))
    async with dnsmasq(GOOD, f'--txt-record=long.test,{text}'):
        query = dns.message.make_query('long.test', 'TXT', id=99).to_wire()
        answer = await Upstream(ResolvConf(resolv_conf(GOOD))).ask(query)
    assert answer[:2] == query[:2] and len(answer) > 2000
