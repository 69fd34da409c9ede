"""The ConfigMap kube-system/kube-dns, and what follows from it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import dns.rcode
import pytest
from dns_cluster import VIP, VIP6, resolver, said
from nameservers import GOOD, OTHER, reply, resolve, scripted

from netkube.api.resources import CONFIGMAPS, EVENTS
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.dns.configuration import Configuration
from netkube.dns.exchange import Nameserver, parse_nameserver
from netkube.dns.forwarding import ConfigError, Forwarding, parse_forwarding
from netkube.testing import eventually, memory_api

DOMAIN = ('cluster', 'local')


def parse(**data: str) -> Forwarding:
    return parse_forwarding(data, DOMAIN, frozenset({VIP, VIP6}))


def test_nothing_said_is_nothing_changed():
    assert parse() == Forwarding()


def test_stub_domains_and_upstreams():
    found = parse(
        stubDomains='{"acme.local": ["192.0.2.1", "192.0.2.2:5353"], "10.in-addr.arpa": ["2001:db8::1"]}',
        upstreamNameservers='["192.0.2.3", "[2001:db8::3]:5353"]',
    )
    assert found.stub_domains == {
        ('acme', 'local'): (Nameserver('192.0.2.1'), Nameserver('192.0.2.2', 5353)),
        ('10', 'in-addr', 'arpa'): (Nameserver('2001:db8::1'),),
    }
    assert found.upstreams == (Nameserver('192.0.2.3'), Nameserver('2001:db8::3', 5353))
    assert [str(each) for each in found.upstreams] == ['192.0.2.3:53', '[2001:db8::3]:5353']


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        ({'federations': '{}'}, 'federations: not supported; there are stubDomains and upstreamNameservers'),
        ({'stubDomains': '["192.0.2.1"]'}, 'stubDomains: must be a JSON object of domains, each with a list of IP '),
        ({'stubDomains': '{'}, 'stubDomains: must be a JSON object'),
        ({'stubDomains': '{"acme.local": []}'}, 'stubDomains[acme.local]: must name at least one nameserver'),
        ({'stubDomains': '{"acme.local": ["ns"]}'}, "stubDomains[acme.local]: 'ns' is not an IP address"),
        ({'stubDomains': '{"a_b": ["192.0.2.1"]}'}, 'stubDomains[a_b]: a lowercase RFC 1123 subdomain must'),
        ({'stubDomains': '{"x.cluster.local": ["192.0.2.1"]}'}, 'stubDomains[x.cluster.local]: is within the cluster'),
        ({'stubDomains': '{"a.b": ["10.96.0.10"]}'}, 'stubDomains[a.b]: 10.96.0.10 is the resolver itself'),
        ({'upstreamNameservers': '["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"]'}, 'upstreamNameservers: must have at '),
        ({'upstreamNameservers': '["1.1.1.1:0"]'}, "upstreamNameservers: '1.1.1.1:0': the port must be between"),
        ({'upstreamNameservers': '"1.1.1.1"'}, 'upstreamNameservers: must be a JSON list of IP addresses'),
    ],
)
def test_what_cannot_be_read_is_said_with_its_key(data, message):
    with pytest.raises(ConfigError) as refused:
        parse(**data)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize('text', ['', '192.0.2', '[::1]', '[::1]:', '192.0.2.1:x', 'name:53', '192.0.2.1:65536'])
def test_what_is_no_nameserver(text):
    with pytest.raises(ValueError, match='IP address|port'):
        parse_nameserver(text)


def answering(nameserver: str, address: str):
    return scripted(nameserver, lambda query: [reply(query, address=address)])


async def test_a_name_goes_to_the_longest_stub_domain_it_is_in():
    cluster = resolver()
    stubs = {('acme', 'test'): (Nameserver(GOOD),), ('lab', 'acme', 'test'): (Nameserver(OTHER),)}
    cluster.configure(Forwarding(stub_domains=stubs))
    expected = {'acme.test.': '192.0.2.1', 'WWW.Acme.Test.': '192.0.2.1', 'x.lab.acme.test.': '192.0.2.2'}
    with answering(GOOD, '192.0.2.1'), answering(OTHER, '192.0.2.2'):
        for name, address in expected.items():
            assert said(await resolve(cluster, name))[1] == [f'{name} 60 IN A {address}']
        other = await resolve(cluster, 'notacme.test')
    assert other.rcode() == dns.rcode.SERVFAIL, 'there is no nameserver for other names'


async def test_reverse_names_that_are_not_the_clusters_have_stub_domains_too():
    cluster = resolver()
    cluster.configure(Forwarding(stub_domains={('192', 'in-addr', 'arpa'): (Nameserver(GOOD),)}))
    with scripted(GOOD, lambda query: [reply(query)]) as queries:
        await resolve(cluster, '1.2.0.192.in-addr.arpa', 'PTR')
    assert len(queries) == 1


async def test_other_upstreams_are_asked_instead_of_the_machines(resolv_conf):
    cluster = resolver(resolv_conf=resolv_conf(GOOD))
    cluster.configure(Forwarding(upstreams=(Nameserver(OTHER),)))
    with answering(GOOD, '192.0.2.1') as machines, answering(OTHER, '192.0.2.2'):
        assert said(await resolve(cluster, 'example.test'))[1] == ['example.test. 60 IN A 192.0.2.2']
    assert machines == []


async def test_what_was_heard_before_a_change_is_forgotten(resolv_conf):
    cluster = resolver(resolv_conf=resolv_conf(GOOD))
    with scripted(GOOD, lambda query: [reply(query)]), scripted(OTHER, lambda query: [reply(query, 3)]):
        await resolve(cluster, 'example.test')
        cluster.configure(Forwarding(upstreams=(Nameserver(OTHER),)))
        assert (await resolve(cluster, 'example.test', forget=False)).rcode() == dns.rcode.NXDOMAIN


# live


@asynccontextmanager
async def running(*bodies):
    tasks = [asyncio.create_task(body.run()) for body in bodies]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def config_map(**data: object) -> dict:
    metadata = {'name': 'kube-dns', 'namespace': 'kube-system'}
    encoded = {key: json.dumps(value) for key, value in data.items()}
    return {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': metadata, 'data': encoded}


async def test_the_config_map_is_followed_and_the_last_good_one_stays():
    async with memory_api(namespaces=('kube-system',)) as api:
        cluster, informers, recorder = resolver(), Informers(api), EventRecorder(api, 'netkube-dns')
        Configuration(cluster, recorder).follow(informers)

        def upstreams(*addresses: str) -> bool:
            return cluster.upstream.forwarding.upstreams == tuple(map(Nameserver, addresses))

        async def events() -> list[str]:
            return [each['message'] for each in (await api.list(EVENTS, 'kube-system')).items]

        async with running(informers, recorder):
            await api.create(CONFIGMAPS, config_map(upstreamNameservers=['192.0.2.1']))
            await eventually(lambda: upstreams('192.0.2.1'))
            await api.update(CONFIGMAPS, config_map(upstreamNameservers=['nonsense']))
            (message,) = await eventually(events)
            assert message.startswith("upstreamNameservers: 'nonsense' is not an IP address")
            assert upstreams('192.0.2.1')
            await api.update(CONFIGMAPS, config_map(upstreamNameservers=['192.0.2.2']))
            await eventually(lambda: upstreams('192.0.2.2'))
            await api.delete(CONFIGMAPS, 'kube-system', 'kube-dns')
            await eventually(upstreams)
