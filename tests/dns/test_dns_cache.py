"""The wire cache: bounded, and never stale."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import dns.message
import dns.rcode
import hypothesis.strategies as st
from dns_cluster import ask, endpoint, endpoint_slice, resolver, said, service
from hypothesis import given, settings

from netkube.dns.cache import VARIANTS, WireCache
from netkube.dns.objects import parse_service, parse_slice
from netkube.dns.resolver import Resolver

SVC = 'testns.svc.cluster.local.'


def change_service(to: Resolver, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
    to.change_service(old and parse_service(old), new and parse_service(new))  # type: ignore[arg-type]


def change_slice(to: Resolver, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
    to.change_slice(old and parse_slice(old), new and parse_slice(new))  # type: ignore[arg-type]


def is_cached(by: Resolver, name: str, rdtype: str = 'A', **options: Any) -> bool:
    key = dns.message.make_query(name, rdtype, **options).to_wire()[2:]
    return bool(by.udp.cache.get(key) or by.udp.cache.find(key))


def test_what_was_asked_once_is_answered_from_bytes_with_the_new_id():
    cluster = resolver()
    first, second = (dns.message.make_query(f'svc1.{SVC}', 'A', id=number).to_wire() for number in (1, 2))
    answer = cluster.resolve(first, cluster.udp)
    assert is_cached(cluster, f'svc1.{SVC}')
    assert cluster.resolve(second, cluster.udp) == second[:2] + answer[2:]


def test_negative_answers_are_kept_too():
    cluster = resolver()
    ask(cluster, f'absent.{SVC}')
    ask(cluster, 'absent.cluster.local')
    assert is_cached(cluster, f'absent.{SVC}') and is_cached(cluster, 'absent.cluster.local')


def test_failures_and_queries_with_cookies_are_not_kept():
    cluster = resolver()
    cluster.synced.clear()
    ask(cluster, f'svc1.{SVC}')
    assert not is_cached(cluster, f'svc1.{SVC}')
    cluster.synced.set()
    cookie = [dns.edns.CookieOption(b'12345678', b'')]
    ask(cluster, f'svc1.{SVC}', options=cookie)
    assert not is_cached(cluster, f'svc1.{SVC}', options=cookie)


def test_udp_and_tcp_answers_are_kept_apart():
    pods = [endpoint(f'10.1.2.{i}') for i in range(1, 101)]
    cluster = resolver((service('many', 'None'), endpoint_slice('many', *pods)))
    for _ in range(VARIANTS + 1):
        assert len(ask(cluster, f'many.{SVC}', transport='udp').answer[0]) < 100
        assert len(ask(cluster, f'many.{SVC}', transport='tcp').answer[0]) == 100


def test_the_addresses_of_a_headless_service_come_in_changing_order():
    pods = [endpoint(f'10.1.2.{i}') for i in range(1, 31)]
    cluster = resolver((service('many', 'None'), endpoint_slice('many', *pods)))
    first = {ask(cluster, f'many.{SVC}').answer[0][0].address for _ in range(VARIANTS * 4)}
    assert len(first) > 1
    assert is_cached(cluster, f'many.{SVC}')


def test_a_change_drops_the_answers_it_touches_and_no_others():
    cluster = resolver()
    for name in (f'svc1.{SVC}', f'dual.{SVC}', f'new.{SVC}'):
        ask(cluster, name)
    change_service(cluster, None, service('new', '10.0.0.77'))
    assert said(ask(cluster, f'new.{SVC}'))[1] == [f'new.{SVC} 5 IN A 10.0.0.77']
    assert is_cached(cluster, f'svc1.{SVC}') and is_cached(cluster, f'dual.{SVC}')


def test_a_change_that_dns_cannot_see_drops_nothing():
    cluster = resolver()
    ask(cluster, f'svc1.{SVC}')
    old = service('svc1', '10.0.0.1', ports='http/TCP/80')
    change_service(cluster, old, old | {'metadata': old['metadata'] | {'resourceVersion': '2'}})
    assert is_cached(cluster, f'svc1.{SVC}')


def test_an_alias_follows_its_target():
    cluster = resolver()
    ask(cluster, f'alias.{SVC}')
    old, new = (service('svc1', address, ports='http/TCP/80') for address in ('10.0.0.1', '10.0.0.99'))
    change_service(cluster, old, new)
    assert said(ask(cluster, f'alias.{SVC}'))[1][-1] == f'svc1.{SVC} 5 IN A 10.0.0.99'


def test_a_pointer_follows_its_service():
    cluster = resolver()
    assert said(ask(cluster, '1.0.0.10.in-addr.arpa', 'PTR'))[1]
    change_service(cluster, service('svc1', '10.0.0.1', ports='http/TCP/80'), service('svc1', '10.0.0.2'))
    assert not is_cached(cluster, '1.0.0.10.in-addr.arpa', 'PTR')


def test_a_new_namespace_makes_its_names_exist():
    cluster = resolver()
    for rcode, present in (('NXDOMAIN', True), ('NOERROR', False), ('NXDOMAIN', True)):
        assert said(ask(cluster, 'later.svc.cluster.local'))[0] == rcode
        cluster.set_namespace('later', present=present)


def test_memory_is_bounded():
    cache = WireCache(capacity=100)
    for i in range(1000):
        cache.put(b'%d' % i, b'answer', [('ns', str(i))])
        cache.put_variant(b'v%d' % i, b'answer', [('ns', str(i))])
        assert len(cache._young) + len(cache._old) <= 100
        assert len(cache._young.keys) + len(cache._old.keys) <= 100
    assert cache.get(b'999') == b'answer', 'the newest is there'
    assert cache.find(b'0') is None, 'the oldest is not'


def test_the_old_half_is_found_and_dropped_too():
    cache = WireCache(capacity=4)
    for i in range(3):
        cache.put(b'%d' % i, b'answer', ['cell'])
    assert cache.get(b'0') is None and cache.find(b'0') == b'answer'
    cache.drop(['cell'])
    assert cache.find(b'0') is None


# The property: whatever happened before, a cached answer is what a resolver that never cached would say.

NAMES = ('a', 'b', 'c')
ADDRESSES = ('10.0.0.1', '10.0.0.2', '172.0.0.1', '172.0.0.2', 'fd00::1')
services = st.builds(
    lambda name, address, ports, not_ready: service(name, address, ports=ports, publishNotReadyAddresses=not_ready),
    st.sampled_from(NAMES),
    st.sampled_from((*ADDRESSES, 'None')),
    st.sampled_from(('', 'http/TCP/80', 'http/TCP/80 dns/UDP/53')),
    st.booleans(),
) | st.builds(
    lambda name, target: service(name, type='ExternalName', externalName=f'{target}.{SVC}'),
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
)
slices = st.builds(
    lambda name, endpoints, ports, suffix: endpoint_slice(name, *endpoints, ports=ports, suffix=suffix),
    st.sampled_from(NAMES),
    st.lists(
        st.builds(endpoint, st.sampled_from(ADDRESSES[:4]), st.sampled_from(('', 'pet')), st.booleans()), max_size=3
    ),
    st.sampled_from(('', 'http/TCP/8080')),
    st.sampled_from('12'),
)
questions = st.tuples(
    st.one_of(
        st.builds(
            '{}{}.{}'.format,
            st.sampled_from(('', 'pet.', '172-0-0-1.', '_http._tcp.', '_tcp.', 'x.')),
            st.sampled_from(NAMES),
            st.just(SVC),
        ),
        st.sampled_from((SVC, 'svc.cluster.local', 'later.svc.cluster.local', 'a.later.svc.cluster.local')),
        st.sampled_from(('1.0.0.10.in-addr.arpa', '1.0.0.172.in-addr.arpa', '2.0.0.172.in-addr.arpa')),
    ),
    st.sampled_from(('A', 'AAAA', 'SRV', 'PTR', 'CNAME', 'ANY')),
)
events = st.one_of(
    st.tuples(st.just('put'), services | slices),
    st.tuples(st.just('delete'), services | slices),
    st.tuples(st.just('namespace'), st.booleans()),
)


def _apply(to: Resolver, state: dict[tuple[str, str], dict[str, Any]], event: tuple[str, Any]) -> None:
    verb, value = event
    if verb == 'namespace':
        to.set_namespace('later', present=value)
        return
    key = value['kind'], value['metadata']['name']
    old = state.pop(key, None)
    new = value if verb == 'put' else None
    if new is not None:
        state[key] = new
    (change_service if value['kind'] == 'Service' else change_slice)(to, old, new)


def _all_said(by: Resolver, asked: Iterable[tuple[str, str]], transport: str) -> list[Any]:
    """What is known here; a name to be asked elsewhere counts as None."""
    answers = []
    for name, rdtype in asked:
        outcome = by.resolve(dns.message.make_query(name, rdtype).to_wire(), getattr(by, transport))
        if isinstance(outcome, bytes):
            answers.append(said(dns.message.from_wire(outcome)))
        else:
            outcome.close()
            answers.append(None)
    return answers


@settings(max_examples=100, deadline=None)
@given(st.lists(events, max_size=12), st.lists(questions, min_size=1, max_size=8), st.sampled_from(('udp', 'tcp')))
def test_a_cached_answer_is_the_one_that_would_be_built_now(changes, asked, transport):
    cached, state = resolver(()), {}
    is_there = False
    for event in changes:
        _apply(cached, state, event)
        is_there = event[1] if event[0] == 'namespace' else is_there
        fresh = resolver(state.values())
        fresh.set_namespace('later', present=is_there)
        expected = _all_said(fresh, asked, transport)
        for _ in range(2):  # built, and from the cache
            assert _all_said(cached, asked, transport) == expected
