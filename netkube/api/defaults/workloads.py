"""Defaults of Deployment and ReplicaSet (pkg/apis/apps/v1/defaults.go)."""

from __future__ import annotations

from netkube.api.defaults.pod import default_pod_template
from netkube.api.meta import Object


def default_deployment(deployment: Object) -> None:
    spec = deployment.setdefault('spec', {})
    spec.setdefault('replicas', 1)
    strategy = spec.setdefault('strategy', {})
    if strategy.setdefault('type', 'RollingUpdate') == 'RollingUpdate':
        rolling = strategy.setdefault('rollingUpdate', {})
        rolling.setdefault('maxUnavailable', '25%')
        rolling.setdefault('maxSurge', '25%')
    spec.setdefault('revisionHistoryLimit', 10)
    spec.setdefault('progressDeadlineSeconds', 600)
    default_pod_template(spec.setdefault('template', {}))


def default_replicaset(replicaset: Object) -> None:
    spec = replicaset.setdefault('spec', {})
    spec.setdefault('replicas', 1)
    default_pod_template(spec.setdefault('template', {}))
