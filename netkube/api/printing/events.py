"""The row of an Event."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netkube.api.durations import age
from netkube.api.meta import Object


def print_event(event: Object, now: datetime) -> list[Any]:
    first = event.get('firstTimestamp') or event.get('eventTime')
    last, count = event.get('lastTimestamp') or first, event.get('count', 0)
    series = event.get('series')
    if series:
        last, count = series.get('lastObservedTime'), series.get('count', 0)
    involved = event.get('involvedObject') or {}
    kind, name = involved.get('kind', '').lower(), involved.get('name', '')
    return [
        age(last, now),
        event.get('type', ''),
        event.get('reason', ''),
        f'{kind}/{name}' if name else kind,
        involved.get('fieldPath', ''),
        _source(event),
        event.get('message', '').strip(),
        age(first, now),
        count or 1,
        event['metadata']['name'],
    ]


def _source(event: Object) -> str:
    source = event.get('source') or {}
    component = source.get('component') or event.get('reportingComponent', '')
    instance = source.get('host') or event.get('reportingInstance', '')
    return f'{component}, {instance}' if instance else component
