"""Rows of the workloads that keep Pods running."""

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
        *template_cells(spec),
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
        *template_cells(spec),
        _selector(spec.get('selector')) or '<none>',
    ]


def _selector(selector: dict[str, Any] | None) -> str:
    """A LabelSelector's, or the plain labels that a ReplicationController selects by."""
    if selector and not {'matchLabels', 'matchExpressions'} & selector.keys():
        selector = {'matchLabels': selector}
    return str(from_label_selector(selector))


def template_cells(spec: dict[str, Any]) -> list[str]:
    containers = spec.get('template', {}).get('spec', {}).get('containers') or ()
    return [','.join(one['name'] for one in containers), ','.join(one.get('image', '') for one in containers)]


def print_statefulset(statefulset: Object, now: datetime) -> list[Any]:
    spec, status = statefulset['spec'], statefulset.get('status') or {}
    return [
        statefulset['metadata']['name'],
        f'{status.get("readyReplicas", 0)}/{spec.get("replicas", 1)}',
        age(statefulset['metadata'].get('creationTimestamp'), now),
        *template_cells(spec),
    ]


def print_daemonset(daemonset: Object, now: datetime) -> list[Any]:
    spec, status = daemonset['spec'], daemonset.get('status') or {}
    counts = ('desiredNumberScheduled', 'currentNumberScheduled', 'numberReady', 'updatedNumberScheduled',
              'numberAvailable')  # fmt: skip
    node_selector = ((spec.get('template') or {}).get('spec') or {}).get('nodeSelector') or {}
    return [
        daemonset['metadata']['name'],
        *(status.get(name, 0) for name in counts),
        ','.join(f'{key}={value}' for key, value in sorted(node_selector.items())) or '<none>',
        age(daemonset['metadata'].get('creationTimestamp'), now),
        *template_cells(spec),
        str(from_label_selector(spec.get('selector'))),
    ]
