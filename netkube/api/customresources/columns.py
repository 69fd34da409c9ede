"""The columns of a defined kind: its name and additionalPrinterColumns, or its age.

k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from netkube.api.durations import age
from netkube.api.jsonpath import find_all
from netkube.api.meta import Object, parse_timestamp

_AGE = {'name': 'Age', 'type': 'date', 'jsonPath': '.metadata.creationTimestamp', 'description':
        'CreationTimestamp is a timestamp representing the server time when this object was created. It is not '
        'guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It '
        'is represented in RFC3339 form and is in UTC.'}  # fmt: skip
_NAME = {'name': 'Name', 'type': 'string', 'format': 'name', 'priority': 0, 'description':
         'Name must be unique within a namespace.'}  # fmt: skip
Columns = Sequence[dict[str, Any]] | None


def table_columns(columns: Columns) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = [_NAME]
    for column in columns or (_AGE,):
        description = column.get('description') or f'Custom resource definition column (in JSONPath format): ' \
                                                  f'{column["jsonPath"]}'  # fmt: skip
        shown.append({'name': column['name'], 'type': column['type'], 'format': column.get('format', ''),
                      'description': description, 'priority': column.get('priority', 0)})  # fmt: skip
    return shown


def table_row(columns: Columns, obj: Object, now: datetime) -> list[Any]:
    return [obj['metadata']['name'], *(_cell(column, obj, now) for column in columns or (_AGE,))]


def _cell(column: dict[str, Any], obj: Object, now: datetime) -> Any:
    found = find_all(column['jsonPath'], obj)
    if not found or found[0] is None:
        return None
    value = found[0]
    match column['type']:
        case 'string':
            return value if isinstance(value, str) else json.dumps(value, separators=(',', ':'))
        case 'integer':
            return int(value) if isinstance(value, int | float) else None
        case 'date':
            return _date(value, now)
    return value if isinstance(value, bool | int | float) else None


def _date(value: Any, now: datetime) -> str:
    try:
        parse_timestamp(value)
    except (ValueError, AttributeError):
        return '<invalid>'
    return age(value, now)
