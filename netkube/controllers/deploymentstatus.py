"""The status of a Deployment. Sources: pkg/controller/deployment/{progress,sync}.go and util/deployment_util.go."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from netkube.api.meta import Object, parse_timestamp
from netkube.controllers.conditions import (
    Conditions,
    deployment_condition,
    find_condition,
    with_condition,
    without_condition,
)
from netkube.controllers.rollout import Strategy

NO_DEADLINE = 2**31 - 1
COMPLETE, TIMED_OUT = 'NewReplicaSetAvailable', 'ProgressDeadlineExceeded'
PAUSED, RESUMED = 'DeploymentPaused', 'DeploymentResumed'


class Counts(msgspec.Struct, frozen=True):
    """Replicas over all ReplicaSets of a Deployment."""

    wanted: int = 0
    current: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    terminating: int = 0


def progress_deadline(deployment: Object) -> int | None:
    """Seconds; None when progress is not watched."""
    seconds = deployment['spec'].get('progressDeadlineSeconds')
    return None if seconds in (None, NO_DEADLINE) else seconds


def count_replicas(replica_sets: Sequence[Object], new: Object | None) -> Counts:
    def total(field: str) -> int:
        return sum((obj.get('status') or {}).get(field, 0) for obj in replica_sets)

    return Counts(
        wanted=sum(obj['spec'].get('replicas', 1) for obj in replica_sets),
        current=total('replicas'),
        updated=(new.get('status') or {}).get('replicas', 0) if new is not None else 0,
        ready=total('readyReplicas'),
        available=total('availableReplicas'),
        terminating=total('terminatingReplicas'),
    )


def plan_status(deployment: Object, strategy: Strategy, counts: Counts, now: datetime) -> Object:
    """The counts and the Available condition; the other conditions as they are."""
    before = deployment.get('status') or {}
    numbers = {
        'observedGeneration': deployment['metadata'].get('generation', 0),
        'replicas': counts.current,
        'updatedReplicas': counts.updated,
        'readyReplicas': counts.ready,
        'availableReplicas': counts.available,
        'unavailableReplicas': max(counts.wanted - counts.available, 0),
    }
    status: Object = {name: number for name, number in numbers.items() if number}
    status['terminatingReplicas'] = counts.terminating
    if 'collisionCount' in before:
        status['collisionCount'] = before['collisionCount']
    available = _available(counts.available >= strategy.min_available, now)
    return _with(status, with_condition(tuple(before.get('conditions') or ()), available))


def plan_rollout_status(
    deployment: Object, strategy: Strategy, replica_sets: Sequence[Object], new: Object | None, now: datetime
) -> Object:
    """The status in a rollout: progress and ReplicaFailure, too."""
    status = plan_status(deployment, strategy, count_replicas(replica_sets, new), now)
    conditions: Conditions = tuple(status['conditions'])
    if progress_deadline(deployment) is None:
        conditions = without_condition(conditions, 'Progressing')
    else:
        conditions = _with_progress(deployment, strategy, status, conditions, new, now)
    failure = _replica_failure(replica_sets, new)
    if failure is None:
        conditions = without_condition(conditions, 'ReplicaFailure')
    else:
        conditions = with_condition(conditions, failure)
    return _with(status, conditions)


def is_complete(deployment: Object, strategy: Strategy, status: Object) -> bool:
    """Every replica is of the new template and available."""
    updated, current, available = (status.get(name, 0) for name in ('updatedReplicas', 'replicas', 'availableReplicas'))
    observed = status.get('observedGeneration', 0) >= deployment['metadata'].get('generation', 0)
    return updated == current == available == strategy.replicas and observed


def plan_pause(deployment: Object, now: datetime) -> Object | None:
    """The status when spec.paused has just changed, so that a pause does not count against the deadline; else None."""
    status = deployment.get('status') or {}
    progress = find_condition(status.get('conditions'), 'Progressing')
    reason = progress.get('reason') if progress is not None else None
    paused = bool(deployment['spec'].get('paused'))
    if progress_deadline(deployment) is None or reason == TIMED_OUT or paused == (reason == PAUSED):
        return None
    if paused:
        changed = deployment_condition('Progressing', 'Unknown', PAUSED, 'Deployment is paused', now)
    else:
        changed = deployment_condition('Progressing', 'Unknown', RESUMED, 'Deployment is resumed', now)
    return _with(status, with_condition(tuple(status.get('conditions') or ()), changed))


def with_progress(deployment: Object, reason: str, message: str, now: datetime, *, status: str = 'True') -> Object:
    """The Deployment's status with this Progressing condition."""
    before = deployment.get('status') or {}
    progress = deployment_condition('Progressing', status, reason, message, now)
    return _with(before, with_condition(tuple(before.get('conditions') or ()), progress))


