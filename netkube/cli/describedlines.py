"""Lines of a description: what several kinds have in common."""

from __future__ import annotations

from collections.abc import Iterator

from netkube.api.meta import Object
from netkube.cli.output import table

Line = tuple[int, str, str]  # level of indentation, label, value
NONE = '<none>'


def mapping_lines(label: str, values: Object | None, separator: str = '=') -> Iterator[Line]:
    """The first entry beside the label, the others below it."""
    entries = [f'{key}{separator}{value}' for key, value in sorted((values or {}).items())] or [NONE]
    yield 0, label, entries[0]
    for entry in entries[1:]:
        yield 0, '', entry


def selector_text(selector: Object | None) -> str:
    if not selector:
        return NONE
    labels = selector.get('matchLabels', {}) if {'matchLabels', 'matchExpressions'} & set(selector) else selector
    parts = [f'{key}={value}' for key, value in sorted(labels.items())]
    for rule in selector.get('matchExpressions') or ():
        parts.append(f'{rule["key"]} {rule["operator"].lower()} ({",".join(rule.get("values") or ())})')
    return ','.join(parts)


def condition_lines(status: Object) -> Iterator[Line]:
    conditions = status.get('conditions')
    if conditions:
        yield 0, 'Conditions', ''
        rows = [(c['type'], c['status'], c.get('reason', '')) for c in conditions]
        for line in table(('Type', 'Status', 'Reason'), rows).splitlines():
            yield 1, '', line
