"""Even spread over zones, nodes, ...: spec.topologySpreadConstraints that forbid.

Source: pkg/scheduler/framework/plugins/podtopologyspread. What only prefers is in ``preferences``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import msgspec

from netkube.api.meta import Object, is_deleting
from netkube.scheduler.labelkeys import selector_of
from netkube.scheduler.nodeaffinity import matches_required
from netkube.scheduler.nodes import Labels, Placed

SKEWED = "node(s) didn't match pod topology spread constraints"
UNLABELED = "node(s) didn't match pod topology spread constraints (missing required label)"


class Spread(msgspec.Struct, frozen=True):
    """One constraint, counted: how many matching Pods each value of the label has."""

    key: str
    max_skew: int
    self_match: int
    counts: Mapping[str, int]
    least: int

    def refusal(self, labels: Labels) -> str:
        """Why a Node with these labels will not do; '' if it will."""
        if self.key not in labels:
            return UNLABELED
        skew = self.counts.get(labels[self.key], 0) + self.self_match - self.least
        return SKEWED if skew > self.max_skew else ''


def survey(
    pod: Object, placed: Sequence[Placed], nodes: Mapping[str, Labels], shunned: Collection[str] = ()
) -> tuple[Spread, ...]:
    """``nodes``: the labels of each Node by its name; ``shunned``: those whose taints the Pod does not tolerate."""
    hard = [
        each
        for each in pod['spec'].get('topologySpreadConstraints') or ()
        if each['whenUnsatisfiable'] == 'DoNotSchedule'
    ]
    keys = {each['topologyKey'] for each in hard}
    labeled = {name: labels for name, labels in nodes.items() if keys <= labels.keys()} if hard else {}
    wanted = {name: labels for name, labels in labeled.items() if matches_required(pod, labels, name)}

    def counted(constraint: Object) -> dict[str, Labels]:
        chosen = labeled if constraint.get('nodeAffinityPolicy') == 'Ignore' else wanted
        out = shunned if constraint.get('nodeTaintsPolicy') == 'Honor' else ()
        return {name: labels for name, labels in chosen.items() if name not in out}

    return tuple(_count(each, pod, placed, counted(each)) for each in hard)


def _count(constraint: Object, pod: Object, placed: Sequence[Placed], nodes: Mapping[str, Labels]) -> Spread:
    key, selector = constraint['topologyKey'], selector_of(constraint, pod)
    counts = Counter({labels[key]: 0 for labels in nodes.values()})
    for each in placed:
        metadata = each.pod['metadata']
        same = metadata['namespace'] == pod['metadata']['namespace'] and selector.matches(metadata.get('labels'))
        if same and each.node in nodes and not is_deleting(each.pod):
            counts[nodes[each.node][key]] += 1
    least = min(counts.values(), default=0) if len(counts) >= (constraint.get('minDomains') or 1) else 0
    self_match = int(selector.matches(pod['metadata'].get('labels')))
    return Spread(key, constraint['maxSkew'], self_match, counts, least)
