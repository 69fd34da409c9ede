"""Revisions of a Deployment: numbers in annotations of its ReplicaSets, newest highest.

Source: SetNewReplicaSetAnnotations and SetReplicasAnnotations of pkg/controller/deployment/util.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netkube.api.meta import Object
from netkube.controllers.rollout import DESIRED_ANNOTATION, MAX_ANNOTATION, Strategy, parse_number

REVISION = 'deployment.kubernetes.io/revision'
HISTORY = 'deployment.kubernetes.io/revision-history'
HISTORY_CHARACTERS = 2000
NOT_COPIED = frozenset({
    'kubectl.kubernetes.io/last-applied-configuration', REVISION, HISTORY, DESIRED_ANNOTATION, MAX_ANNOTATION,
    'deprecated.deployment.rollback.to',
})  # fmt: skip

Annotations = Mapping[str, str]


def annotations_of(obj: Object) -> Annotations:
    return obj['metadata'].get('annotations') or {}


def revision(obj: Object) -> int:
    """0 when it has none."""
    return parse_number(annotations_of(obj).get(REVISION)) or 0


def next_revision(old: Iterable[Object]) -> int:
    return max((revision(replica_set) for replica_set in old), default=0) + 1


def size_annotations(strategy: Strategy) -> Annotations:
    return {DESIRED_ANNOTATION: str(strategy.replicas), MAX_ANNOTATION: str(strategy.max_replicas)}


def revision_annotations(deployment: Annotations, replica_set: Annotations, number: int) -> Annotations:
    """The annotations of the new ReplicaSet: the Deployment's own, its revision, and the ones it had before."""
    copied = {key: value for key, value in deployment.items() if key not in NOT_COPIED}
    annotations = {**replica_set, **copied}
    before = replica_set.get(REVISION)
    if (parse_number(before) or 0) < number:
        annotations[REVISION] = str(number)
        if before is not None:
            annotations[HISTORY] = _history(replica_set.get(HISTORY, ''), before)
    return annotations


def _history(history: str, before: str) -> str:
    """``before`` appended; the oldest entries go when it gets too long."""
    entries = [entry for entry in history.split(',') if entry] + [before]
    while len(entries) > 1 and len(','.join(entries)) > HISTORY_CHARACTERS:
        del entries[0]
    return ','.join(entries)
