"""Which of the Nodes that can take a Pod is the best one.

Source: NodeResourcesFit (least allocated), NodeAffinity and TaintToleration of pkg/scheduler/framework/plugins,
with their default weights; upstream breaks ties at random, here the Node with fewer Pods wins, then the name.
"""

from __future__ import annotations

from collections.abc import Sequence

from netkube.api.meta import Object
from netkube.api.taints import tolerates
from netkube.scheduler.filters import Candidate
from netkube.scheduler.nodeaffinity import preferred_weight
from netkube.scheduler.preferences import Preferences
from netkube.scheduler.requests import Demand

TAINT_WEIGHT, AFFINITY_WEIGHT, RESOURCES_WEIGHT = 3, 2, 1


def best(
    pod: Object, demand: Demand, candidates: Sequence[Candidate], preferences: Preferences | None = None
) -> Candidate:
    """``candidates`` must not be empty."""
    if len(candidates) == 1:
        return candidates[0]
    taints = _normalized([_soft_taints(pod, each) for each in candidates], reverse=True)
    affinity = _normalized([preferred_weight(pod, each.node.labels, each.node.name) for each in candidates])
    totals = [
        TAINT_WEIGHT * taints[i] + AFFINITY_WEIGHT * affinity[i] + RESOURCES_WEIGHT * least_allocated(demand, each)
        for i, each in enumerate(candidates)
    ]
    if preferences is not None:
        totals = [total + preferences.score(each.node.name) for total, each in zip(totals, candidates, strict=True)]
    order = sorted(range(len(candidates)), key=lambda i: (-totals[i], candidates[i].load.pods, candidates[i].node.name))
    return candidates[order[0]]


def least_allocated(demand: Demand, candidate: Candidate) -> int:
    """0 (full) to 100 (empty), the mean of cpu and memory after the Pod is placed."""
    load, allocatable = candidate.load, candidate.node.allocatable
    free = (
        _free(load.score_cpu + demand.score_cpu, allocatable.get('cpu', 0)),
        _free(load.score_memory + demand.score_memory, allocatable.get('memory', 0)),
    )
    return sum(free) // len(free)


def _free(requested: int, capacity: int) -> int:
    return (capacity - requested) * 100 // capacity if 0 < requested <= capacity else 0


def _soft_taints(pod: Object, candidate: Candidate) -> int:
    tolerations = pod['spec'].get('tolerations') or ()
    soft = (taint for taint in candidate.node.taints if taint.effect == 'PreferNoSchedule')
    return sum(not any(tolerates(each, taint) for each in tolerations) for taint in soft)


def _normalized(scores: Sequence[int], *, reverse: bool = False) -> list[int]:
    """Scaled to 0..100; ``reverse`` when less is better."""
    most = max(scores)
    scaled = [score * 100 // most if most else 0 for score in scores]
    return [100 - score for score in scaled] if reverse else scaled
