"""Rows of Deployments and ReplicaSets."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netkube.api.durations import age
from netkube.api.meta import Object
from netkube.api.selectors import from_label_selector


def print_deployment(deployment: Object, now: datetime) -> list[Any]:
    spec, status = deployment['spec'], deployment.get('status', {})
    return [
        deployment['metadata']['name'],
        f'{status.get("readyReplicas", 0)}/{spec.get("replicas", 1)}',
        status.get('updatedReplicas', 0),
        status.get('availableReplicas', 0),
        age(deployment['metadata'].get('creationTimestamp'), now),
        *_template_cells(spec),
        str(from_label_selector(spec.get('selector'))),
    ]


def print_replicaset(replicaset: Object, now: datetime) -> list[Any]:
    spec, status = replicaset['spec'], replicaset.get('status', {})
    return [
        replicaset['metadata']['name'],
        spec.get('replicas', 1),
        status.get('replicas', 0),
        status.get('readyReplicas', 0),
        age(replicaset['metadata'].get('creationTimestamp'), now),
        *_template_cells(spec),
        str(from_label_selector(spec.get('selector'))) or '<none>',
    ]


def _template_cells(spec: dict[str, Any]) -> list[str]:
    containers = spec.get('template', {}).get('spec', {}).get('containers') or ()
    return [','.join(one['name'] for one in containers), ','.join(one.get('image', '') for one in containers)]
