"""Why a Node gives a Pod up: it is stopped, and Failed for good."""

from __future__ import annotations

import msgspec


class Failure(msgspec.Struct, frozen=True):
    """Reason and message are the Pod's, and its event's."""

    reason: str
    message: str
    event_type: str = 'Normal'
    grace: int | None = None  # seconds, instead of the Pod's own
    disruption: str = ''  # the reason of its condition DisruptionTarget, if it gets one


DEADLINE_EXCEEDED = Failure('DeadlineExceeded', 'Pod was active on the node longer than the specified deadline')
EVICTION_GRACE = 1  # immediateEvictionGracePeriodSeconds of the kubelet


def eviction(message: str) -> Failure:
    return Failure('Evicted', message, 'Warning', EVICTION_GRACE, 'TerminationByKubelet')
