"""Pods that want to be with or apart from other Pods. Source: pkg/scheduler/framework/plugins/interpodaffinity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from netkube.api.meta import Object
from netkube.api.selectors import Selector, from_label_selector
from netkube.scheduler.labelkeys import selector_of
from netkube.scheduler.nodes import Labels, Placed

PREFERRED = 'preferredDuringSchedulingIgnoredDuringExecution'
REQUIRED = 'requiredDuringSchedulingIgnoredDuringExecution'
AFFINITY = "node(s) didn't match pod affinity rules"
ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
EXISTING_ANTI_AFFINITY = "node(s) didn't satisfy existing pods anti-affinity rules"

Domain = tuple[str, str]  # (topology key, value)
NamespaceLabels = Callable[[str], Labels]


class Term(msgspec.Struct, frozen=True):
    """Which Pods are meant, and the label whose values are the places they are in."""

    selector: Selector
    namespaces: frozenset[str]
    namespace_selector: Selector
    topology_key: str

    def matches(self, pod: Object, namespace_labels: NamespaceLabels) -> bool:
        namespace = pod['metadata']['namespace']
        if namespace not in self.namespaces and not self.namespace_selector.matches(namespace_labels(namespace)):
            return False
        return self.selector.matches(pod['metadata'].get('labels'))


def parse_terms(pod: Object, kind: str) -> tuple[Term, ...]:
    """``kind`` is podAffinity or podAntiAffinity; only what is required."""
    affinity = (pod['spec'].get('affinity') or {}).get(kind) or {}
    return tuple(_parse_term(each, pod) for each in affinity.get(REQUIRED) or ())


def parse_preferred(pod: Object, kind: str) -> tuple[tuple[Term, int], ...]:
    """Each with its weight."""
    affinity = (pod['spec'].get('affinity') or {}).get(kind) or {}
    return tuple((_parse_term(each['podAffinityTerm'], pod), each['weight']) for each in affinity.get(PREFERRED) or ())


def _parse_term(term: Object, pod: Object) -> Term:
    """Without namespaces and namespaceSelector the Pod's own namespace is meant."""
    named, selector = term.get('namespaces') or [], term.get('namespaceSelector')
    namespaces = named if named or selector is not None else [pod['metadata']['namespace']]
    return Term(selector_of(term, pod), frozenset(namespaces), from_label_selector(selector), term['topologyKey'])


class Neighbourhood(msgspec.Struct, frozen=True):
    """Where one Pod may be, given the Pods that are placed already."""

    affinity: tuple[tuple[str, frozenset[str]], ...]  # one for each term: the topology key, the values that will do
    anti: frozenset[Domain]
    existing_anti: frozenset[Domain]

    def refusal(self, labels: Labels) -> str:
        """Why a Node with these labels will not do; '' if it will."""
        if not all(labels.get(key) in values for key, values in self.affinity):
            return AFFINITY
        domains = labels.items()
        if self.anti & domains:
            return ANTI_AFFINITY
        return EXISTING_ANTI_AFFINITY if self.existing_anti & domains else ''


def survey(
    pod: Object, placed: Sequence[Placed], nodes: Mapping[str, Labels], namespace_labels: NamespaceLabels
) -> Neighbourhood:
    """``nodes``: the labels of each Node by its name."""

    def domains(terms: Iterable[Term]) -> frozenset[Domain]:
        found = ((term, each) for term in terms for each in placed if term.matches(each.pod, namespace_labels))
        return frozenset(_domain(term, each, nodes) for term, each in found) - {('', '')}

    wanted = parse_terms(pod, 'podAffinity')
    affinity = tuple((term.topology_key, frozenset(value for _, value in domains([term]))) for term in wanted)
    if wanted and not any(values for _, values in affinity) and all(t.matches(pod, namespace_labels) for t in wanted):
        # The first of a group that wants to be together: anywhere that has the keys.
        affinity = tuple(
            (key, frozenset(labels[key] for labels in nodes.values() if key in labels)) for key, _ in affinity
        )
    existing = (
        _domain(term, each, nodes)
        for each in placed
        if each.has_anti_affinity
        for term in parse_terms(each.pod, 'podAntiAffinity')
        if term.matches(pod, namespace_labels)
    )
    return Neighbourhood(affinity, domains(parse_terms(pod, 'podAntiAffinity')), frozenset(existing) - {('', '')})


def _domain(term: Term, placed: Placed, nodes: Mapping[str, Labels]) -> Domain:
    """Where a placed Pod is; ('', '') when its Node does not have the key."""
    value = nodes.get(placed.node, {}).get(term.topology_key)
    return (term.topology_key, value) if value is not None else ('', '')
