"""How long a container may take to end."""

from __future__ import annotations

import math
from datetime import datetime

from netkube.api.meta import Object, is_deleting, parse_timestamp
from netkube.node.plan import StopContainer
from netkube.node.podspec import all_containers

MINIMUM_GRACE = 2  # seconds: the kubelet's minimumGracePeriodInSeconds
DEFAULT_GRACE = 30


def grace_seconds(pod: Object | None, stop: StopContainer, now: datetime) -> int:
    """The time between SIGTERM and SIGKILL (a preStop hook's time included)."""
    if stop.grace is not None:
        return stop.grace
    if pod is None:
        return MINIMUM_GRACE
    grace = pod['spec'].get('terminationGracePeriodSeconds', DEFAULT_GRACE)
    if is_deleting(pod):
        grace = remaining_grace(pod, now)
    elif stop.abrupt:
        return 0
    elif stop.probe:
        grace = _of_probe(pod, stop) or grace
    elif stop.since is not None:
        grace = math.ceil(grace - (now - stop.since).total_seconds())
    return max(MINIMUM_GRACE, grace)


def remaining_grace(pod: Object, now: datetime) -> int:
    """What is left of the grace period that the deletion was asked with.

    deletionTimestamp is when it ends, but without the fraction of its second: up to one second is given back.
    """
    metadata = pod['metadata']
    whole = metadata.get('deletionGracePeriodSeconds', DEFAULT_GRACE)
    left = (parse_timestamp(metadata['deletionTimestamp']) - now).total_seconds() + 1
    return max(0, min(whole, math.ceil(left)))


def _of_probe(pod: Object, stop: StopContainer) -> int | None:
    for container in all_containers(pod):
        if container['name'] == stop.name:
            return (container.get(f'{stop.probe}Probe') or {}).get('terminationGracePeriodSeconds')
    return None
