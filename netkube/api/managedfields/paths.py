"""A step of a field path: its key in FieldsV1, and its text in messages.

``f:NAME`` a field, ``k:{...}`` the item of a list with these keys, ``v:VALUE`` a set's item, ``i:N`` an index.
(structured-merge-diff/fieldpath/{element,serialize-pe}.go)
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from netkube.api.managedfields.fieldset import SELF, Fields

_encode = msgspec.json.Encoder(order='sorted').encode


class FieldsError(ValueError):
    """FieldsV1 that cannot be read."""


def field_step(name: str) -> str:
    return f'f:{name}'


def key_step(keys: dict[str, Any]) -> str:
    return 'k:' + _json(keys)


def value_step(value: Any) -> str:
    return 'v:' + _json(value)


def _json(value: Any) -> str:
    return _encode(value).decode()


def path_text(path: Iterable[str]) -> str:
    """``.spec.containers[name="web"].image``."""
    return ''.join(map(_step_text, path))


def _step_text(step: str) -> str:
    kind, rest = step[:2], step[2:]
    if kind == 'f:':
        return f'.{rest}'
    if kind == 'k:':
        return '[' + ','.join(f'{name}={_json(value)}' for name, value in sorted(json.loads(rest).items())) + ']'
    return f'[={rest}]' if kind == 'v:' else f'[{rest}]'


def parse_fields(value: Any) -> Fields:
    """A set from FieldsV1 as a client sent it, in our spelling. FieldsError."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FieldsError('FieldsV1 is no object')
    return {_parse_step(key): parse_fields(child) for key, child in value.items()}


def _parse_step(step: str) -> str:
    kind, rest = step[:2], step[2:]
    if step == SELF or kind == 'f:':
        return step
    try:
        if kind == 'v:':
            return value_step(json.loads(rest))
        if kind == 'k:' and isinstance(keys := json.loads(rest), dict):
            return key_step(keys)
        if kind == 'i:':
            return f'i:{int(rest)}'
    except ValueError as error:
        raise FieldsError(f'{step}: {error}') from None
    raise FieldsError(f'missing or unknown type in {step!r}')


def canonical(fields: Fields) -> Fields:
    """Without a ``.`` that has nothing beside it: ``{"f:a": {".": {}}}`` and ``{"f:a": {}}`` are one set."""
    return {key: {} if child.keys() == {SELF} else canonical(child) for key, child in fields.items()}
