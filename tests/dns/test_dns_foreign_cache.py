"""What is kept of other nameservers' answers, and for how long."""

from __future__ import annotations

import dns.message
import dns.rrset
import pytest
from dns_cluster import resolver, said
from nameservers import GOOD, reply, resolve, scripted

from netkube.dns.foreigncache import CAPACITY, ForeignCache, lifetime

QUERY = dns.message.make_query('example.test', 'A', id=7)
SOA = 'example.test. 100 IN SOA ns. me. 1 2 3 4 17'


def answer(*records: str, authority: str = '', rcode: int = 0, **flags: bool) -> bytes:
    message = dns.message.make_response(QUERY)
    message.set_rcode(rcode)
    message.answer = [dns.rrset.from_text(*each.split(maxsplit=4)) for each in records]
    message.authority = [dns.rrset.from_text(*authority.split(maxsplit=4))] if authority else []
    if flags.get('truncated'):
        message.flags |= dns.flags.TC
    if flags.get('edns'):
        message.use_edns(0, payload=1232)
    return message.to_wire()


@pytest.mark.parametrize(
    ('wire', 'seconds'),
    [
        (answer('example.test. 20 IN A 192.0.2.1'), 20),
        (answer('example.test. 20 IN A 192.0.2.1', edns=True), 20),
        (answer('example.test. 3600 IN A 192.0.2.1'), 30),
        (answer('example.test. 20 IN CNAME a.test.', 'a.test. 7 IN A 192.0.2.1'), 7),
        (answer('example.test. 0 IN A 192.0.2.1'), 0),
        (answer(authority=SOA), 17),
        (answer(authority=SOA, rcode=3), 17),
        (answer('example.test. 20 IN CNAME a.test.', authority=SOA, rcode=3), 17),
        (answer(rcode=3), 0),
        (answer(), 0),
        (answer('example.test. 20 IN A 192.0.2.1', rcode=2), 0),
        (answer('example.test. 20 IN A 192.0.2.1', truncated=True), 0),
        (answer('example.test. 20 IN A 192.0.2.1')[:-1], 0),
        (answer('example.test. 20 IN A 192.0.2.1')[:-9], 0),
    ],
)
def test_how_long_an_answer_is_kept(wire, seconds):
    assert lifetime(wire)[0] == seconds


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_answer_grows_older_and_ends():
    clock = Clock()
    cache = ForeignCache(clock)
    wire = answer('example.test. 20 IN CNAME a.test.', 'a.test. 300 IN A 192.0.2.1', edns=True)
    cache.put(b'key', wire)
    clock.now += 19.5
    aged = dns.message.from_wire(b'id' + cache.find(b'key'))
    assert [rrset.ttl for rrset in aged.answer] == [1, 281]
    clock.now += 0.5
    assert cache.find(b'key') is None


def test_the_cache_is_bounded():
    cache = ForeignCache()
    wire = answer('example.test. 20 IN A 192.0.2.1')
    for number in range(2 * CAPACITY):
        cache.put(number.to_bytes(4, 'big'), wire)
    assert len(cache) <= CAPACITY
    assert cache.find((2 * CAPACITY - 1).to_bytes(4, 'big'))


async def test_a_name_is_asked_once_and_answered_again_in_the_same_letters(resolv_conf):
    cluster = resolver(resolv_conf=resolv_conf(GOOD))
    with scripted(GOOD, lambda query: [reply(query)]) as queries:
        first = await resolve(cluster, 'Example.test')
        again = await resolve(cluster, 'Example.test', forget=False, id=99)
    assert (len(queries), again.id) == (1, 99)
    assert said(first) == said(again)


async def test_what_an_external_name_leads_to_is_asked_once(resolv_conf):
    cluster = resolver(resolv_conf=resolv_conf(GOOD))
    name = 'external.testns.svc.cluster.local'
    with scripted(GOOD, lambda query: [reply(query)]) as queries:
        first = await resolve(cluster, name)
        again = await resolve(cluster, name, forget=False)
    assert len(queries) == 1 and said(first) == said(again)


async def test_addresses_are_asked_each_time_as_the_cluster_may_get_them(resolv_conf):
    cluster = resolver(resolv_conf=resolv_conf(GOOD))
    with scripted(GOOD, lambda query: [reply(query)]) as queries:
        for _ in range(2):
            await resolve(cluster, '1.2.0.192.in-addr.arpa', 'PTR', forget=False)
    assert len(queries) == 2
