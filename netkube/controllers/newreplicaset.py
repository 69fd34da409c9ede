"""The ReplicaSets of a Deployment: which is the new one, what it looks like, and which old ones may go.

Source: pkg/controller/deployment/util/deployment_util.go and sync.go.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from netkube.api.meta import Object, is_deleting, owner_reference
from netkube.api.resources import DEPLOYMENTS, REPLICASETS
from netkube.controllers.revision import annotations_of, next_revision, revision, revision_annotations, size_annotations
from netkube.controllers.rollout import Size, Strategy, new_replicas, parse_size
from netkube.controllers.template import HASH_LABEL, same_template, template_hash, with_hash


class Rollout(msgspec.Struct):
    """A Deployment and its ReplicaSets by name, replaced here as they are written."""

    deployment: Object
    strategy: Strategy
    replica_sets: dict[str, Object]
    new_name: str = ''  # '' until the ReplicaSet of the current template exists

    @property
    def new(self) -> Object | None:
        return self.replica_sets.get(self.new_name)

    @property
    def old(self) -> list[Object]:
        return [obj for name, obj in self.replica_sets.items() if name != self.new_name]

    @property
    def sizes(self) -> tuple[Size | None, list[Size]]:
        """The new one's, the old ones'."""
        return parse_size(self.new) if self.new else None, [parse_size(obj) for obj in self.old]


def find_new(deployment: Object, replica_sets: Iterable[Object]) -> Object | None:
    """The oldest ReplicaSet of the Deployment's template."""
    template = deployment['spec']['template']
    same = [obj for obj in replica_sets if same_template(obj['spec']['template'], template)]
    return min(same, key=lambda obj: (obj['metadata']['creationTimestamp'], obj['metadata']['name']), default=None)


def replica_set_of(rollout: Rollout) -> Object:
    """The ReplicaSet to create for the current template, at the size it may have now."""
    deployment, strategy = rollout.deployment, rollout.strategy
    metadata, spec = deployment['metadata'], deployment['spec']
    hash = template_hash(spec['template'], (deployment.get('status') or {}).get('collisionCount', 0))
    template = with_hash(spec['template'], hash)
    selector = spec['selector'] | {'matchLabels': (spec['selector'].get('matchLabels') or {}) | {HASH_LABEL: hash}}
    name = f'{metadata["name"]}-{hash}'
    annotations = revision_annotations(annotations_of(deployment), {}, next_revision(rollout.old))
    return {
        'apiVersion': REPLICASETS.api_version,
        'kind': REPLICASETS.kind,
        'metadata': {
            'name': name,
            'namespace': metadata['namespace'],
            'labels': template['metadata']['labels'],
            'annotations': {**annotations, **size_annotations(strategy)},
            'ownerReferences': [owner_reference(DEPLOYMENTS.api_version, DEPLOYMENTS.kind, deployment)],
        },
        'spec': {
            'replicas': new_replicas(strategy, Size(name, 0), rollout.sizes[1]),
            'minReadySeconds': spec.get('minReadySeconds', 0),
            'selector': selector,
            'template': template,
        },
    }


def plan_cleanup(rollout: Rollout) -> list[Object]:
    """Old, empty ReplicaSets beyond spec.revisionHistoryLimit, lowest revision first."""
    limit = rollout.deployment['spec'].get('revisionHistoryLimit')
    kept = [obj for obj in rollout.old if not is_deleting(obj)]
    if limit is None or len(kept) <= limit:
        return []
    surplus = sorted(kept, key=revision)[: len(kept) - limit]
    return [obj for obj in surplus if _is_empty(parse_size(obj))]


def _is_empty(size: Size) -> bool:
    return size.replicas == size.current == 0 and size.updated_generation
