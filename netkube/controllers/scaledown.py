"""Which Pods go first when a ReplicaSet shrinks.

Source: ActivePodsWithRanks.Less of pkg/controller/controller_utils.go; the first difference decides.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from netkube.api.meta import Object, parse_timestamp
from netkube.controllers.pods import is_active, is_ready, node_name, phase, ready_since, restarts

DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost'
PHASE_ORDER = {'Pending': 0, 'Unknown': 1, 'Running': 2}


def deletion_cost(pod: Object) -> int:
    """The annotation's 32-bit number; 0 when there is none, or none that can be read."""
    text = (pod['metadata'].get('annotations') or {}).get(DELETION_COST, '0')
    try:
        cost = int(text)
    except ValueError:
        return 0
    return cost if -(2**31) <= cost < 2**31 else 0


def pods_to_delete(pods: Sequence[Object], related: Iterable[Object], count: int, now: datetime) -> list[Object]:
    """The ``count`` Pods to go; of ``related`` (the Deployment's other Pods, too) a crowded Node is relieved first."""
    if count >= len(pods):
        return list(pods)
    crowd = Counter(node_name(pod) for pod in related if is_active(pod))
    return sorted(pods, key=lambda pod: _rank(pod, crowd[node_name(pod)], now))[:count]


def _rank(pod: Object, neighbours: int, now: datetime) -> tuple[object, ...]:
    """Smaller goes first."""
    return (
        node_name(pod) != '',
        PHASE_ORDER.get(phase(pod), 0),
        is_ready(pod),
        deletion_cost(pod),
        -neighbours,
        _age_class(ready_since(pod), now) if is_ready(pod) else 0,
        -restarts(pod),
        _age_class(_created(pod), now),
        pod['metadata']['uid'],
    )


def _created(pod: Object) -> datetime | None:
    text = pod['metadata'].get('creationTimestamp')
    return parse_timestamp(text) if text else None


def _age_class(since: datetime | None, now: datetime) -> float:
    """Ages in powers of two, so that of Pods of about one age not always the same goes; unknown is youngest."""
    if since is None:
        return -2
    age = (now.astimezone(UTC) - since).total_seconds()
    return math.floor(math.log2(age * 1e9)) if age > 0 else -1
