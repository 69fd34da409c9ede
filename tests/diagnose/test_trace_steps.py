"""The steps of a trace: from facts to a finding. No kernel, no API."""

from __future__ import annotations

import pytest

from netkube.diagnose.destination import Destination, parse_destination
from netkube.diagnose.endpoints import Backends, find_endpoints, near_misses
from netkube.diagnose.finding import Finding, Report, TraceError
from netkube.diagnose.frontends import find_frontend, find_service
from netkube.diagnose.names import Answer, Lookup, candidates, find_in_hosts, find_name, look_up, ndots, suggest
from netkube.diagnose.objects import (
    ContainerPort,
    Endpoint,
    Pod,
    Service,
    ServicePort,
    parse_endpoints,
    parse_pod,
    parse_service,
    why_not_ready,
)
from netkube.diagnose.path import Way, find_untranslated, find_way, follow
from netkube.diagnose.process import End, find_process
from netkube.network.listeners import Listener
from netkube.network.nfttrace import ACK, PREFIX, RST, SYN, Flow, Hop, Packet
from netkube.node.dnsconfig import ResolverConfig

RESOLVER = ResolverConfig(
    ('10.96.0.10',), ('shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local'), ('ndots:5',)
)
DOMAIN = 'cluster.local'
FAMILIES = [('10.244.0.2', '10.96.0.9', '10.244.0.3'), ('fd00::2', 'fd01::9', 'fd00::3')]


def service(name: str, namespace: str = 'shop', **fields) -> Service:
    given = {'type': 'ClusterIP', 'selector': {'app': name}, 'cluster_ips': ('10.96.0.9',), **fields}
    return Service(namespace, name, **given)


def pod(name: str, ready: bool = True, labels: dict[str, str] | None = None, **fields) -> Pod:
    given = {
        'namespace': 'shop', 'uid': 'u', 'addresses': ('10.244.0.3',), 'phase': 'Running', 'ports': (),
        'why': '' if ready else 'why', 'containers': {}, **fields,
    }  # fmt: skip
    return Pod(name=name, ready=ready, labels={'app': name} if labels is None else labels, **given)


class TestDestination:
    @pytest.mark.parametrize(
        ('text', 'expected'),
        [
            ('web:80', Destination('web:80', 'tcp', 'web', 80, 'tcp')),
            ('http://web', Destination('http://web', 'tcp', 'web', 80, 'http')),
            ('https://web/a?b', Destination('https://web/a?b', 'tcp', 'web', 443, 'https', '/a?b')),
            ('http://web:8080/', Destination('http://web:8080/', 'tcp', 'web', 8080, 'http')),
            ('udp://dns:53', Destination('udp://dns:53', 'udp', 'dns', 53, 'udp')),
            ('[fd00::1]:80', Destination('[fd00::1]:80', 'tcp', 'fd00::1', 80, 'tcp')),
        ],
    )
    def test_read(self, text, expected):
        assert parse_destination(text) == expected

    @pytest.mark.parametrize('text', ['', 'web', 'web:0', 'web:http', 'web:70000', 'gopher://web', ':80', 'http://'])
    def test_refused(self, text):
        with pytest.raises(TraceError):
            parse_destination(text)


