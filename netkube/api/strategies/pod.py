"""The strategy of Pods (pkg/registry/core/pod/strategy.go)."""

from __future__ import annotations

from typing import Any

from netkube.api.meta import Object
from netkube.api.qos import qos_class


def create(pod: Object) -> None:
    status: dict[str, Any] = {'phase': 'Pending', 'qosClass': qos_class(pod.get('spec', {}))}
    if pod.get('spec', {}).get('schedulingGates'):
        status['conditions'] = [{
            'type': 'PodScheduled', 'status': 'False', 'reason': 'SchedulingGated',
            'message': 'Scheduling is blocked due to non-empty scheduling gates',
        }]  # fmt: skip
    pod['status'] = status


def update(new: Object, old: Object) -> None:
    """The old clients' names follow the new ones."""
    spec = new.get('spec', {})
    if spec.get('serviceAccountName'):
        spec['serviceAccount'] = spec['serviceAccountName']


def update_status(new: Object, old: Object) -> None:
    """Owners are not the status' business; the class of service never changes; the address lists follow the address."""
    metadata, before = new['metadata'], old['metadata']
    metadata.pop('ownerReferences', None)
    if 'ownerReferences' in before:
        metadata['ownerReferences'] = before['ownerReferences']
    status = new.setdefault('status', {})
    if not status.get('qosClass') and old.get('status', {}).get('qosClass'):
        status['qosClass'] = old['status']['qosClass']
    for single, plural in (('podIP', 'podIPs'), ('hostIP', 'hostIPs')):
        if status.get(single) and not status.get(plural):
            status[plural] = [{'ip': status[single]}]
        elif status.get(plural) and not status.get(single):
            status[single] = status[plural][0].get('ip', '')
