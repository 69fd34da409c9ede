"""From a request's JSON value to an object in canonical form, as a round trip through Kubernetes' Go types gives it.

Types are checked (the errors are encoding/json's), nulls and empty optional values dropped, unknown fields dropped
(``schema.unknown_fields`` names them first), quantities and times brought to their canonical text.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from netkube.api.errors import ApiError, bad_request
from netkube.api.gotypes import NAMED_TYPES
from netkube.api.meta import Object, micro_timestamp, timestamp
from netkube.api.quantity import FORMAT_MESSAGE, QuantityError, canonical_quantity
from netkube.api.resources import CustomResource, Resource
from netkube.api.schema import Field, Struct, Type, definition, load

_EMPTY: tuple[Any, ...] = ('', 0, False)
_NEVER_ZERO = ('struct', 'any', 'quantity', 'intstr')
_LIMITS = {'int32': 2**31, 'int64': 2**63}


class _Fault(Exception):
    """A value that does not fit its type; the message is the one of the Go decoder."""


def decode(resource: Resource, value: Any) -> Object:
    """A new object, with apiVersion, kind and metadata. ApiError 400 when a value has the wrong type."""
    if isinstance(resource, CustomResource):
        decoded: Object = resource.definition.decode(value)
        return decoded
    obj = _decode_as(definition(resource), resource.kind, resource.version, value)
    obj.setdefault('metadata', {})
    return {'apiVersion': resource.api_version, 'kind': resource.kind} | obj


def decode_definition(name: str, value: Any) -> Object:
    """The same for a type that is no resource, for example ``io.k8s.api.autoscaling.v1.Scale``."""
    version, kind = name.split('.')[-2:]
    return _decode_as(load().named(name), kind, version, value)


def decode_metadata(kind: str, version: str, value: Any) -> Object:
    """The metadata of an object whose kind has no definition of Kubernetes' own."""
    return _decode_as(load().named('io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta'), kind, version, value)


def _decode_as(struct: Struct, kind: str, version: str, value: Any) -> Object:
    try:
        if not isinstance(value, dict):
            raise _Fault(f'json: cannot unmarshal {_json_kind(value)} into Go value of type v1.{kind}')
        return _struct(struct, value, [])
    except _Fault as fault:
        raise undecodable(kind, version, str(fault)) from None


def undecodable(kind: str, version: str, fault: str) -> ApiError:
    return bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {fault}')


def strict_error(resource: Resource, faults: list[str]) -> ApiError:
    """The refusal of unknown and duplicate fields under fieldValidation=Strict."""
    return undecodable(resource.kind, resource.version, f'strict decoding error: {", ".join(faults)}')


def _struct(struct: Struct, value: dict[str, Any], path: list[str]) -> Object:
    result: Object = {}
    find = struct.fields.get
    for key, child in value.items():
        field = find(key)
        if field is None or child is None:
            continue
        if field.type.kind == 'string' and type(child) is str:  # most values are, and every write is decoded
            decoded = child
        else:
            path.append(key)
            decoded = _value(field.type, child, struct, path)
            path.pop()
        if decoded or field.required or not _omitted(field, decoded):
            result[key] = decoded
    return result


def _omitted(field: Field, value: Any) -> bool:
    """omitempty: an empty value is not kept if it is a list, a map, or the zero of a field that is no pointer."""
    kind = field.type.kind
    if kind in ('list', 'map'):
        return True
    return field.omits_zero and kind not in _NEVER_ZERO and value in _EMPTY


def _value(type_: Type, value: Any, struct: Struct, path: list[str]) -> Any:
    kind, element = type_.kind, type_.element
    if kind == 'struct':
        return _struct(type_.struct, _of(dict, type_, value, struct, path), path)  # type: ignore[arg-type]
    if kind == 'list':
        items = _of(list, type_, value, struct, path)
        return [_element(element, item, struct, path) for item in items] if element else items
    if kind == 'map':
        members = _of(dict, type_, value, struct, path)
        return {key: _element(element, item, struct, path) for key, item in members.items()}
    return value if kind == 'any' else _SCALARS[kind](type_, value, struct, path)


def _element(type_: Type | None, value: Any, struct: Struct, path: list[str]) -> Any:
    """A null element is its type's zero value."""
    if type_ is None or (type_.kind == 'string' and type(value) is str):
        return value
    if value is None:
        return {} if type_.kind in ('struct', 'map') else [] if type_.kind == 'list' else _ZEROS.get(type_.kind, '')
    return _value(type_, value, struct, path)


