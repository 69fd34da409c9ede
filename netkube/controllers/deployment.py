"""Deployment: one ReplicaSet a revision of its template, and the moves between them.

Source: pkg/controller/deployment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from netkube.api.errors import ApiError
from netkube.api.meta import Key, Object, controller_of, is_deleting, key_of, utc_now
from netkube.api.resources import DEPLOYMENTS, PODS, REPLICASETS
from netkube.api.selectors import from_label_selector
from netkube.client.controller import Controller
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.controllers.conditions import find_condition
from netkube.controllers.deploymentstatus import (
    count_replicas,
    deadline_in,
    is_complete,
    plan_pause,
    plan_rollout_status,
    plan_status,
    progress_deadline,
    with_progress,
)
from netkube.controllers.newreplicaset import Rollout, find_new, plan_cleanup, replica_set_of
from netkube.controllers.ownership import Claimer
from netkube.controllers.pods import controller_uid, is_terminal, orphan_namespace
from netkube.controllers.revision import (
    REVISION,
    annotations_of,
    next_revision,
    revision_annotations,
    size_annotations,
)
from netkube.controllers.rollout import (
    Scaling,
    is_scaling_event,
    parse_size,
    parse_strategy,
    plan_recreate,
    plan_rolling_update,
    plan_scale,
)
from netkube.controllers.template import same_template


class DeploymentController:
    component = 'deployment-controller'

    def __init__(self, informers: Informers, recorder: EventRecorder, now: Callable[[], datetime] = utc_now) -> None:
        self._client = informers.client
        self._recorder = recorder
        self._now = now
        self._deployments = informers[DEPLOYMENTS]
        self._replica_sets = informers[REPLICASETS]
        self._replica_sets.add_index('controller-uid', controller_uid)
        self._replica_sets.add_index('orphan-namespace', orphan_namespace)
        self._pods = informers[PODS]
        self._pods.add_index('controller-uid', controller_uid)
        self._claimer = Claimer(self._client, DEPLOYMENTS, REPLICASETS)
        self._controller = Controller('deployment', informers, self._sync, workers=5)
        self._controller.watch(DEPLOYMENTS)
        self._controller.watch(REPLICASETS, self._owners)
        self._controller.watch(PODS, self._recreating_owner)

    async def run(self) -> None:
        await self._controller.run()

    def _owners(self, replica_set: Object) -> Iterable[Key]:
        """The Deployment of a ReplicaSet; those that may adopt it when it has none."""
        reference, namespace = controller_of(replica_set), replica_set['metadata']['namespace']
        if reference is not None:
            return ((namespace, reference['name']),) if reference['kind'] == DEPLOYMENTS.kind else ()
        labels = replica_set['metadata'].get('labels')
        candidates = self._deployments.list(namespace) if labels else ()
        return [key_of(owner) for owner in candidates if from_label_selector(owner['spec']['selector']).matches(labels)]

    def _recreating_owner(self, pod: Object) -> Iterable[Key]:
        """Only Recreate waits for Pods themselves; everything else is told by the ReplicaSets' status."""
        reference, namespace = controller_of(pod), pod['metadata']['namespace']
        replica_set = self._replica_sets.get((namespace, reference['name'])) if reference is not None else None
        for key in self._owners(replica_set) if replica_set is not None else ():
            deployment = self._deployments.get(key)
            if deployment is not None and not parse_strategy(deployment).rolling:
                yield key

    async def _sync(self, key: Key) -> None:
        deployment = self._deployments.get(key)
        if deployment is None:
            return
        selector = from_label_selector(deployment['spec']['selector'])
        if selector.empty:
            message = 'This deployment is selecting all pods. A non-empty selector is required.'
            self._recorder.event(deployment, 'Warning', 'SelectingAll', message)
            return
        claimed = await self._claimer.claim(deployment, selector, self._candidates(deployment))
        rollout = Rollout(deployment, parse_strategy(deployment), {obj['metadata']['name']: obj for obj in claimed})
        if is_deleting(deployment):
            await self._write_counts(rollout)
            return
        await self._write_pause(rollout)
        await self._advance(rollout)

    def _candidates(self, deployment: Object) -> list[Object]:
        return [
            *self._replica_sets.by_index('controller-uid', deployment['metadata']['uid']),
            *self._replica_sets.by_index('orphan-namespace', deployment['metadata']['namespace']),
        ]

    async def _advance(self, rollout: Rollout) -> None:
        await self._find_new(rollout)
        new, old = rollout.sizes
        paused = bool(rollout.deployment['spec'].get('paused'))
        if paused or is_scaling_event(rollout.strategy, [*old, *([new] if new else ())]):
            await self._scale(rollout, plan_scale(rollout.strategy, new, old))
            if paused:
                await self._clean_up(rollout)
            await self._write_counts(rollout)
            return
        if rollout.strategy.rolling:
            moved = await self._roll(rollout)
        else:
            moved = await self._recreate(rollout)
        if not moved and is_complete(rollout.deployment, rollout.strategy, rollout.deployment.get('status') or {}):
            await self._clean_up(rollout)
        await self._write_rollout(rollout)

    async def _roll(self, rollout: Rollout) -> bool:
        if rollout.new is None:
            await self._create_new(rollout)
        new, old = rollout.sizes
        return new is not None and await self._scale(rollout, plan_rolling_update(rollout.strategy, new, old))

    async def _recreate(self, rollout: Rollout) -> bool:
        new, old = rollout.sizes
        if any(size.replicas for size in old):
            return await self._scale(rollout, plan_recreate(rollout.strategy, new, old))
        if self._old_pods_run(rollout):
            return True
        if new is None:
            await self._create_new(rollout)
        return await self._scale(rollout, plan_recreate(rollout.strategy, *rollout.sizes))

    def _old_pods_run(self, rollout: Rollout) -> bool:
        if any(parse_size(obj).current for obj in rollout.old):
            return True
        uids = (obj['metadata']['uid'] for obj in rollout.old)
        return any(not is_terminal(pod) for uid in uids for pod in self._pods.by_index('controller-uid', uid))

    async def _find_new(self, rollout: Rollout) -> None:
        """Find the ReplicaSet of the current template, and bring its revision up to date."""
        found = find_new(rollout.deployment, rollout.replica_sets.values())
        if found is None:
            return
        rollout.new_name = found['metadata']['name']
        metadata, spec = found['metadata'], found['spec']
        number, wanted = next_revision(rollout.old), rollout.deployment['spec'].get('minReadySeconds', 0)
        annotations = revision_annotations(annotations_of(rollout.deployment), annotations_of(found), number)
        if annotations != annotations_of(found) or spec.get('minReadySeconds', 0) != wanted:
            changed = {'metadata': metadata | {'annotations': annotations}, 'spec': spec | {'minReadySeconds': wanted}}
            found = await self._client.update(REPLICASETS, found | changed)
            rollout.replica_sets[rollout.new_name] = found
        status = rollout.deployment.get('status') or {}
        if find_condition(status.get('conditions'), 'Progressing') is None:
            message = f'Found new replica set "{rollout.new_name}"'
            status = self._progress(rollout, 'FoundNewReplicaSet', message)
        await self._write_revision(rollout, annotations_of(found)[REVISION], status)

    async def _create_new(self, rollout: Rollout) -> None:
        """Create the ReplicaSet of the current template; on a collision count it, and let the key be tried again."""
        wanted = replica_set_of(rollout)
        name, replicas = wanted['metadata']['name'], wanted['spec']['replicas']
        try:
            created = await self._client.create(REPLICASETS, wanted)
        except ApiError as error:
            if error.reason != 'AlreadyExists':
                await self._write_create_error(rollout, name, error)
                raise
            created = await self._existing(rollout, name)
            status = rollout.deployment.get('status') or {}
        else:
            status = self._progress(rollout, 'NewReplicaSetCreated', f'Created new replica set "{name}"')
            if replicas:
                self._event(rollout, f'Scaled up replica set {name} from 0 to {replicas}')
        rollout.replica_sets[name] = created
        rollout.new_name = name
        await self._write_revision(rollout, annotations_of(created).get(REVISION, '1'), status)

    async def _existing(self, rollout: Rollout, name: str) -> Object:
        """The ReplicaSet of that name if it is ours, which the cache did not show yet; else Conflict."""
        deployment = rollout.deployment
        found = await self._client.get(REPLICASETS, deployment['metadata']['namespace'], name)
        reference = controller_of(found)
        ours = reference is not None and reference['uid'] == deployment['metadata']['uid']
        if ours and same_template(found['spec']['template'], deployment['spec']['template']):
            return found
        status = deployment.get('status') or {}
        collisions = status.get('collisionCount', 0) + 1
        await self._write_status(rollout, status | {'collisionCount': collisions})
        raise ApiError(409, 'AlreadyExists', f'hash collision number {collisions}: {name} has another template')

    async def _write_create_error(self, rollout: Rollout, name: str, error: ApiError) -> None:
        message = f'Failed to create new replica set "{name}": {error.message}'
        self._recorder.event(rollout.deployment, 'Warning', 'ReplicaSetCreateError', message)
        await self._write_status(rollout, self._progress(rollout, 'ReplicaSetCreateError', message, status='False'))

    async def _scale(self, rollout: Rollout, plan: Iterable[Scaling]) -> bool:
        """Whether any size changed."""
        moved = False
        for scaling in plan:
            replica_set = rollout.replica_sets[scaling.name]
            before = replica_set['spec'].get('replicas', 1)
            annotations = {**annotations_of(replica_set), **size_annotations(rollout.strategy)}
            if before == scaling.replicas and annotations == annotations_of(replica_set):
                continue
            rollout.replica_sets[scaling.name] = await self._resize(replica_set, scaling.replicas, annotations)
            if before != scaling.replicas:
                moved = True
                direction = 'up' if before < scaling.replicas else 'down'
                text = f'Scaled {direction} replica set {scaling.name} from {before} to {scaling.replicas}'
                self._event(rollout, text)
        return moved

    async def _resize(self, replica_set: Object, replicas: int, annotations: Mapping[str, str]) -> Object:
        metadata = replica_set['metadata'] | {'annotations': annotations}
        changed = replica_set | {'metadata': metadata, 'spec': replica_set['spec'] | {'replicas': replicas}}
        return await self._client.update(REPLICASETS, changed)

    async def _clean_up(self, rollout: Rollout) -> None:
        for replica_set in plan_cleanup(rollout):
            metadata = replica_set['metadata']
            try:
                await self._client.delete(REPLICASETS, *key_of(replica_set), uid=metadata['uid'])
            except ApiError as error:
                if error.code != 404:
                    raise
            del rollout.replica_sets[metadata['name']]

    async def _write_pause(self, rollout: Rollout) -> None:
        status = plan_pause(rollout.deployment, self._now())
        if status is not None:
            await self._write_status(rollout, status)

    async def _write_counts(self, rollout: Rollout) -> None:
        counts = count_replicas(list(rollout.replica_sets.values()), rollout.new)
        await self._write_status(rollout, plan_status(rollout.deployment, rollout.strategy, counts, self._now()))

    async def _write_rollout(self, rollout: Rollout) -> None:
        """The status, and another look when the progress deadline will have passed."""
        replica_sets = list(rollout.replica_sets.values())
        status = plan_rollout_status(rollout.deployment, rollout.strategy, replica_sets, rollout.new, self._now())
        await self._write_status(rollout, status)
        seconds = deadline_in(rollout.deployment, rollout.strategy, self._now())
        if seconds is not None:
            self._controller.queue.add_after(key_of(rollout.deployment), seconds)

    async def _write_revision(self, rollout: Rollout, number: str, status: Object) -> None:
        """The revision annotation goes with the status: that write does not touch the generation."""
        annotations = annotations_of(rollout.deployment)
        if annotations.get(REVISION) != number:
            metadata = rollout.deployment['metadata'] | {'annotations': {**annotations, REVISION: number}}
            rollout.deployment = await self._client.update(
                DEPLOYMENTS, rollout.deployment | {'metadata': metadata, 'status': status}, 'status'
            )
        else:
            await self._write_status(rollout, status)

    async def _write_status(self, rollout: Rollout, status: Object) -> None:
        if status != (rollout.deployment.get('status') or {}):
            rollout.deployment = await self._client.update(
                DEPLOYMENTS, rollout.deployment | {'status': status}, 'status'
            )

    def _progress(self, rollout: Rollout, reason: str, message: str, *, status: str = 'True') -> Object:
        """The Deployment's status with that progress; unchanged where progress is not watched."""
        if progress_deadline(rollout.deployment) is None:
            return rollout.deployment.get('status') or {}
        return with_progress(rollout.deployment, reason, message, self._now(), status=status)

    def _event(self, rollout: Rollout, message: str) -> None:
        self._recorder.event(rollout.deployment, 'Normal', 'ScalingReplicaSet', message)