class TestNames:
    def test_few_dots_search_first(self):
        assert candidates('web', RESOLVER)[0] == 'web.shop.svc.cluster.local'
        assert candidates('web', RESOLVER)[-1] == 'web'

    def test_many_dots_search_last(self):
        assert candidates('a.b.c.d.e.f', RESOLVER)[0] == 'a.b.c.d.e.f'

    def test_a_last_dot_means_just_this_name(self):
        assert candidates('web.', RESOLVER) == ['web']

    @pytest.mark.parametrize(
        ('options', 'expected'), [((), 1), (('ndots:5',), 5), (('ndots:99',), 15), (('ndots:x',), 1)]
    )
    def test_ndots(self, options, expected):
        assert ndots(ResolverConfig(options=options)) == expected

    def test_hosts(self):
        assert find_in_hosts('Web', '10.0.0.1 a web # not-this\n#10.0.0.2 web\n10.0.0.3 web') == (
            '10.0.0.1',
            '10.0.0.3',
        )

    def test_the_first_name_that_has_an_address_wins(self):
        def ask(nameserver: str, name: str, type: str) -> Answer:
            found = name == 'web.svc.cluster.local'
            return Answer(name, type, nameserver, 'NOERROR' if found else 'NXDOMAIN', ('10.0.0.1',) if found else ())

        lookup = look_up('web', RESOLVER, ['A'], ask)
        assert (lookup.name, lookup.addresses) == ('web.svc.cluster.local', ('10.0.0.1',))
        assert [answer.outcome for answer in lookup.answers] == ['NXDOMAIN', 'NOERROR']

    def test_the_second_nameserver_when_the_first_is_silent(self):
        def ask(nameserver: str, name: str, type: str) -> Answer:
            dead = nameserver == 'one'
            return Answer(name, type, nameserver, 'timed out' if dead else 'NOERROR', () if dead else ('10.0.0.1',))

        lookup = look_up('web', ResolverConfig(('one', 'two')), ['A'], ask)
        assert lookup.addresses == ('10.0.0.1',)

    def test_all_silent_ends_it(self):
        asked = []

        def ask(nameserver: str, name: str, type: str) -> Answer:
            asked.append(name)
            return Answer(name, type, nameserver, 'timed out')

        finding = find_name(look_up('web', RESOLVER, ['A'], ask), [], 'shop', DOMAIN)
        assert len(asked) == 1 and 'nothing answers at the nameserver 10.96.0.10' in finding.advice

    @pytest.mark.parametrize(
        ('host', 'expected'),
        [
            ('wbe', ['web']),
            ('web.shpo', ['web']),
            ('web.harbor', ['web.harbour', 'web']),
            ('carrt', ['cart.till']),
            ('zzz', []),
        ],
    )
    def test_did_you_mean(self, host, expected):
        services = [
            service('web'),
            service('web', 'harbour'),
            service('cart', 'till'),
            service('kubernetes', 'default'),
        ]
        assert suggest(host, services, 'shop')[: len(expected)] == expected
        assert bool(suggest(host, services, 'shop')) == bool(expected)

    def test_a_name_that_exists_without_an_address(self):
        answers = (Answer('db.shop.svc.cluster.local', 'A', '10.96.0.10', 'NXDOMAIN'),)
        finding = find_name(Lookup('db', RESOLVER, answers), [service('db', cluster_ips=())], 'shop', DOMAIN)
        assert finding.advice == 'the headless Service shop/db has no ready endpoint, so its name has no address'


class TestService:
    PORTS = (ServicePort('http', 'tcp', 80, 8080, 30080),)

    @pytest.mark.parametrize(
        ('address', 'port', 'how'),
        [
            ('10.96.0.9', 80, 'cluster IP'),
            ('203.0.113.1', 80, 'external address'),
            ('10.244.240.2', 30080, 'node port'),
        ],
    )
    def test_each_way_in(self, address, port, how):
        web = service('web', ports=self.PORTS, outer_ips=('203.0.113.1',))
        found = find_frontend([web], address, port, 'tcp', ['10.244.240.2'])
        assert (found.how, found.port) == (how, self.PORTS[0])
        assert find_service(found).ok

    def test_no_service(self):
        assert find_frontend([service('web')], '8.8.8.8', 80, 'tcp', []) is None

    def test_another_protocol_is_another_port(self):
        finding = find_service(find_frontend([service('web', ports=self.PORTS)], '10.96.0.9', 80, 'udp', []))
        assert finding.ok is False and 'has no port 80/udp, but 80/tcp (http)' in finding.advice


