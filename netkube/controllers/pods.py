"""What a controller reads in a Pod. Sources: pkg/api/v1/pod and pkg/controller/controller_utils.go."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from netkube.api.meta import Object, controller_of, parse_timestamp

TERMINAL_PHASES = ('Succeeded', 'Failed')


def phase(pod: Object) -> str:
    return pod.get('status', {}).get('phase', 'Pending')


def node_name(pod: Object) -> str:
    """The Node it is bound to; '' while it is not."""
    return pod['spec'].get('nodeName') or ''


def is_terminal(pod: Object) -> bool:
    return phase(pod) in TERMINAL_PHASES


def is_active(pod: Object) -> bool:
    """It runs or will run: what counts against ``replicas``."""
    return 'deletionTimestamp' not in pod['metadata'] and not is_terminal(pod)


def is_terminating(pod: Object) -> bool:
    return 'deletionTimestamp' in pod['metadata'] and not is_terminal(pod)


def find_condition(pod: Object, type: str) -> Object | None:
    for condition in pod.get('status', {}).get('conditions') or ():
        if condition['type'] == type:
            return condition
    return None


def is_ready(pod: Object) -> bool:
    condition = find_condition(pod, 'Ready')
    return condition is not None and condition['status'] == 'True'


def ready_since(pod: Object) -> datetime | None:
    """When it became ready; None while it is not."""
    condition = find_condition(pod, 'Ready')
    if condition is None or condition['status'] != 'True' or not condition.get('lastTransitionTime'):
        return None
    return parse_timestamp(condition['lastTransitionTime'])


def available_in(pod: Object, min_ready_seconds: int, now: datetime) -> float | None:
    """Seconds until it counts as available: 0 if it does; None while it is not ready."""
    if not is_ready(pod):
        return None
    if min_ready_seconds == 0:
        return 0
    since = ready_since(pod)
    return None if since is None else max(0.0, (since + timedelta(seconds=min_ready_seconds) - now).total_seconds())


def restarts(pod: Object) -> int:
    return max(
        (status.get('restartCount', 0) for status in pod.get('status', {}).get('containerStatuses') or ()), default=0
    )


def addresses(pod: Object) -> list[str]:
    """Its IPs, the primary one first."""
    status = pod.get('status', {})
    listed = [entry['ip'] for entry in status.get('podIPs') or () if entry.get('ip')]
    return listed or ([status['podIP']] if status.get('podIP') else [])


def controller_uid(obj: Object) -> Iterable[str]:
    """Index function: the uid of the controller that owns it."""
    reference = controller_of(obj)
    return () if reference is None else (reference['uid'],)


def orphan_namespace(obj: Object) -> Iterable[str]:
    """Index function: the namespace of what no controller owns."""
    return () if controller_of(obj) is not None else (obj['metadata'].get('namespace', ''),)
