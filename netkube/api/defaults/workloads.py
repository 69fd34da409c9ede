"""Defaults of the workloads (pkg/apis/apps/v1/defaults.go)."""

from __future__ import annotations

from netkube.api.defaults.pod import default_pod_template
from netkube.api.defaults.storage import default_persistentvolumeclaim
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


def default_statefulset(statefulset: Object) -> None:
    """pkg/apis/apps/v1/defaults.go SetDefaults_StatefulSet; its claims are PersistentVolumeClaims without a name."""
    spec = statefulset.setdefault('spec', {})
    spec.setdefault('podManagementPolicy', 'OrderedReady')
    strategy = spec.setdefault('updateStrategy', {})
    if strategy.setdefault('type', 'RollingUpdate') == 'RollingUpdate':
        strategy.setdefault('rollingUpdate', {}).setdefault('partition', 0)
    retention = spec.setdefault('persistentVolumeClaimRetentionPolicy', {})
    retention.setdefault('whenDeleted', 'Retain')
    retention.setdefault('whenScaled', 'Retain')
    spec.setdefault('replicas', 1)
    spec.setdefault('revisionHistoryLimit', 10)
    default_pod_template(spec.setdefault('template', {}))
    for claim in spec.get('volumeClaimTemplates') or ():
        claim.setdefault('apiVersion', 'v1')
        claim.setdefault('kind', 'PersistentVolumeClaim')
        default_persistentvolumeclaim(claim)


def default_daemonset(daemonset: Object) -> None:
    spec = daemonset.setdefault('spec', {})
    strategy = spec.setdefault('updateStrategy', {})
    if strategy.setdefault('type', 'RollingUpdate') == 'RollingUpdate':
        rolling = strategy.setdefault('rollingUpdate', {})
        rolling.setdefault('maxUnavailable', 1)
        rolling.setdefault('maxSurge', 0)
    spec.setdefault('revisionHistoryLimit', 10)
    default_pod_template(spec.setdefault('template', {}))


def default_replicationcontroller(controller: Object) -> None:
    """The template's labels stand in for the selector and for the labels."""
    spec = controller.setdefault('spec', {})
    labels = ((spec.get('template') or {}).get('metadata') or {}).get('labels')
    if labels:
        if not spec.get('selector'):
            spec['selector'] = dict(labels)
        if not controller['metadata'].get('labels'):
            controller['metadata']['labels'] = dict(labels)
    spec.setdefault('replicas', 1)
    if 'template' in spec:
        default_pod_template(spec['template'])


def default_podtemplate(template: Object) -> None:
    default_pod_template(template.setdefault('template', {}))