class TestEndpoints:
    PORT = ServicePort('', 'tcp', 80, 8080)

    def test_ready(self):
        finding = find_endpoints(
            Backends(
                service('web'), self.PORT, (Endpoint('10.244.0.3', 8080, True, True, False, 'web'),), (pod('web'),)
            )
        )
        assert finding.ok and finding.text == '1 of 1 Pod ready'
        assert finding.details == ('web 10.244.0.3:8080: ready',)

    def test_terminating_endpoints_still_serve(self):
        endpoint = Endpoint('10.244.0.3', 8080, False, True, True, 'web')
        finding = find_endpoints(Backends(service('web'), self.PORT, (endpoint,), (pod('web', ready=False),)))
        assert finding.ok and 'terminating' in finding.text

    def test_by_hand_and_empty(self):
        finding = find_endpoints(Backends(service('web', selector={}), self.PORT))
        assert 'no selector and no EndpointSlice with a ready endpoint' in finding.advice

    def test_a_namespace_without_pods(self):
        assert 'there are no Pods in namespace shop' in find_endpoints(Backends(service('web'), self.PORT)).advice

    @pytest.mark.parametrize(
        ('selector', 'labels', 'difference'),
        [
            ({'app': 'web', 'tier': 'x'}, {'app': 'web', 'tier': 'y'}, 'has tier=y, not tier=x'),
            ({'app': 'web', 'tier': 'x'}, {'app': 'web'}, 'lacks the label tier=x'),
            ({'app': 'web', 'tier': 'x'}, {'app': 'cart', 'tier': 'y'}, None),
            ({'app': 'wep'}, {'app': 'web'}, 'has app=web, not app=wep'),
            ({'app': 'web'}, {'name': 'web'}, 'has name=web, not app=web'),
            ({'app': 'web'}, {'app': 'database'}, None),
        ],
    )
    def test_near_misses(self, selector, labels, difference):
        found = [words for _, words in near_misses(selector, [pod('one', labels=labels)])]
        assert found == ([difference] if difference else [])

    def test_a_named_port_is_looked_for_in_each_pod(self):
        named = ServicePort('', 'tcp', 80, 'http')
        declares = pod('web', ports=(ContainerPort('web', 'tcp', 8080),))
        finding = find_endpoints(
            Backends(service('web'), named, (Endpoint('10.244.0.3', 0, True, True, False),), (declares,))
        )
        assert finding.advice.endswith('is the name of no port of its Pods; they declare web=8080/tcp')

    def test_slices_of_many_ports(self):
        slices = [
            {
                'addressType': 'IPv6',
                'ports': [{'name': 'a', 'port': 1, 'protocol': 'TCP'}, {'name': 'b', 'port': 2, 'protocol': 'TCP'}],
                'endpoints': [{'addresses': ['fd00::2']}, {'addresses': ['fd00::3'], 'conditions': {'ready': False}}],
            }
        ]
        found = parse_endpoints(slices, ServicePort('b', 'tcp', 80, 'x'))
        assert [(e.address, e.port, e.ready) for e in found] == [('fd00::2', 2, True), ('fd00::3', 2, False)]


