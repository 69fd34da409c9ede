"""Which of several Nodes a Pod would rather be on, for the sake of the Pods that are there: scores, not refusals.

Source: the scoring of InterPodAffinity and PodTopologySpread, pkg/scheduler/framework/plugins. The system's default
constraints of the latter are not applied.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from netkube.api.meta import Object, is_deleting
from netkube.scheduler.labelkeys import selector_of
from netkube.scheduler.nodeaffinity import matches_required
from netkube.scheduler.nodes import Labels, Placed
from netkube.scheduler.podaffinity import NamespaceLabels, Term, parse_preferred, parse_terms

WEIGHT = 2  # of each of the two, beside other scores
REQUIRED_COUNTS = 1  # hardPodAffinityWeight
SIGNS = {'podAffinity': 1, 'podAntiAffinity': -1}


class Preferences(msgspec.Struct, frozen=True):
    """By Node, from 0 to 100."""

    affinity: Mapping[str, int]
    spread: Mapping[str, int]

    def score(self, node: str) -> int:
        return WEIGHT * (self.affinity.get(node, 0) + self.spread.get(node, 0))


def has_affinity(pod: Object) -> bool:
    affinity = pod['spec'].get('affinity') or {}
    return 'podAffinity' in affinity or 'podAntiAffinity' in affinity


def has_soft_spread(pod: Object) -> bool:
    return bool(_soft(pod))


def prefer(
    pod: Object, placed: Sequence[Placed], nodes: Mapping[str, Labels], fitting: Collection[str],
    namespace_labels: NamespaceLabels,
) -> Preferences:  # fmt: skip
    """``nodes``: the labels of each Node by its name; ``fitting``: those that can take the Pod."""
    domains: Counter[tuple[str, str]] = Counter()
    for each in placed:
        for term, weight in _bonds(pod, each.pod, namespace_labels):
            value = nodes.get(each.node, {}).get(term.topology_key)
            if value is not None:
                domains[term.topology_key, value] += weight
    affinity = {name: sum(domains[pair] for pair in nodes[name].items()) for name in fitting}
    return Preferences(_scaled(affinity), _spread_scores(pod, placed, nodes, fitting))


def _bonds(pod: Object, other: Object, namespace_labels: NamespaceLabels) -> Iterator[tuple[Term, int]]:
    """What the two want of each other: the Pod prefers, the one that is there prefers or has required."""
    for who, whom in ((pod, other), (other, pod)):
        if not has_affinity(who):
            continue
        for kind, sign in SIGNS.items():
            for term, weight in parse_preferred(who, kind):
                if term.matches(whom, namespace_labels):
                    yield term, sign * weight
    for term in parse_terms(other, 'podAffinity') if has_affinity(other) else ():
        if term.matches(pod, namespace_labels):
            yield term, REQUIRED_COUNTS


def _scaled(scores: Mapping[str, int]) -> dict[str, int]:
    least, most = min(scores.values()), max(scores.values())
    return {name: 100 * (score - least) // (most - least) if most > least else 0 for name, score in scores.items()}


def _soft(pod: Object) -> list[Object]:
    constraints = pod['spec'].get('topologySpreadConstraints') or ()
    return [each for each in constraints if each['whenUnsatisfiable'] == 'ScheduleAnyway']


def _spread_scores(
    pod: Object, placed: Sequence[Placed], nodes: Mapping[str, Labels], fitting: Collection[str]
) -> dict[str, int]:
    """The fewer of its kind there are in a Node's domains, the better; nothing for a Node without the labels."""
    constraints = _soft(pod)
    keys = {each['topologyKey'] for each in constraints}
    eligible = [name for name in fitting if keys and keys <= nodes[name].keys()]
    totals = dict.fromkeys(eligible, 0.0)
    for constraint in constraints:
        counts, key = _count(constraint, pod, placed, nodes), constraint['topologyKey']
        weight = math.log(len({nodes[name][key] for name in eligible}) + 2)
        for name in eligible:
            totals[name] += counts[nodes[name][key]] * weight + constraint['maxSkew'] - 1
    scores = {name: round(total) for name, total in totals.items()}
    least, most = min(scores.values(), default=0), max(scores.values(), default=0)
    return {name: 100 * (most + least - score) // most if most else 100 for name, score in scores.items()}


def _count(constraint: Object, pod: Object, placed: Sequence[Placed], nodes: Mapping[str, Labels]) -> Counter[str]:
    selector, key, namespace = selector_of(constraint, pod), constraint['topologyKey'], pod['metadata']['namespace']
    policy, counts = constraint.get('nodeAffinityPolicy'), Counter[str]()
    for each in placed:
        metadata, labels = each.pod['metadata'], nodes.get(each.node, {})
        if key not in labels or not (policy == 'Ignore' or matches_required(pod, labels, each.node)):
            continue
        if metadata['namespace'] == namespace and selector.matches(metadata.get('labels')):
            counts[labels[key]] += not is_deleting(each.pod)
    return counts
