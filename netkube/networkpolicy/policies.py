"""What a NetworkPolicy and a Pod say, without the rest: the views that the model is built from.

Pure. The API's words (networking.k8s.io/v1): a policy *isolates* the Pods that it selects in each of its directions;
an isolated Pod's connections are those that a rule of any policy that isolates it allows.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from netkube.api.meta import Key, Object, key_of
from netkube.api.selectors import Selector, from_label_selector

PROTOCOLS = {'TCP': 'tcp', 'UDP': 'udp', 'SCTP': 'sctp'}
INGRESS, EGRESS = 'ingress', 'egress'
DIRECTIONS = (INGRESS, EGRESS)
PEERS = {INGRESS: 'from', EGRESS: 'to'}


class PodPeer(msgspec.Struct, frozen=True):
    """Pods by labels: of one namespace, or, where ``namespaces`` is given, of all namespaces with such labels."""

    pods: Selector
    namespace: str = ''
    namespaces: Selector | None = None

    def includes_namespace(self, name: str, labels: Mapping[str, str]) -> bool:
        return name == self.namespace if self.namespaces is None else self.namespaces.matches(labels)


class BlockPeer(msgspec.Struct, frozen=True):
    """Addresses by prefix, in canonical form, without those in ``excluding``, which do not overlap."""

    cidr: str
    excluding: tuple[str, ...] = ()


class PortRange(msgspec.Struct, frozen=True):
    """Ports of 'tcp', 'udp' or 'sctp'. All of them unless ``first``, which goes to ``last``; or those that the
    destination's containers call ``name``."""

    protocol: str
    first: int = 0
    last: int = 0
    name: str = ''


Peer = PodPeer | BlockPeer


class Rule(msgspec.Struct, frozen=True):
    """What is allowed: any of the peers at any of the ports; None is everybody, everything."""

    peers: tuple[Peer, ...] | None = None
    ports: tuple[PortRange, ...] | None = None


class Policy(msgspec.Struct, frozen=True):
    """``rules`` has an entry for each direction in which the policy isolates."""

    key: Key
    pods: Selector
    rules: Mapping[str, tuple[Rule, ...]]

    def selects(self, pod: Pod) -> bool:
        return pod.key[0] == self.key[0] and self.pods.matches(pod.labels)

    def pod_peers(self) -> set[PodPeer]:
        return {peer for rule in self._all() for peer in rule.peers or () if isinstance(peer, PodPeer)}

    def named_ports(self) -> set[PortRange]:
        return {port for rule in self._all() for port in rule.ports or () if port.name}

    def _all(self) -> Iterable[Rule]:
        return (rule for rules in self.rules.values() for rule in rules)


class Pod(msgspec.Struct, frozen=True):
    """A Pod on the network: its addresses and its named ports (of ``PortRange``'s kind, ``first`` is the number)."""

    key: Key
    labels: Mapping[str, str]
    addresses: tuple[str, ...]
    ports: tuple[PortRange, ...] = ()


def allows(rule: Rule, peer: Pod, peer_namespace: Mapping[str, str], destination: Pod, port: PortRange) -> bool:
    """Whether the rule lets a connection with ``peer`` pass, which goes to that one port of ``destination``.

    ``peer_namespace``: the labels of the peer's Namespace.
    """
    return (rule.peers is None or any(_is_peer(one, peer, peer_namespace) for one in rule.peers)) and (
        rule.ports is None or any(_covers(one, port, destination) for one in rule.ports)
    )


def _is_peer(wanted: Peer, pod: Pod, namespace: Mapping[str, str]) -> bool:
    if isinstance(wanted, PodPeer):
        return wanted.includes_namespace(pod.key[0], namespace) and wanted.pods.matches(pod.labels)
    return any(_contains(wanted, address) for address in pod.addresses)


def _contains(block: BlockPeer, text: str) -> bool:
    address = ipaddress.ip_address(text)
    excluded = any(address in ipaddress.ip_network(one) for one in block.excluding)
    return not excluded and address in ipaddress.ip_network(block.cidr)


def _covers(wanted: PortRange, port: PortRange, destination: Pod) -> bool:
    if wanted.protocol != port.protocol:
        return False
    if wanted.name:
        named = {(one.protocol, one.name, one.first) for one in destination.ports}
        return (wanted.protocol, wanted.name, port.first) in named
    return not wanted.first or wanted.first <= port.first <= wanted.last


def parse_policy(policy: Object) -> Policy:
    """ValueError for what the API server would have refused."""
    spec, key = policy.get('spec') or {}, key_of(policy)
    types = spec.get('policyTypes') or (['Ingress', 'Egress'] if spec.get('egress') else ['Ingress'])
    rules = {
        direction: tuple(_rule(rule, PEERS[direction], key[0]) for rule in spec.get(direction) or ())
        for direction in DIRECTIONS
        if direction.capitalize() in types
    }
    return Policy(key, from_label_selector(spec.get('podSelector') or {}), rules)


def parse_pod(pod: Object, addresses: Iterable[str] = ()) -> Pod | None:
    """``addresses``: those it is about to get; None if it has none (yet, or any more)."""
    status = pod.get('status') or {}
    if status.get('phase') in ('Succeeded', 'Failed'):
        return None
    found = tuple(addresses) or tuple(one['ip'] for one in status.get('podIPs') or () if one.get('ip'))
    if not found:
        return None
    return Pod(key_of(pod), pod['metadata'].get('labels') or {}, found, _named_ports(pod['spec']))


def _named_ports(spec: Mapping[str, Any]) -> tuple[PortRange, ...]:
    sidecars = [one for one in spec.get('initContainers') or () if one.get('restartPolicy') == 'Always']
    return tuple(
        PortRange(PROTOCOLS[port.get('protocol', 'TCP')], port['containerPort'], name=port['name'])
        for container in (*spec.get('containers', ()), *sidecars)
        for port in container.get('ports') or ()
        if port.get('name')
    )


def _rule(rule: Object, peers: str, namespace: str) -> Rule:
    return Rule(
        tuple(_peer(peer, namespace) for peer in rule[peers]) if rule.get(peers) else None,
        tuple(map(_port, rule['ports'])) if rule.get('ports') else None,
    )


def _peer(peer: Object, namespace: str) -> Peer:
    block = peer.get('ipBlock')
    if block is not None:
        excluded = [ipaddress.ip_network(text, strict=False) for text in block.get('except') or ()]
        whole = ipaddress.ip_network(block['cidr'], strict=False)
        return BlockPeer(str(whole), tuple(map(str, ipaddress.collapse_addresses(excluded))))  # type: ignore[type-var]
    pods = from_label_selector(peer.get('podSelector') or {})
    if peer.get('namespaceSelector') is None:
        return PodPeer(pods, namespace)
    return PodPeer(pods, namespaces=from_label_selector(peer['namespaceSelector']))


def _port(port: Object) -> PortRange:
    protocol, number = PROTOCOLS[port.get('protocol', 'TCP')], port.get('port')
    if isinstance(number, str):
        return PortRange(protocol, name=number)
    return PortRange(protocol, number or 0, port.get('endPort') or number or 0)