class TestPod:
    METADATA = {'name': 'web', 'namespace': 'shop', 'uid': 'u'}

    @pytest.mark.parametrize(
        ('status', 'why'),
        [
            (
                {'containerStatuses': [{'name': 'a', 'state': {'waiting': {'reason': 'CrashLoopBackOff'}}}]},
                'container a waits: CrashLoopBackOff',
            ),
            (
                {'containerStatuses': [{'name': 'a', 'state': {'terminated': {'exitCode': 3}}}]},
                'container a has ended with exit code 3',
            ),
            (
                {'conditions': [{'type': 'PodScheduled', 'status': 'False', 'message': 'no node'}]},
                'it is Pending: no node',
            ),
            (
                {'phase': 'Running', 'conditions': [{'type': 'Ready', 'status': 'False', 'message': 'unready: [a]'}]},
                'unready: [a]',
            ),
        ],
    )
    def test_why_not_ready(self, status, why):
        assert why_not_ready({'metadata': self.METADATA, 'status': status}) == why

    def test_running_containers_and_declared_ports(self):
        found = parse_pod({
            'metadata': self.METADATA,
            'spec': {'containers': [{'name': 'a', 'ports': [{'containerPort': 80, 'name': 'http'}]}]},
            'status': {
                'phase': 'Running', 'podIPs': [{'ip': '10.0.0.1'}, {'ip': 'fd00::1'}],
                'conditions': [{'type': 'Ready', 'status': 'True'}],
                'containerStatuses': [{'name': 'a', 'state': {'running': {}}, 'containerID': 'netkube://abc'}],
            },
        })  # fmt: skip
        assert (found.ready, found.containers, found.addresses) == (True, {'a': 'abc'}, ('10.0.0.1', 'fd00::1'))
        assert found.ports == (ContainerPort('http', 'tcp', 80),)

    def test_a_service_without_target_port_and_with_a_load_balancer(self):
        found = parse_service({
            'metadata': self.METADATA,
            'spec': {'ports': [{'port': 80}], 'clusterIPs': ['None'], 'externalIPs': ['203.0.113.1']},
            'status': {'loadBalancer': {'ingress': [{'ip': '203.0.113.2'}]}},
        })  # fmt: skip
        assert found.headless and found.ports[0].target == 80 and found.outer_ips == ('203.0.113.1', '203.0.113.2')


def ours(id: int, chain: str, flow: Flow, flags: int = 0) -> Hop:
    return Hop(
        id,
        'inet',
        f'{PREFIX}1',
        chain,
        'rule' if chain == 'prerouting' else 'policy',
        'accept',
        1,
        '',
        Packet(flow, flags),
    )


def theirs(id: int, table: str, chain: str, verdict: str, target: str = '', handle: int = 7) -> Hop:
    return Hop(id, 'ip', table, chain, 'rule', verdict, handle, target)


@pytest.mark.parametrize(('client', 'vip', 'backend'), FAMILIES)
class TestWay:
    def flow(self, client: str, vip: str) -> Flow:
        return Flow('tcp', client, 4000, vip, 80)

    def test_translated_and_answered(self, client, vip, backend):
        flow, after = self.flow(client, vip), Flow('tcp', client, 4000, backend, 8080)
        hops = [
            ours(5, 'prerouting', flow, SYN),
            theirs(5, 'netkube', 'services', 'goto', 'pick-2'),
            theirs(5, 'netkube', 'pick-2', 'accept'),
            theirs(5, 'netkube-policy', 'ingress-shop/open', 'accept'),
            ours(5, 'postrouting', after, SYN),
            ours(5, 'prerouting', after.reversed, SYN | ACK),  # the kernel gives an id again
        ]
        way = follow(flow, hops)
        assert (way.left, way.answer, way.cut) == (after, 'accepted', None)
        finding = find_way(flow, way, '', {backend: 'Pod shop/web'}, False, 'connected')
        assert finding.ok and finding.facts['chosen'] == {'address': backend, 'port': 8080}
        assert 'let through by NetworkPolicy shop/open (ingress)' in finding.details
        assert 'ip netkube: services -> pick-2' in finding.details

    def test_refused_by_the_other_end(self, client, vip, backend):
        flow = self.flow(client, vip)
        way = follow(flow, [ours(1, 'prerouting', flow, SYN), ours(2, 'prerouting', flow.reversed, RST | ACK)])
        assert way.answer == 'refused'

    @pytest.mark.parametrize(
        ('table', 'rule', 'words'),
        [
            (
                'netkube-policy',
                'drop comment "ingress isolated by shop/closed"',
                'NetworkPolicy cuts the connection (ingress',
            ),
            ('netkube', 'reject with tcp reset', 'no endpoint of its Service is ready'),
            ('netkube', 'ct state invalid drop', 'fits no connection'),
            ('netkube', 'ip daddr @guarded ip saddr != @sources drop', 'loadBalancerSourceRanges of its Service'),
            (
                'ufw',
                'tcp dport 80 drop',
                'the rule "tcp dport 80 drop" of chain cutting in the nftables table ip ufw drops',
            ),
        ],
    )
    def test_cut(self, client, vip, backend, table, rule, words):
        flow = self.flow(client, vip)
        way = follow(flow, [ours(1, 'prerouting', flow, SYN), theirs(1, table, 'cutting', 'drop')])
        finding = find_way(flow, way, rule, {}, False, 'dropped')
        assert finding.ok is False and words in finding.advice
        assert finding.facts['cut']['rule'] == rule

    def test_a_frontend_that_is_not_translated(self, client, vip, backend):
        flow = self.flow(client, vip)
        assert 'does not translate' in find_untranslated(flow, Way(True, flow), 'shop/web').advice
        assert find_untranslated(flow, Way(True, Flow('tcp', client, 4000, backend, 80)), 'shop/web') is None

    def test_no_route(self, client, vip, backend):
        flow = self.flow(client, vip)
        way = follow(flow, [ours(1, 'prerouting', flow, SYN)])
        assert 'the Node has no route' in find_way(flow, way, '', {}, False, 'host unreachable').advice

    def test_a_packet_that_never_came(self, client, vip, backend):
        flow = self.flow(client, vip)
        assert 'no packet' in find_way(flow, follow(flow, []), '', {}, False, 'timed out').advice

    def test_hairpin(self, client, vip, backend):
        flow, after = self.flow(client, vip), Flow('tcp', backend, 4000, client, 80)
        way = Way(True, after)
        assert any('hairpin' in detail for detail in find_way(flow, way, '', {}, False, 'connected').details)