def _of(wanted: type, type_: Type, value: Any, struct: Struct, path: list[str]) -> Any:
    if not isinstance(value, wanted):
        raise _mismatch(type_, value, struct, path)
    return value


def _mismatch(type_: Type, value: Any, struct: Struct, path: list[str], shown: str = '') -> _Fault:
    go_type = NAMED_TYPES.get(f'{struct.name}.{path[-1]}', type_.go_name)
    where = f'Go struct field {struct.name}.{".".join(path)} of type {go_type}'
    return _Fault(f'json: cannot unmarshal {shown or _json_kind(value)} into {where}')


def _json_kind(value: Any) -> str:
    if isinstance(value, bool):
        return 'bool'
    if isinstance(value, int | float):
        return 'number'
    if isinstance(value, str):
        return 'string'
    if isinstance(value, dict):
        return 'object'
    return 'array' if isinstance(value, list) else 'null'


def _string(type_: Type, value: Any, struct: Struct, path: list[str]) -> str:
    return _of(str, type_, value, struct, path)


def _integer(type_: Type, value: Any, struct: Struct, path: list[str]) -> int:
    if isinstance(value, float) and not isinstance(value, bool):
        raise _mismatch(type_, value, struct, path, f'number {value}')
    if isinstance(value, bool) or not isinstance(value, int):
        raise _mismatch(type_, value, struct, path)
    limit = _LIMITS[type_.kind]
    if not -limit <= value < limit:
        raise _mismatch(type_, value, struct, path, f'number {value}')
    return value


def _float(type_: Type, value: Any, struct: Struct, path: list[str]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _mismatch(type_, value, struct, path)
    return value


def _bool(type_: Type, value: Any, struct: Struct, path: list[str]) -> bool:
    return _of(bool, type_, value, struct, path)


def _bytes(type_: Type, value: Any, struct: Struct, path: list[str]) -> str:
    """base64 text, kept as text."""
    text = _of(str, type_, value, struct, path)
    try:
        base64.b64decode(text.replace('\n', '').replace('\r', ''), validate=True)
    except binascii.Error:
        raise _Fault(f'illegal base64 data at input byte {_base64_fault(text)}') from None
    return text


def _base64_fault(text: str) -> int:
    """The offset Go's decoder reports: the first foreign character, or the end of a short last group."""
    alphabet = frozenset('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/\r\n')
    for index, character in enumerate(text):
        if character not in alphabet:
            return index
    return len(text) // 4 * 4


def _quantity(type_: Type, value: Any, struct: Struct, path: list[str]) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _Fault(FORMAT_MESSAGE)
    try:
        return canonical_quantity(value)
    except QuantityError as error:
        raise _Fault(str(error)) from None


def _int_or_string(type_: Type, value: Any, struct: Struct, path: list[str]) -> int | str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**31) <= value < 2**31:
        shown = f'number {value}' if _json_kind(value) == 'number' else _json_kind(value)
        raise _Fault(f'json: cannot unmarshal {shown} into Go value of type int32')
    return value


def _time(type_: Type, value: Any, struct: Struct, path: list[str]) -> str:
    return _canonical_time(_of_text(value))


def _microtime(type_: Type, value: Any, struct: Struct, path: list[str]) -> str:
    return micro_timestamp(_parse_time(_of_text(value), '2006-01-02T15:04:05.000000Z07:00'))


@lru_cache(1024)  # a Pod's status has the same second in each condition
def _canonical_time(text: str) -> str:
    return timestamp(_parse_time(text, '2006-01-02T15:04:05Z07:00'))


def _of_text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Fault(f'json: cannot unmarshal {_json_kind(value)} into Go value of type string')
    return value


def _parse_time(value: str, layout: str) -> datetime:
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise _Fault(f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"') from None
    if parsed.tzinfo is None or 'T' not in value:
        raise _Fault(f'parsing time "{value}" as "{layout}": cannot parse "" as "Z07:00"')
    return parsed.astimezone(UTC)


_ZEROS: dict[str, Any] = {'int32': 0, 'int64': 0, 'float64': 0, 'bool': False, 'intstr': 0, 'quantity': '0'}
_SCALARS: dict[str, Callable[[Type, Any, Struct, list[str]], Any]] = {
    'string': _string, 'int32': _integer, 'int64': _integer, 'float64': _float, 'bool': _bool, 'bytes': _bytes,
    'quantity': _quantity, 'intstr': _int_or_string, 'time': _time, 'microtime': _microtime,
}  # fmt: skip
