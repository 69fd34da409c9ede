"""``netkube trace``: why a connection from a Pod works, or not, step by step.

Each step reads its facts, and a pure function makes a finding of them. A step that leads nowhere ends the trace: what
has no address cannot be connected to.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from netkube.diagnose.attempt import Attempt, attempt, find_answer
from netkube.diagnose.containerfiles import read_file
from netkube.diagnose.destination import Destination, is_address, place
from netkube.diagnose.endpoints import Backends, find_endpoints
from netkube.diagnose.finding import Finding, Report, TraceError, listed
from netkube.diagnose.frontends import Frontend, find_frontend, find_service
from netkube.diagnose.names import DEAD, Lookup, find_in_hosts, find_name, look_up, service_of_name
from netkube.diagnose.objects import Cluster, Endpoint, Pod, ServicePort, parse_endpoints
from netkube.diagnose.path import find_untranslated, find_way
from netkube.diagnose.places import Place, Setting, find_place, is_local, listeners_at, netns_of, process_of
from netkube.diagnose.process import End, find_process
from netkube.diagnose.questions import PORT as DNS_PORT
from netkube.diagnose.questions import Nameservers
from netkube.node.dnsconfig import parse_resolv_conf

RECORD_TYPES = {False: 'A', True: 'AAAA'}


class Question(msgspec.Struct, frozen=True):
    """``container`` '' is any; ``timeout`` in seconds is for the connection, and again for its answer."""

    pod: Pod
    container: str
    destination: Destination
    timeout: float = 3.0


class Trace:
    """One trace. ``say`` gets each finding as soon as there is one."""

    def __init__(self, cluster: Cluster, setting: Setting, question: Question, say: Callable[[Finding], None]) -> None:
        self._cluster, self._setting, self._say = cluster, setting, say
        self._pod, self._destination = question.pod, question.destination
        self._question = question
        self._netns = netns_of(setting, question.pod)
        self._steps: list[Finding] = []
        self._places: dict[str, Place] = {}

    def run(self) -> Report:
        """TraceError if the question cannot be put."""
        works = self._run()
        return Report(f'Pod {self._pod.label}', self._destination.text, tuple(self._steps), works)

    def _run(self) -> bool:
        lookup = self._resolve()
        if lookup is not None and not lookup.addresses:
            return False
        address = self._choose(lookup.addresses if lookup else (self._destination.host,))
        frontend = self._find_frontend(address, lookup)
        self._add(find_service(frontend))
        backends = self._find_backends(frontend)
        if backends:
            self._add(find_endpoints(backends))
        tried = self._attempt(address, frontend)
        listens = self._find_listener(tried, backends)
        self._add(find_answer(tried, listens))
        return bool(self._steps[-1].ok)

    def _add(self, finding: Finding) -> None:
        self._steps.append(finding)
        self._say(finding)

    def _resolve(self) -> Lookup | None:
        """None for an address, which needs no name."""
        host = self._destination.host
        if is_address(host):
            return None
        process = process_of(self._netns, self._pod.containers.get(self._question.container, ''))
        resolver = parse_resolv_conf(read_file(process, 'etc/resolv.conf'))
        if addresses := find_in_hosts(host, read_file(process, 'etc/hosts')):
            lookup = Lookup(host, resolver, (), host, addresses, 'hosts')
        else:
            types = [RECORD_TYPES[':' in own] for own in self._pod.addresses]
            lookup = look_up(host, resolver, types, Nameservers(self._netns).ask)
        finding = find_name(lookup, self._cluster.services(), self._pod.namespace, self._cluster.domain)
        if lookup.answers and lookup.answers[-1].outcome in DEAD:
            return self._watch_question(lookup, finding)
        self._add(finding)
        return lookup

    def _watch_question(self, lookup: Lookup, finding: Finding) -> Lookup:
        """A nameserver is silent: the kernel may know why."""
        server = lookup.answers[-1].nameserver
        question = Destination(f'nameserver {server}', 'udp', server, DNS_PORT, 'udp')
        tried = attempt(self._setting.node_netns, self._netns, server, question, self._question.timeout)
        way = find_way(tried.flow, tried.way, tried.rule, {}, self._stays(server), tried.outcome)
        if way.advice:
            finding = msgspec.structs.replace(finding, advice=f'no name can be resolved: {way.advice}')
        self._add(finding)
        self._add(way)
        return lookup

    def _choose(self, addresses: tuple[str, ...]) -> str:
        """The first address of a family that the Pod has, in the order of its own addresses."""
        for own in self._pod.addresses:
            for address in addresses:
                if (':' in address) == (':' in own):
                    return address
        raise TraceError(
            f'pod "{self._pod.name}" has {listed(self._pod.addresses) or "no address"}: '
            f'it cannot reach {listed(addresses)}, which is of another address family'
        )

    def _place(self, address: str) -> Place:
        if address not in self._places:
            self._places[address] = find_place(self._setting, self._cluster, address)
        return self._places[address]

    def _find_frontend(self, address: str, lookup: Lookup | None) -> Frontend:
        services, destination = self._cluster.services(), self._destination
        named = None
        for name in (lookup.name, *lookup.aliases) if lookup else ():
            named = service_of_name(name, services, self._cluster.domain) or named
        found = find_frontend(
            services, address, destination.port, destination.protocol, self._cluster.node_addresses(), named
        )
        if found:
            return found
        how = 'the Pod itself' if self._stays(address) else self._place(address).whose
        return Frontend(how, address, destination.port, destination.protocol)

    def _find_backends(self, frontend: Frontend) -> Backends | None:
        """None where no endpoints are asked for."""
        service = frontend.service
        if service is None or (frontend.port is None and not frontend.headless) or self._is_served_by_node(frontend):
            return None
        port = frontend.port or self._port_of_headless(frontend)
        v6 = ':' in frontend.address
        endpoints = parse_endpoints(self._cluster.endpoint_slices(service), port)
        endpoints = [endpoint for endpoint in endpoints if (':' in endpoint.address) == v6]
        if frontend.headless:
            endpoints = [msgspec.structs.replace(endpoint, port=frontend.number) for endpoint in endpoints]
            port = None
        pods = tuple(_of_family(pod, v6) for pod in self._cluster.pods(service.namespace))
        backends = Backends(service, port, tuple(endpoints), pods)
        if service.selector and not backends.selected:
            others = Backends(service, port, (), tuple(self._cluster.pods(None))).selected
            return msgspec.structs.replace(backends, elsewhere=tuple(others))
        unready = [pod for pod in backends.selected if not pod.ready and pod.phase == 'Running']
        probes = {pod.name: words for pod in unready if (words := self._cluster.last_probe_failure(pod))}
        return msgspec.structs.replace(backends, probes=probes)

    def _port_of_headless(self, frontend: Frontend) -> ServicePort | None:
        assert frontend.service is not None
        return next(iter(frontend.service.ports), None)

    def _attempt(self, address: str, frontend: Frontend) -> Attempt:
        tried = attempt(self._setting.node_netns, self._netns, address, self._destination, self._question.timeout)
        self._add(self._find_untranslated(tried, frontend) or self._find_way(tried, address))
        return tried

    def _find_way(self, tried: Attempt, address: str) -> Finding:
        end = tried.way.left.destination if tried.way.left else ''
        owners = {end: self._place(end).whose} if end else {}
        return find_way(tried.flow, tried.way, tried.rule, owners, self._stays(address), tried.outcome)

    def _find_untranslated(self, tried: Attempt, frontend: Frontend) -> Finding | None:
        if frontend.service is None or frontend.port is None or self._stays(frontend.address):
            return None
        if self._is_served_by_node(frontend):
            return None
        return find_untranslated(tried.flow, tried.way, frontend.service.label)

    def _is_served_by_node(self, frontend: Frontend) -> bool:
        """The Node has the Service's address itself, as that of cluster DNS: it is not translated."""
        return frontend.how == 'cluster IP' and is_local(self._setting.node_netns, frontend.address)

    def _stays(self, address: str) -> bool:
        """It is of the Pod's own namespace."""
        return address in self._pod.addresses or address.startswith('127.') or address == '::1'

    def _find_listener(self, tried: Attempt, backends: Backends | None) -> bool:
        """Whether somebody listens where the packet went, as far as this machine can tell."""
        stays = self._stays(tried.flow.destination)
        end = tried.flow if stays else tried.way.left
        if end is None:
            return False
        place = Place(f'Pod {self._pod.label}', self._netns, True, self._pod) if stays else self._place(end.destination)
        if not place.known:
            return True
        listeners = listeners_at(place, self._destination.protocol)
        there = End(place.whose, end.destination, end.destination_port, end.protocol, listeners, stays)
        service, port = (backends.service, backends.port) if backends else (None, None)
        finding = find_process(there, service, port)
        deaf = self._deaf(backends, end.destination) if finding.ok and backends else []
        if deaf:
            advice = f'other endpoints of the Service are not listened on: {listed(deaf)}'
            finding = msgspec.structs.replace(finding, ok=False, details=(*finding.details, advice), advice=advice)
        self._add(finding)
        return bool(finding.ok) or bool(deaf)

    def _deaf(self, backends: Backends, chosen: str) -> list[str]:
        """The other ready endpoints that no process listens on: the next connection may go there."""
        others = (endpoint for endpoint in backends.endpoints if endpoint.address != chosen)
        return [place(other.address, other.port) for other in others if self._is_deaf(other)]

    def _is_deaf(self, endpoint: Endpoint) -> bool:
        if not (endpoint.ready and endpoint.port):
            return False
        there = self._place(endpoint.address)
        if there.pod is None or not there.known:
            return False
        listeners = listeners_at(there, self._destination.protocol)
        return not any(listener.takes(endpoint.address, endpoint.port) for listener in listeners)


def _of_family(pod: Pod, v6: bool) -> Pod:
    """The Pod with its addresses of one family."""
    return msgspec.structs.replace(pod, addresses=tuple(one for one in pod.addresses if (':' in one) == v6))
