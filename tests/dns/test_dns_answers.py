"""Question -> answer. The cases are those of the Kubernetes DNS specification 1.1.0 and of CoreDNS."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import pytest
from dns_cluster import SOA, ask, endpoint, endpoint_slice, resolver, said, service

from netkube.dns.objects import parse_service

SVC = 'testns.svc.cluster.local.'
V6_ENDPOINT = '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.c.b.a.8.7.6.5.ip6.arpa.'
FOUND = {
    # a Service with a cluster IP
    f'svc1.{SVC} A': [f'svc1.{SVC} 5 IN A 10.0.0.1'],
    f'svc6.{SVC} AAAA': [f'svc6.{SVC} 5 IN AAAA 1234:abcd::1'],
    f'dual.{SVC} A': [f'dual.{SVC} 5 IN A 10.0.0.3'],
    f'dual.{SVC} AAAA': [f'dual.{SVC} 5 IN AAAA 10::3'],
    f'_http._tcp.svc1.{SVC} SRV': [f'_http._tcp.svc1.{SVC} 5 IN SRV 0 100 80 svc1.{SVC}'],
    f'_dns._udp.dual.{SVC} SRV': [f'_dns._udp.dual.{SVC} 5 IN SRV 0 100 53 dual.{SVC}'],
    f'svc1.{SVC} SRV': [f'svc1.{SVC} 5 IN SRV 0 100 80 svc1.{SVC}'],
    f'portless.{SVC} SRV': [f'portless.{SVC} 5 IN SRV 0 100 80 portless.{SVC}'],
    f'172-0-0-1.svc1.{SVC} A': [f'172-0-0-1.svc1.{SVC} 5 IN A 172.0.0.1'],
    '1.0.0.10.in-addr.arpa. PTR': [f'1.0.0.10.in-addr.arpa. 5 IN PTR svc1.{SVC}'],
    '3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.ip6.arpa. PTR': [
        f'3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.ip6.arpa. 5 IN PTR dual.{SVC}'
    ],
    # a headless Service
    f'headless.{SVC} A': [f'headless.{SVC} 5 IN A 172.0.0.{i}' for i in (2, 3, 4, 5)],
    f'headless.{SVC} AAAA': [f'headless.{SVC} 5 IN AAAA 5678:abcd::1'],
    f'172-0-0-2.headless.{SVC} A': [f'172-0-0-2.headless.{SVC} 5 IN A 172.0.0.2'],
    f'pet-0.headless.{SVC} A': [f'pet-0.headless.{SVC} 5 IN A 172.0.0.3'],
    f'pet-1.headless.{SVC} A': [f'pet-1.headless.{SVC} 5 IN A 172.0.0.{i}' for i in (4, 5)],
    f'5678-abcd--1.headless.{SVC} AAAA': [f'5678-abcd--1.headless.{SVC} 5 IN AAAA 5678:abcd::1'],
    f'_http._tcp.headless.{SVC} SRV': [
        f'_http._tcp.headless.{SVC} 5 IN SRV 0 25 8080 {host}.headless.{SVC}'
        for host in ('172-0-0-2', '5678-abcd--1', 'pet-0', 'pet-1')
    ],
    f'starting.{SVC} A': [f'starting.{SVC} 5 IN A 172.0.0.7'],
    f'{V6_ENDPOINT} PTR': [f'{V6_ENDPOINT} 5 IN PTR 5678-abcd--1.headless.{SVC}'],
    '3.0.0.172.in-addr.arpa. PTR': [f'3.0.0.172.in-addr.arpa. 5 IN PTR pet-0.headless.{SVC}'],
    # an ExternalName Service
    f'external.{SVC} CNAME': [f'external.{SVC} 5 IN CNAME ext.interwebs.test.'],
    f'alias.{SVC} A': [f'alias.{SVC} 5 IN CNAME svc1.{SVC}', f'svc1.{SVC} 5 IN A 10.0.0.1'],
    # Pods, and the zone itself
    '10-1-2-3.testns.pod.cluster.local. A': ['10-1-2-3.testns.pod.cluster.local. 5 IN A 10.1.2.3'],
    '2001-db8--1.testns.pod.cluster.local. AAAA': ['2001-db8--1.testns.pod.cluster.local. 5 IN AAAA 2001:db8::1'],
    'dns-version.cluster.local. TXT': ['dns-version.cluster.local. 5 IN TXT "1.1.0"'],
    'cluster.local. SOA': [SOA],
    'cluster.local. NS': ['cluster.local. 5 IN NS ns.dns.cluster.local.'],
    'ns.dns.cluster.local. A': ['ns.dns.cluster.local. 5 IN A 10.96.0.10'],
    'ns.dns.cluster.local. AAAA': ['ns.dns.cluster.local. 5 IN AAAA fd00:10:96::a'],
}

NODATA = (
    f'svc1.{SVC} AAAA',
    f'svc6.{SVC} A',
    f'svc1.{SVC} MX',
    f'svc1.{SVC} SOA',
    f'_http._tcp.svc1.{SVC} A',
    f'pet-0.headless.{SVC} AAAA',
    'cluster.local. A',
    # empty non-terminals
    'svc.cluster.local. A',
    'pod.cluster.local. A',
    'dns.cluster.local. A',
    'testns.svc.cluster.local. A',
    'testns.svc.cluster.local. NS',
    'testns.pod.cluster.local. A',
    'empty.svc.cluster.local. A',
    f'_tcp.svc1.{SVC} SRV',
)

NXDOMAIN = (
    f'svc0.{SVC} A',
    f'svc0.{SVC} AAAA',
    'svc1.absent.svc.cluster.local. A',
    'absent.svc.cluster.local. NS',
    'svc1.empty.svc.cluster.local. A',
    'foo.cluster.local. NS',
    f'nobody.{SVC} A',  # headless without a ready endpoint: specification, 2.4.1
    f'pet-2.headless.{SVC} A',
    f'bogus.headless.{SVC} A',
    f'bogus.svc1.{SVC} A',
    f'endpoint.external.{SVC} CNAME',
    f'_https._tcp.svc1.{SVC} SRV',
    f'_http._udp.svc1.{SVC} SRV',
    f'deep.under.a.name.{SVC} A',
    '10-1-2-3.absent.pod.cluster.local. A',
    '10-1-2-300.testns.pod.cluster.local. A',
    'not-an-ip.testns.pod.cluster.local. A',
    'a.10-1-2-3.testns.pod.cluster.local. A',
    'www.example.com.testns.svc.cluster.local. A',  # what search paths make of other names
    'www.example.com.svc.cluster.local. A',
    'www.example.com.cluster.local. A',
    f'*.{SVC} A',  # wildcards, which kube-dns once had, are names like any other
    f'*.headless.{SVC} A',
    f'*._tcp.svc1.{SVC} SRV',
    f'_*._tcp.svc1.{SVC} SRV',
    'svc1.*.svc.cluster.local. A',
    '10-1-2-3.*.pod.cluster.local. A',
)


@pytest.fixture(scope='module')
def cluster():
    return resolver()


@pytest.mark.parametrize('question', FOUND)
def test_a_name_has_its_records(cluster, question):
    rcode, answer, authority, _ = said(ask(cluster, *question.split()))
    assert (rcode, answer, authority) == ('NOERROR', FOUND[question], [])


@pytest.mark.parametrize('question', NODATA)
def test_a_name_without_records_of_that_type_is_no_data(cluster, question):
    assert said(ask(cluster, *question.split())) == ('NOERROR', [], [SOA], [])


@pytest.mark.parametrize('question', NXDOMAIN)
def test_a_name_that_does_not_exist_is_nxdomain(cluster, question):
    assert said(ask(cluster, *question.split())) == ('NXDOMAIN', [], [SOA], [])


def test_srv_records_come_with_the_addresses_of_their_targets(cluster):
    *_, additional = said(ask(cluster, f'_http._tcp.headless.{SVC}', 'SRV'))
    assert additional == [
        f'172-0-0-2.headless.{SVC} 5 IN A 172.0.0.2',
        f'pet-0.headless.{SVC} 5 IN A 172.0.0.3',
        f'pet-1.headless.{SVC} 5 IN A 172.0.0.4',
        f'pet-1.headless.{SVC} 5 IN A 172.0.0.5',
        f'5678-abcd--1.headless.{SVC} 5 IN AAAA 5678:abcd::1',
    ]


def test_any_gives_all_records_of_a_name(cluster):
    rcode, answer, *_ = said(ask(cluster, f'dual.{SVC}', 'ANY'))
    assert {line.split()[3] for line in answer} == {'A', 'AAAA', 'SRV'}


def test_a_headless_service_follows_its_endpoints_conditions():
    """Terminating endpoints are not ready, even while they still serve; publishNotReadyAddresses has them all."""
    going = endpoint('172.0.0.1')
    going['conditions'] = {'ready': False, 'serving': True, 'terminating': True}
    for publish, rcode in ((False, 'NXDOMAIN'), (True, 'NOERROR')):
        objects = (service('s', 'None', publishNotReadyAddresses=publish), endpoint_slice('s', going))
        assert said(ask(resolver(objects), f's.{SVC}'))[0] == rcode


def test_the_name_of_an_address_goes_with_the_service_that_gave_it():
    cluster = resolver((service('s', 'None'), endpoint_slice('s', endpoint('172.0.0.1', hostname='a'))))
    reverse = '1.0.0.172.in-addr.arpa.'
    assert said(ask(cluster, reverse, 'PTR'))[1] == [f'{reverse} 5 IN PTR a.s.{SVC}']
    before = parse_service(service('s', 'None'))
    cluster.change_service(before, after := parse_service(service('s', '10.0.0.9')))
    query = dns.message.make_query(reverse, 'PTR').to_wire()
    elsewhere = cluster.resolve(query, cluster.udp)
    assert not isinstance(elsewhere, bytes), 'it is asked elsewhere: that Service is not headless any more'
    elsewhere.close()
    assert said(ask(cluster, '9.0.0.10.in-addr.arpa.', 'PTR'))[1] == [f'9.0.0.10.in-addr.arpa. 5 IN PTR s.{SVC}']
    cluster.change_service(after, before)
    assert said(ask(cluster, reverse, 'PTR'))[1] == [f'{reverse} 5 IN PTR a.s.{SVC}']


def test_an_external_name_that_ends_in_nothing_is_nxdomain_after_its_cname(cluster):
    target = f'dangling.{SVC} 5 IN CNAME absent.{SVC}'
    assert said(ask(cluster, f'dangling.{SVC}')) == ('NXDOMAIN', [target], [SOA], [])


def test_external_names_in_a_circle_are_a_failure(cluster):
    assert ask(cluster, f'loop.{SVC}').rcode() == dns.rcode.SERVFAIL


def test_the_question_comes_back_in_its_own_letters(cluster):
    answer = ask(cluster, f'sVc1.{SVC.upper()}')
    assert answer.question[0].name.to_text() == f'sVc1.{SVC.upper()}'
    assert said(answer)[1] == [f'sVc1.{SVC.upper()} 5 IN A 10.0.0.1']


def test_an_answer_is_authoritative_and_recursion_is_offered(cluster):
    assert ask(cluster, f'svc1.{SVC}').flags == dns.flags.QR | dns.flags.AA | dns.flags.RD | dns.flags.RA


def test_the_cluster_domain_is_configuration():
    name = 'svc1.testns.svc.mycompany.com.'
    assert said(ask(resolver(domain='MyCompany.com'), name))[1] == [f'{name} 5 IN A 10.0.0.1']


def test_until_the_zone_is_known_every_name_that_may_be_ours_is_a_failure():
    starting = resolver(())
    starting.synced.clear()
    for name, rdtype in ((f'svc1.{SVC}', 'A'), ('absent.cluster.local', 'A'), ('1.0.0.10.in-addr.arpa', 'PTR')):
        assert said(ask(starting, name, rdtype)) == ('SERVFAIL', [], [], [])
    starting.synced.set()
    assert ask(starting, 'absent.cluster.local').rcode() == dns.rcode.NXDOMAIN


# what is refused


def raw(cluster, wire: bytes) -> bytes | None:
    return cluster.resolve(wire, cluster.udp)


def test_zone_transfers_and_other_classes_are_refused(cluster):
    assert ask(cluster, 'cluster.local', 'AXFR').rcode() == dns.rcode.REFUSED
    assert ask(cluster, 'version.bind', 'TXT', rdclass='CH').rcode() == dns.rcode.REFUSED


def test_a_newer_edns_is_refused_with_its_name(cluster):
    assert ask(cluster, f'svc1.{SVC}', use_edns=1).rcode() == dns.rcode.BADVERS


def test_updates_are_not_implemented(cluster):
    wire = bytearray(dns.message.make_query('a.cluster.local', 'A').to_wire())
    wire[2] |= 5 << 3
    assert raw(cluster, bytes(wire))[3] == dns.rcode.NOTIMP


@pytest.mark.parametrize(
    'body',
    [
        b'\1\0\0\1\0\0\0\0\0\0',  # announces a question and has none
        b'\1\0\0\0\0\0\0\0\0\0',  # no question
        b'\1\0\0\1\0\0\0\0\0\0\xc0\x0a\0\1\0\1',  # a name that points into the header
        b'\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1more',
        b'\1\0\0\1\0\0\0\0\0\0\x41a\0\0\1\0\1',
        b'\1\0\0\2\0\0\0\0\0\0\1a\0\0\1\0\1\1b\0\0\1\0\1',  # two questions
    ],
)
def test_malformed_queries_are_told_so_under_their_id(cluster, body):
    answer = raw(cluster, b'id' + body)
    assert answer[:2] == b'id' and answer[2] & 0x80 and answer[3] & 15 == dns.rcode.FORMERR


@pytest.mark.parametrize('wire', [b'', b'short', b'id\x81\0' + bytes(8)])
def test_what_is_no_query_gets_no_answer(cluster, wire):
    assert raw(cluster, wire) is None


# size


@pytest.fixture(scope='module')
def crowd():
    pods = [endpoint(f'10.1.{i // 250}.{i % 250 + 1}') for i in range(1000)]
    return resolver((service('many', 'None', ports='http/TCP/80'), endpoint_slice('many', *pods, ports='http/TCP/80')))


@pytest.mark.parametrize(
    ('options', 'size'),
    [({}, 512), ({'use_edns': 0, 'payload': 1232}, 1232), ({'use_edns': 0, 'payload': 65535}, 4096)],
)
def test_what_a_datagram_cannot_hold_is_cut_and_marked(crowd, options, size):
    query = dns.message.make_query(f'many.{SVC}', 'A', **options)
    wire = crowd.resolve(query.to_wire(), crowd.udp)
    answer = dns.message.from_wire(wire)
    assert answer.flags & dns.flags.TC
    assert size - 16 < len(wire) <= size, 'as many records as there is room for'


def test_tcp_has_room_for_all(crowd):
    answer = ask(crowd, f'many.{SVC}', transport='tcp')
    assert not answer.flags & dns.flags.TC and len(answer.answer[0]) == 1000


def test_additional_records_are_left_out_without_a_mark():
    pods = [endpoint(f'10.1.2.{i}') for i in range(1, 7)]
    few = resolver((service('few', 'None'), endpoint_slice('few', *pods, ports='http/TCP/80')))
    answer = ask(few, f'_http._tcp.few.{SVC}', 'SRV')
    assert len(answer.answer[0]) == 6 and not answer.additional and not answer.flags & dns.flags.TC
