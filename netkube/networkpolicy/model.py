"""Which Pods are isolated, which rules apply to them, and who their peers are: what the kernel is to hold.

Pure, and incremental: a change of a Pod, a Namespace or a policy touches the elements and chains that it changes and
no others. ``Contents`` is what there should be; ``touched`` names the places that may differ from what there was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from netkube.api.meta import Key
from netkube.api.selectors import Selector
from netkube.networkpolicy.policies import DIRECTIONS, EGRESS, INGRESS, Pod, PodPeer, Policy, PortRange, allows
from netkube.networkpolicy.ruleset import (
    FAMILIES,
    FIXED_SETS,
    SetSpec,
    family_of,
    isolation_chain,
    isolation_rules,
    peer_set,
    peer_spec,
    policy_chain,
    policy_rules,
    port_set,
    port_spec,
)

Place = tuple[str, str]  # a set or map, and a key in it
Elements = dict[Place, str]  # the value is '' in a set
Label = tuple[str, str, str]  # a namespace, a key, a value

Index = TypeVar('Index')

RESOLVER: Key = ('kube-system', '(resolver)')  # no Pod has such a name
RESOLVER_PORTS = (PortRange('udp', 53, name='dns'), PortRange('tcp', 53, name='dns-tcp'))


class Contents(msgspec.Struct):
    """Chains with their rules, sets and maps, and the elements of each set."""

    chains: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    sets: dict[str, SetSpec] = msgspec.field(default_factory=dict)
    elements: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)

    def copy(self) -> Contents:
        return Contents(dict(self.chains), dict(self.sets), {name: dict(of) for name, of in self.elements.items()})


class Touched(msgspec.Struct):
    """Where ``Contents`` may have changed."""

    chains: set[str] = msgspec.field(default_factory=set)
    sets: set[str] = msgspec.field(default_factory=set)
    places: set[Place] = msgspec.field(default_factory=set)


def resolver_pod(addresses: Iterable[str]) -> Pod:
    """The resolver, as policies for any cluster know it: ``k8s-app: kube-dns`` in Namespace kube-system."""
    return Pod(RESOLVER, {'k8s-app': 'kube-dns'}, tuple(addresses), RESOLVER_PORTS)


class Model:
    def __init__(self, resolvers: Iterable[str] = ()) -> None:
        self.contents = Contents(sets=dict(FIXED_SETS), elements={name: {} for name in FIXED_SETS})
        self.touched = Touched()
        self.policies: dict[Key, Policy] = {}
        self._pods: dict[Key, Pod] = {}
        self._pods_of: dict[str, set[Key]] = defaultdict(set)
        self._pods_with: dict[Label, set[Key]] = defaultdict(set)
        self._policies_of: dict[str, set[Key]] = defaultdict(set)
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._peers: dict[PodPeer, set[Key]] = {}  # those that policies name -> the policies
        self._ports: dict[PortRange, set[Key]] = {}
        self._memberships: dict[Key, Elements] = {}  # by Pod: in the sets of peers and named ports
        self._isolations: dict[Key, Elements] = {}  # by Pod: in the maps and sets that are fixed
        self._selected_by: dict[Key, set[Key]] = {}  # Pod -> policies
        self._isolated_by: dict[str, set[Key]] = defaultdict(set)  # chain -> the Pods that use it
        self._chains_of: dict[Key, set[str]] = {}  # and the other way round
        self._resolver = resolver_pod(resolvers)
        if self._resolver.addresses:
            self.set_pod(RESOLVER, self._resolver)

    def addresses(self, pod: Key) -> tuple[str, ...]:
        return self._pods[pod].addresses if pod in self._pods else ()

    # changes

    def set_pod(self, key: Key, pod: Pod | None) -> None:
        old = self._pods.get(key)
        if old == pod:
            return
        if old is not None:
            del self._pods[key]
            _discard(self._pods_of, key[0], key)
            for label in labels_of(old):
                _discard(self._pods_with, label, key)
        if pod is not None:
            self._pods[key] = pod
            self._pods_of[key[0]].add(key)
            for label in labels_of(pod):
                self._pods_with[label].add(key)
        self._join(key)
        self._select(key)
        self._isolate(key)

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """None: it is gone."""
        if self._namespaces.get(name) == labels:
            return
        if labels is None:
            del self._namespaces[name]
        else:
            self._namespaces[name] = labels
        own = list(self._pods_of.get(name, ()))
        for key in own:
            self._join(key)
        for key in list(self._pods) if name == RESOLVER[0] else own:
            self._isolate(key)

    def set_policy(self, key: Key, policy: Policy | None) -> None:
        old = self.policies.pop(key, None)
        _discard(self._policies_of, key[0], key)
        if policy is not None:
            self.policies[key] = policy
            self._policies_of[key[0]].add(key)
        self._name_peers(key, old.pod_peers() if old else set(), policy.pod_peers() if policy else set())
        self._name_ports(key, old.named_ports() if old else set(), policy.named_ports() if policy else set())
        self._set_policy_chains(key, old, policy)
        for pod in self._affected(key[0], [one for one in (old, policy) if one is not None]):
            selected = policy is not None and policy.selects(self._pods[pod])
            (self._selected_by[pod].add if selected else self._selected_by[pod].discard)(key)
            self._isolate(pod)

    def _affected(self, namespace: str, policies: list[Policy]) -> list[Key]:
        """The Pods that one of the policies selects; all that are isolated, if it selects the resolver."""
        if any(policy.selects(self._resolver) for policy in policies):
            return list(self._pods)
        return list({pod.key for policy in policies for pod in self._selected(namespace, policy.pods)})

    def _selected(self, namespace: str, selector: Selector) -> Iterator[Pod]:
        """The Pods of the namespace that match; where labels are asked for by value, only those with one are tried."""
        asked = [(namespace, one.key, one.values[0]) for one in selector.requirements if one.operator == '=']
        choices = [self._pods_with.get(label, set()) for label in asked] or [self._pods_of.get(namespace, set())]
        return (pod for pod in [self._pods[key] for key in min(choices, key=len)] if selector.matches(pod.labels))

    # sets that policies refer to

    def _name_peers(self, policy: Key, old: set[PodPeer], new: set[PodPeer]) -> None:
        for peer in old - new:
            self._peers[peer].discard(policy)
            if not self._peers[peer]:
                del self._peers[peer]
                self._drop_sets(peer_set(peer, family) for family in FAMILIES)
        for peer in new - old:
            if peer not in self._peers:
                self._peers[peer] = set()
                self._add_sets({peer_set(peer, family): peer_spec(peer, family) for family in FAMILIES})
                for pod in self._members(peer):
                    self._put_all(self._memberships[pod.key], peer_elements(peer, pod))
            self._peers[peer].add(policy)

    def _name_ports(self, policy: Key, old: set[PortRange], new: set[PortRange]) -> None:
        for port in old - new:
            self._ports[port].discard(policy)
            if not self._ports[port]:
                del self._ports[port]
                self._drop_sets(port_set(port, family) for family in FAMILIES)
        for port in new - old:
            if port not in self._ports:
                self._ports[port] = set()
                self._add_sets({port_set(port, family): port_spec(family) for family in FAMILIES})
                for pod in self._pods.values():
                    self._put_all(self._memberships[pod.key], port_elements(port, pod))
            self._ports[port].add(policy)

    def _members(self, peer: PodPeer) -> Iterator[Pod]:
        for name in [peer.namespace] if peer.namespaces is None else list(self._pods_of):
            if peer.includes_namespace(name, self._namespaces.get(name, {})):
                yield from self._selected(name, peer.pods)

    def _join(self, key: Key) -> None:
        """One Pod's place in the sets of peers and ports."""
        pod, new = self._pods.get(key), Elements()
        if pod is not None:
            labels = self._namespaces.get(key[0], {})
            for peer in self._peers:
                if peer.includes_namespace(key[0], labels) and peer.pods.matches(pod.labels):
                    new |= peer_elements(peer, pod)
            for port in self._ports:
                new |= port_elements(port, pod)
        self._replace(self._memberships, key, new, keep=pod is not None)

    # isolation

    def _set_policy_chains(self, key: Key, old: Policy | None, new: Policy | None) -> None:
        for direction in DIRECTIONS:
            name = policy_chain(direction, key)
            if new is not None and direction in new.rules:
                self._set_chain(name, policy_rules(direction, new.rules[direction]))
            elif old is not None and direction in old.rules:
                self._set_chain(name, None)

    def _select(self, key: Key) -> None:
        """Which policies select the one Pod."""
        pod = self._pods.get(key)
        if pod is None:
            self._selected_by.pop(key, None)
        else:
            own = self._policies_of.get(key[0], ())
            self._selected_by[key] = {policy for policy in own if self.policies[policy].selects(pod)}

    def _isolate(self, key: Key) -> None:
        """One Pod's verdicts, from the policies that select it."""
        pod, new, chains = self._pods.get(key), Elements(), set[str]()
        if pod is not None and key != RESOLVER:
            by = {direction: self._isolating(key, direction) for direction in DIRECTIONS}
            for direction, policies in by.items():
                if policies:
                    chain = isolation_chain(direction, policies)
                    chains.add(chain)
                    if chain not in self._isolated_by:
                        self._set_chain(chain, isolation_rules(direction, policies))
                    new |= {(f'{direction}{family_of(one)}', one): f'goto {chain}' for one in pod.addresses}
            if any(by.values()):
                new |= {(f'itself{family_of(one)}', f'{one} . {one}'): '' for one in pod.addresses}
            new |= self._without_resolver(pod, by[EGRESS])
        self._use_chains(key, chains)
        self._replace(self._isolations, key, new, keep=pod is not None)

    def _isolating(self, pod: Key, direction: str) -> frozenset[Key]:
        return frozenset(key for key in self._selected_by[pod] if direction in self.policies[key].rules)

    def _without_resolver(self, pod: Pod, egress: frozenset[Key]) -> Elements:
        """The protocols in which the Pod may not ask the resolver."""
        if not self._resolver.addresses:
            return {}
        ingress = self._isolating(RESOLVER, INGRESS)
        return {
            (f'no-resolver{family_of(one)}', f'{one} . {port.protocol}'): ''
            for port in RESOLVER_PORTS
            if not self._passes(EGRESS, egress, self._resolver, port) or not self._passes(INGRESS, ingress, pod, port)
            for one in pod.addresses
        }

    def _passes(self, direction: str, policies: frozenset[Key], peer: Pod, port: PortRange) -> bool:
        """A connection to the resolver passes these policies, of one of its ends; ``peer`` is the other end."""
        labels = self._namespaces.get(peer.key[0], {})
        rules = (rule for key in policies for rule in self.policies[key].rules[direction])
        return not policies or any(allows(rule, peer, labels, self._resolver, port) for rule in rules)

    def _use_chains(self, pod: Key, chains: set[str]) -> None:
        """The Pod uses these; a chain that no Pod uses any more goes."""
        for chain in chains:
            self._isolated_by[chain].add(pod)
        for chain in self._chains_of.pop(pod, set()) - chains:
            _discard(self._isolated_by, chain, pod)
            if chain not in self._isolated_by:
                self._set_chain(chain, None)
        if chains:
            self._chains_of[pod] = chains

    # contents

    def _set_chain(self, name: str, rules: tuple[str, ...] | None) -> None:
        self.touched.chains.add(name)
        if rules is None:
            self.contents.chains.pop(name, None)
        else:
            self.contents.chains[name] = rules

    def _add_sets(self, specs: dict[str, SetSpec]) -> None:
        self.touched.sets |= specs.keys()
        self.contents.sets |= specs
        self.contents.elements |= {name: {} for name in specs}

    def _drop_sets(self, names: Iterable[str]) -> None:
        for name in names:
            self.touched.sets.add(name)
            del self.contents.sets[name]
            for key in self.contents.elements.pop(name):
                self.touched.places.add((name, key))

    def _replace(self, of: dict[Key, Elements], pod: Key, new: Elements, *, keep: bool) -> None:
        for place in of.pop(pod, Elements()).keys() - new.keys():
            self.touched.places.add(place)
            self.contents.elements.get(place[0], {}).pop(place[1], None)
        self._put_all(of.setdefault(pod, Elements()) if keep else Elements(), new)

    def _put_all(self, own: Elements, new: Elements) -> None:
        own |= new
        for place, value in new.items():
            elements = self.contents.elements[place[0]]
            if elements.get(place[1]) != value:
                elements[place[1]] = value
                self.touched.places.add(place)


def _discard(index: dict[Index, set[Key]], value: Index, key: Key) -> None:
    index[value].discard(key)
    if not index[value]:
        del index[value]


def labels_of(pod: Pod) -> Iterator[Label]:
    return ((pod.key[0], key, value) for key, value in pod.labels.items())


def peer_elements(peer: PodPeer, pod: Pod) -> Elements:
    return {(peer_set(peer, family_of(address)), address): '' for address in pod.addresses}


def port_elements(port: PortRange, pod: Pod) -> Elements:
    """Where the Pod has ports of that name."""
    numbers = [one.first for one in pod.ports if (one.protocol, one.name) == (port.protocol, port.name)]
    return {
        (port_set(port, family_of(address)), f'{address} . {number}'): ''
        for address in pod.addresses
        for number in numbers
    }
