"""Writes that change nothing but the time in managedFields: they are no writes (fieldmanager/equality.go)."""

from __future__ import annotations

from typing import Any

from netkube.api.meta import Object


def differ_in_times_only(new: Object, old: Object) -> bool:
    """For objects that are not equal."""
    mine, others = new['metadata'].get('managedFields'), old['metadata'].get('managedFields')
    if mine == others or not mine or not others or _timeless(mine) != _timeless(others):
        return False
    return _rest(new) == _rest(old)


def _timeless(entries: list[Object]) -> list[Object]:
    bare = [{key: value for key, value in entry.items() if key != 'time'} for entry in entries]
    return sorted(bare, key=lambda one: [str(one.get(key)) for key in ('manager', 'operation', 'apiVersion',
                                                                      'subresource')])  # fmt: skip


def _rest(obj: Object) -> Any:
    metadata = {key: value for key, value in obj['metadata'].items() if key != 'managedFields'}
    return {**obj, 'metadata': metadata}