class TestProcess:
    def end(self, *listeners: Listener, address: str = '10.244.0.3') -> End:
        return End('Pod shop/web', address, 8080, 'tcp', listeners)

    @pytest.mark.parametrize('address', ['0.0.0.0', '::', '10.244.0.3'])
    def test_listens(self, address):
        assert find_process(self.end(Listener('tcp', address, 8080, 'python3', 5)), None, None).ok

    @pytest.mark.parametrize(('address', 'wildcard'), [('127.0.0.1', '0.0.0.0'), ('::1', '::')])
    def test_loopback_only(self, address, wildcard):
        to = 'fd00::3' if ':' in address else '10.244.0.3'
        finding = find_process(self.end(Listener('tcp', address, 8080, 'node', 5), address=to), None, None)
        assert finding.ok is False and finding.advice.endswith(f'let it listen on {wildcard}')

    def test_another_address_of_its_own(self):
        finding = find_process(self.end(Listener('tcp', '10.0.0.9', 8080)), None, None)
        assert 'listens on 10.0.0.9:8080 only, not on 10.244.0.3:8080' in finding.advice

    def test_of_the_other_family_only(self):
        finding = find_process(self.end(Listener('tcp', '0.0.0.0', 8080), address='fd00::3'), None, None)
        assert finding.advice.endswith('not on [fd00::3]:8080: let it listen on ::')

    def test_nothing_at_all(self):
        assert 'see netkube logs whether it has started' in find_process(self.end(), None, None).advice


class TestVerdict:
    def report(self, works: bool, *steps: Finding) -> str:
        return Report('Pod shop/client', 'web:80', steps, works).verdict

    def test_the_first_cause_counts(self):
        verdict = self.report(
            False,
            Finding('name', True, ''),
            Finding('endpoints', False, '', (), 'selector'),
            Finding('kernel', False, '', (), 'x'),
        )
        assert verdict == 'Pod shop/client does not reach web:80: selector.'

    def test_it_works_but(self):
        assert self.report(True, Finding('process', False, '', (), 'one is deaf')).endswith(
            'reaches web:80. But one is deaf.'
        )
