"""The refusal of an apply that would change what others own. (apimachinery managedfields/internal/conflict.go)"""

from __future__ import annotations

from netkube.api.errors import ApiError
from netkube.api.managedfields.entries import Manager
from netkube.api.managedfields.fieldset import Fields, difference, paths, union
from netkube.api.managedfields.paths import path_text


class ApplyConflict(ApiError):
    """409, with a cause for each field and each manager of it."""

    def __init__(self, conflicts: dict[Manager, Fields]) -> None:
        self.conflicts = conflicts
        found = [(manager, path_text(path)) for manager in sorted(conflicts, key=str)
                 for path in paths(conflicts[manager])]  # fmt: skip
        causes = [
            {'reason': 'FieldManagerConflict', 'message': f'conflict with {manager}', 'field': path}
            for manager, path in found
        ]
        super().__init__(409, 'Conflict', _message(found), {'causes': causes})

    @property
    def fields(self) -> Fields:
        """All fields of all managers."""
        fields: Fields = {}
        for each in self.conflicts.values():
            fields = union(fields, each)
        return fields

    def without(self, allowed: Fields) -> ApplyConflict | None:
        """What is left of it when these fields may be taken."""
        left = {manager: rest for manager, fields in self.conflicts.items() if (rest := difference(fields, allowed))}
        return ApplyConflict(left) if left else None


def _message(found: list[tuple[Manager, str]]) -> str:
    if len(found) == 1:
        manager, path = found[0]
        return f'Apply failed with 1 conflict: conflict with {manager}: {path}'
    lines: dict[Manager, list[str]] = {}
    for manager, path in found:
        lines.setdefault(manager, [f'conflicts with {manager}:']).append(f'- {path}')
    text = '\n'.join(line for group in lines.values() for line in group)
    return f'Apply failed with {len(found)} conflicts: {text}'
