"""Validation of a value by a structural schema, in the words of kube-openapi's validator.

k8s.io/kube-openapi/pkg/validation/validate, and pkg/apiserver/validation of apiextensions, which turns its errors into
field errors.
"""

from __future__ import annotations

import functools
import ipaddress
import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import duplicate, invalid, not_supported, required, too_long, too_many

Schema = dict[str, Any]
INT_OR_STRING = 'x-kubernetes-int-or-string'
LIST_TYPE, MAP_KEYS = 'x-kubernetes-list-type', 'x-kubernetes-list-map-keys'
_JSON_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, 'boolean'), (int, 'integer'), (float, 'number'), (str, 'string'), (list, 'array'), (dict, 'object'),
)  # fmt: skip


def validate_value(schema: Schema, value: Any, path: str) -> Iterator[FieldError]:
    """All faults of a value that is there."""
    if value is None:
        if not schema.get('nullable') and (schema.get('type') or schema.get(INT_OR_STRING)):
            yield _wrong_type(schema, value, path)
        return
    if not _fits(schema, value):
        yield _wrong_type(schema, value, path)
        return
    if 'enum' in schema and value not in schema['enum']:
        yield not_supported(path, value, [one if isinstance(one, str) else json.dumps(one) for one in schema['enum']])
    if isinstance(value, str):
        yield from _validate_string(schema, value, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _validate_number(schema, value, path)
    elif isinstance(value, list):
        yield from _validate_list(schema, value, path)
    elif isinstance(value, dict):
        yield from _validate_object(schema, value, path)
    yield from _validate_combinations(schema, value, path)


def _fits(schema: Schema, value: Any) -> bool:
    if schema.get(INT_OR_STRING):
        return isinstance(value, int | str) and not isinstance(value, bool)
    wanted, found = schema.get('type'), json_type(value)
    if wanted == 'integer' and found == 'number':
        return bool(value == int(value))
    return not wanted or wanted == found or (wanted == 'number' and found == 'integer')


def json_type(value: Any) -> str:
    if value is None:
        return 'null'
    return next(name for type_, name in _JSON_TYPES if isinstance(value, type_))


def _wrong_type(schema: Schema, value: Any, path: str) -> FieldError:
    wanted = 'integer,string' if schema.get(INT_OR_STRING) else schema.get('type')
    found = json_type(value)
    return invalid(path, found, f'{path} in body must be of type {wanted}: "{found}"')


def _validate_string(schema: Schema, value: str, path: str) -> Iterator[FieldError]:
    if 'maxLength' in schema and len(value) > schema['maxLength']:
        yield too_long(path, schema['maxLength'])
    if len(value) < schema.get('minLength', 0):
        yield invalid(path, value, f'{path} in body should be at least {schema["minLength"]} chars long')
    pattern = schema.get('pattern')
    if pattern and not compiled(pattern).search(value):
        yield invalid(path, value, f"{path} in body should match '{pattern}'")
    check = FORMATS.get(schema.get('format', ''))
    if check is not None and not check(value):
        yield invalid(path, value, f'{path} in body must be of type {schema["format"]}: "{value}"')


@functools.lru_cache(1024)
def compiled(pattern: str) -> re.Pattern[str]:
    """Go's RE2 in Python's words, as far as they differ in what people write. re.error."""
    for go, python in (('\\z', '\\Z'), ('[[:alpha:]]', '[A-Za-z]'), ('[[:digit:]]', '[0-9]'),
                       ('[[:alnum:]]', '[A-Za-z0-9]'), ('[:alnum:]', 'A-Za-z0-9')):  # fmt: skip
        pattern = pattern.replace(go, python)
    return re.compile(re.sub(r'(?<!\\)\$$', r'\\Z', pattern))


def _validate_number(schema: Schema, value: float, path: str) -> Iterator[FieldError]:
    if 'maximum' in schema:
        high, exclusive = schema['maximum'], schema.get('exclusiveMaximum')
        if value > high or (exclusive and value == high):
            words = 'less than' if exclusive else 'less than or equal to'
            yield invalid(path, value, f'{path} in body should be {words} {_number(high)}')
    if 'minimum' in schema:
        low, exclusive = schema['minimum'], schema.get('exclusiveMinimum')
        if value < low or (exclusive and value == low):
            words = 'greater than' if exclusive else 'greater than or equal to'
            yield invalid(path, value, f'{path} in body should be {words} {_number(low)}')
    step = schema.get('multipleOf')
    if step and abs(value / step - round(value / step)) > 1e-9:
        yield invalid(path, value, f'{path} in body should be a multiple of {_number(step)}')
    limit = {'int32': 2**31, 'int64': 2**63}.get(schema.get('format', ''))
    if limit is not None and not -limit <= value < limit:
        yield invalid(path, value, f'Checked value must be of type integer with format {schema["format"]}')


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _validate_list(schema: Schema, value: list[Any], path: str) -> Iterator[FieldError]:
    if 'maxItems' in schema and len(value) > schema['maxItems']:
        yield too_many(path, len(value), schema['maxItems'])
    if len(value) < schema.get('minItems', 0):
        yield invalid(path, len(value), f'{path} in body should have at least {schema["minItems"]} items')
    items = schema.get('items')
    if isinstance(items, dict):
        for index, item in enumerate(value):
            yield from validate_value(items, item, f'{path}[{index}]')
    yield from _validate_unique(schema, value, path)


def _validate_unique(schema: Schema, value: list[Any], path: str) -> Iterator[FieldError]:
    """Of a list that is a set, or a map by some of its items' fields."""
    kind, keys = schema.get(LIST_TYPE), schema.get(MAP_KEYS) or ()
    if kind not in ('set', 'map'):
        return
    defaults = {key: prop.get('default') for key, prop in ((schema.get('items') or {}).get('properties') or {}).items()}
    seen: set[str] = set()
    for index, item in enumerate(value):
        if kind == 'map':
            if not isinstance(item, dict):
                continue
            item = {key: item.get(key, defaults.get(key)) for key in keys}
        text = json.dumps(item, sort_keys=True)
        if text in seen:
            yield duplicate(f'{path}[{index}]', item)
        seen.add(text)


def _validate_object(schema: Schema, value: dict[str, Any], path: str) -> Iterator[FieldError]:
    if 'maxProperties' in schema and len(value) > schema['maxProperties']:
        yield too_many(path, len(value), schema['maxProperties'])
    if len(value) < schema.get('minProperties', 0):
        yield invalid(path, len(value), f'{path} in body should have at least {schema["minProperties"]} properties')
    for name in schema.get('required') or ():
        if name not in value:
            yield required(_below(path, name))
    properties, additional = schema.get('properties') or {}, schema.get('additionalProperties')
    for name, child in value.items():
        if name in properties:
            yield from validate_value(properties[name], child, _below(path, name))
        elif isinstance(additional, dict):
            yield from validate_value(additional, child, _below(path, name))


def _below(path: str, name: str) -> str:
    return f'{path}.{name}' if path else name


def _validate_combinations(schema: Schema, value: Any, path: str) -> Iterator[FieldError]:
    for each in schema.get('allOf') or ():
        yield from validate_value(each, value, path)
    shown = path or '<nil>'
    if schema.get('anyOf') and not any(_valid(each, value) for each in schema['anyOf']):
        yield invalid(path, value, f'"{shown}" must validate at least one schema (anyOf)')
    if schema.get('oneOf'):
        count = sum(_valid(each, value) for each in schema['oneOf'])
        if count != 1:
            found = f'Found {count} valid alternatives' if count else 'Found none valid'
            yield invalid(path, value, f'"{shown}" must validate one and only one schema (oneOf). {found}')
    if schema.get('not') and _valid(schema['not'], value):
        yield invalid(path, value, f'"{shown}" must not validate the schema (not)')


def _valid(schema: Schema, value: Any) -> bool:
    return next(validate_value(schema, value, ''), None) is None


def _parses(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return check


def _date_time(text: str) -> datetime:
    if 'T' not in text.upper() or datetime.fromisoformat(text).tzinfo is None:
        raise ValueError(text)
    return datetime.fromisoformat(text)


def _cidr(text: str) -> None:
    if '/' not in text:
        raise ValueError(text)
    ipaddress.ip_interface(text)


def _matches(pattern: str) -> Callable[[str], bool]:
    found = re.compile(pattern)
    return lambda text: found.fullmatch(text) is not None


# Those of k8s.io/apiextensions-apiserver/pkg/apiserver/validation/formats.go that people use; others are not checked.
FORMATS: dict[str, Callable[[str], bool]] = {
    'date': _parses(lambda text: datetime.strptime(text, '%Y-%m-%d')),
    'date-time': _parses(_date_time), 'datetime': _parses(_date_time),
    'ipv4': _parses(ipaddress.IPv4Address), 'ipv6': _parses(ipaddress.IPv6Address), 'cidr': _parses(_cidr),
    'email': _matches(r'[^@\s]+@[^@\s]+'), 'hostname': _matches(r'[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?'),
    'uri': _matches(r'([A-Za-z][A-Za-z0-9+.-]*:|/)\S*'), 'mac': _matches(r'([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}'),
    'uuid': _matches(r'(?i)[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}'),
    'byte': _matches(r'([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?'),
    'duration': _matches(r'-?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d|w))+|0'),
}  # fmt: skip
