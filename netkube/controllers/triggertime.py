"""When that happened which a change of a Service's endpoints follows.

Written as an annotation, it lets whoever programs the network measure how long the whole chain takes. Source:
k8s.io/endpointslice/util, trigger_time_tracker.go.
"""

from __future__ import annotations

from collections.abc import Iterable

from netkube.api.meta import Key, Object, key_of
from netkube.controllers.pods import find_condition

TRIGGER_TIME = 'endpoints.kubernetes.io/last-change-trigger-time'


class TriggerTimes:
    """Remembers, for each Service, when each of its Pods last became ready or not ready.

    Timestamps are kept as the API writes them (RFC 3339, UTC, whole seconds), which sort as text.
    """

    def __init__(self) -> None:
        self._pods: dict[Key, dict[str, str]] = {}

    def observe(self, service: Object, pods: Iterable[Object]) -> str:
        """The earliest of what has changed since the last time; a new Service's creation; '' for nothing."""
        key = key_of(service)
        known, now = self._pods.get(key), {pod['metadata']['name']: _changed_at(pod) for pod in pods}
        self._pods[key] = now
        if known is None:
            return service['metadata'].get('creationTimestamp') or ''
        return min((at for name, at in now.items() if at > known.get(name, '')), default='')

    def forget(self, key: Key) -> None:
        self._pods.pop(key, None)


def stamped(obj: Object, at: str) -> Object:
    """``obj`` with that trigger time; '' takes away what it has."""
    own = obj['metadata'].get('annotations') or {}
    annotations = {key: value for key, value in own.items() if key != TRIGGER_TIME}
    annotations |= {TRIGGER_TIME: at} if at else {}
    metadata = {key: value for key, value in obj['metadata'].items() if key != 'annotations'}
    return obj | {'metadata': metadata | ({'annotations': annotations} if annotations else {})}


def _changed_at(pod: Object) -> str:
    condition = find_condition(pod, 'Ready')
    return (condition or {}).get('lastTransitionTime') or ''
