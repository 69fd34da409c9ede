"""What a new object of the workload kinds starts with: a status without claims, and a Job's own labels.

pkg/registry/{apps,batch,autoscaling,policy}/*/strategy.go.
"""

from __future__ import annotations

from netkube.api.meta import Object

_JOB_NAME, _CONTROLLER_UID = 'batch.kubernetes.io/job-name', 'batch.kubernetes.io/controller-uid'


def create_statefulset(statefulset: Object) -> None:
    statefulset['status'] = {'replicas': 0, 'availableReplicas': 0}


def create_daemonset(daemonset: Object) -> None:
    counts = ('currentNumberScheduled', 'numberMisscheduled', 'desiredNumberScheduled', 'numberReady')
    daemonset['status'] = dict.fromkeys(counts, 0)
    daemonset['metadata'].setdefault('annotations', {}).setdefault('deprecated.daemonset.template.generation', '1')


def create_job(job: Object) -> None:
    """A Job selects its Pods by its own uid unless its author says otherwise (generateSelector)."""
    job['status'] = {}
    spec, metadata = job.get('spec') or {}, job['metadata']
    if spec.get('manualSelector') or not isinstance(spec.get('template'), dict):
        return
    labels = (spec['template'].get('metadata') or {}).get('labels') or {}
    own = {_CONTROLLER_UID: metadata['uid'], 'controller-uid': metadata['uid'],
           _JOB_NAME: metadata.get('name', ''), 'job-name': metadata.get('name', '')}  # fmt: skip
    spec['template'].setdefault('metadata', {})['labels'] = {**own, **labels}
    spec.setdefault('selector', {}).setdefault('matchLabels', {}).setdefault(_CONTROLLER_UID, metadata['uid'])


def create_autoscaler(autoscaler: Object) -> None:
    autoscaler['status'] = {'desiredReplicas': 0, 'currentMetrics': None}


def create_budget(budget: Object) -> None:
    budget['status'] = {'disruptionsAllowed': 0, 'currentHealthy': 0, 'desiredHealthy': 0, 'expectedPods': 0}


def create_ingress(ingress: Object) -> None:
    ingress['status'] = {'loadBalancer': {}}


def create_pending(obj: Object) -> None:
    """A PersistentVolume or PersistentVolumeClaim."""
    obj['status'] = {'phase': 'Pending'}
