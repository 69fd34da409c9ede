"""Rows of roles and their bindings."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netkube.api.durations import age
from netkube.api.meta import Object


def print_role(role: Object, now: datetime) -> list[Any]:
    return [role['metadata']['name'], role['metadata'].get('creationTimestamp')]


def print_binding(binding: Object, now: datetime) -> list[Any]:
    metadata, role, subjects = binding['metadata'], binding['roleRef'], binding.get('subjects') or ()
    named = (', '.join(_shown(one) for one in subjects if one['kind'] == kind) for kind in SUBJECTS)
    return [metadata['name'], f'{role["kind"]}/{role["name"]}', age(metadata.get('creationTimestamp'), now), *named]


SUBJECTS = ('User', 'Group', 'ServiceAccount')


def _shown(subject: Object) -> str:
    if subject['kind'] == 'ServiceAccount':
        return f'{subject.get("namespace", "")}/{subject["name"]}'
    return str(subject['name'])
