"""Field errors, worded as k8s.io/apimachinery/pkg/util/validation/field words them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from netkube.api.errors import FieldError


def quoted(text: str) -> str:
    """Go's %q, for the characters that occur in names and values."""
    return json.dumps(text, ensure_ascii=False)


def shown(value: Any) -> str:
    """A bad value in a message: strings quoted, all the rest as compact JSON."""
    if isinstance(value, str):
        return quoted(value)
    return json.dumps(value, separators=(',', ':'), ensure_ascii=False)


def _body(word: str, detail: str) -> str:
    return f'{word}: {detail}' if detail else word


def required(path: str, detail: str = '') -> FieldError:
    return FieldError('FieldValueRequired', path, _body('Required value', detail))


def invalid(path: str, value: Any, detail: str) -> FieldError:
    return FieldError('FieldValueInvalid', path, _body(f'Invalid value: {shown(value)}', detail))


def invalid_each(path: str, value: Any, messages: Iterable[str]) -> list[FieldError]:
    """One error per message of a format check."""
    return [invalid(path, value, message) for message in messages]


def not_supported(path: str, value: Any, supported: Iterable[str]) -> FieldError:
    values = ', '.join(quoted(one) for one in supported)
    detail = f'supported values: {values}' if values else ''
    return FieldError('FieldValueNotSupported', path, _body(f'Unsupported value: {shown(value)}', detail))


def duplicate(path: str, value: Any) -> FieldError:
    return FieldError('FieldValueDuplicate', path, f'Duplicate value: {shown(value)}')


def forbidden(path: str, detail: str) -> FieldError:
    return FieldError('FieldValueForbidden', path, _body('Forbidden', detail))


def not_found(path: str, value: Any) -> FieldError:
    return FieldError('FieldValueNotFound', path, f'Not found: {shown(value)}')


def too_long(path: str, limit: int) -> FieldError:
    return FieldError('FieldValueTooLong', path, f'Too long: may not be more than {limit} bytes')


def too_many(path: str, actual: int, limit: int) -> FieldError:
    items = 'item' if limit == 1 else 'items'
    return FieldError('FieldValueTooMany', path, f'Too many: {actual}: must have at most {limit} {items}')