def deadline_in(deployment: Object, strategy: Strategy, now: datetime) -> float | None:
    """Seconds until the rollout may have to be called stuck; None when nothing is to be watched."""
    status, deadline = deployment.get('status') or {}, progress_deadline(deployment)
    progress = find_condition(status.get('conditions'), 'Progressing')
    if deadline is None or progress is None or progress.get('reason') == TIMED_OUT:
        return None
    if is_complete(deployment, strategy, status):
        return None
    return max((_updated(progress) + timedelta(seconds=deadline) - now).total_seconds(), 0) + 1


def _with(status: Object, conditions: Conditions) -> Object:
    return status | {'conditions': list(conditions)}


def _available(enough: bool, now: datetime) -> Object:
    if enough:
        return deployment_condition(
            'Available', 'True', 'MinimumReplicasAvailable', 'Deployment has minimum availability.', now
        )
    return deployment_condition(
        'Available', 'False', 'MinimumReplicasUnavailable', 'Deployment does not have minimum availability.', now
    )


def _with_progress(
    deployment: Object, strategy: Strategy, status: Object, conditions: Conditions, new: Object | None, now: datetime
) -> Conditions:
    current = find_condition(conditions, 'Progressing')
    all_updated = status.get('replicas', 0) == status.get('updatedReplicas', 0)
    if all_updated and current is not None and current.get('reason') == COMPLETE:
        return conditions
    kind, name = ('Deployment', deployment) if new is None else ('ReplicaSet', new)
    subject = f'{kind} "{name["metadata"]["name"]}"'
    if is_complete(deployment, strategy, status):
        done = deployment_condition('Progressing', 'True', COMPLETE, f'{subject} has successfully progressed.', now)
        return with_condition(conditions, done)
    if _progresses(deployment.get('status') or {}, status):
        moving = deployment_condition('Progressing', 'True', 'ReplicaSetUpdated', f'{subject} is progressing.', now)
        if current is not None and current['status'] == 'True':
            moving['lastTransitionTime'] = current['lastTransitionTime']
        return (*without_condition(conditions, 'Progressing'), moving)
    if _timed_out(deployment, current, now):
        stuck = deployment_condition('Progressing', 'False', TIMED_OUT, f'{subject} has timed out progressing.', now)
        return with_condition(conditions, stuck)
    return conditions


def _progresses(before: Object, after: Object) -> bool:
    def old(status: Object) -> int:
        return status.get('replicas', 0) - status.get('updatedReplicas', 0)

    grown = ('updatedReplicas', 'readyReplicas', 'availableReplicas')
    return old(after) < old(before) or any(after.get(name, 0) > before.get(name, 0) for name in grown)


def _timed_out(deployment: Object, progress: Object | None, now: datetime) -> bool:
    deadline = progress_deadline(deployment)
    if progress is None or deadline is None or progress.get('reason') == COMPLETE:
        return False
    return progress.get('reason') == TIMED_OUT or _updated(progress) + timedelta(seconds=deadline) < now


def _updated(progress: Object) -> datetime:
    return parse_timestamp(progress.get('lastUpdateTime') or progress['lastTransitionTime'])


def _replica_failure(replica_sets: Sequence[Object], new: Object | None) -> Object | None:
    """The ReplicaFailure of the new ReplicaSet, or else of any."""
    for replica_set in ([new] if new is not None else []) + list(replica_sets):
        failure = find_condition((replica_set.get('status') or {}).get('conditions'), 'ReplicaFailure')
        if failure is not None:
            return {'lastUpdateTime': failure['lastTransitionTime'], **failure}
    return None
