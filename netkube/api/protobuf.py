"""Kubernetes' protobuf, one way: from the body of a request to the JSON value that says the same.

Clients made with client-go, ``kubectl create`` among them, send built-in kinds so and do not try JSON when they are
refused. The answers are always JSON, which all of them accept. Driven by the same definitions as everything that
depends on a field's type, plus the field numbers. https://protobuf.dev/programming-guides/encoding,
k8s.io/apimachinery/pkg/runtime/serializer/protobuf.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from netkube.api.fieldnumbers import INLINE, fields_of
from netkube.api.meta import Object, micro_timestamp, timestamp
from netkube.api.resources import BY_KIND
from netkube.api.schema import Struct, Type, definition, load

MEDIA_TYPE = 'application/vnd.kubernetes.protobuf'
MAGIC = b'k8s\x00'
_TYPE_META, _RAW = 1, 2  # the fields of runtime.Unknown, the envelope
_API_VERSION, _KIND = 1, 2  # of TypeMeta
_SPAN = 1 << 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Kinds that are no resource. DeleteOptions come with the version of whatever is deleted.
_OTHERS = {
    'Binding': 'io.k8s.api.core.v1.Binding', 'Eviction': 'io.k8s.api.policy.v1.Eviction',
    'TokenRequest': 'io.k8s.api.authentication.v1.TokenRequest',
    'Scale': 'io.k8s.api.autoscaling.v1.Scale', 'DeleteOptions': 'io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions',
}  # fmt: skip

Wire = int | bytes  # a varint, or everything else


class ProtobufError(Exception):
    """What is wrong with a body."""


def decode_protobuf(body: bytes) -> Object:
    """The object as its JSON would be, zero values included; ``netkube.api.decode`` makes it canonical."""
    if not body.startswith(MAGIC):
        expected = f'expected prefix {list(MAGIC)}'.replace(',', '')
        raise ProtobufError(f'provided data does not appear to be a protobuf message, {expected}')
    envelope = dict(_fields(body[len(MAGIC) :]))
    names = dict(_fields(_bytes(envelope.get(_TYPE_META, b''))))
    api_version, kind = _text(names.get(_API_VERSION, b'')), _text(names.get(_KIND, b''))
    content = _message(_struct_of(api_version, kind), _bytes(envelope.get(_RAW, b'')))
    return {'apiVersion': api_version, 'kind': kind} | content


def _struct_of(api_version: str, kind: str) -> Struct:
    resource = BY_KIND.get((api_version, kind))
    if resource is not None:
        return definition(resource)
    if kind in _OTHERS:
        return load().named(_OTHERS[kind])
    raise ProtobufError(f'no kind "{kind}" is registered for version "{api_version}"')


def _message(struct: Struct, data: bytes, inline: str = '') -> Object:
    """``inline``: the message whose fields these are, when they are part of the object around it."""
    message = inline or '.'.join(struct.definition.split('.')[-3:])
    names = fields_of(message)
    result: Object = {}
    for number, value in _fields(data):
        name = names.get(number)
        if name is None:
            _refuse_unknown(message, number, value)
        elif name in struct.fields:
            _set(result, name, struct.fields[name].type, value)
        else:
            result |= _message(struct, _bytes(value), INLINE[name])
    return result


def _refuse_unknown(message: str, number: int, value: Wire) -> None:
    """Plain Go fields are sent when they are empty, too: those say nothing."""
    if value:
        raise ProtobufError(f'field {number} of {message} is not known')


def _set(result: Object, name: str, type_: Type, value: Wire) -> None:
    if type_.kind == 'list' and type_.element:
        result.setdefault(name, []).append(_value(type_.element, value))
    elif type_.kind == 'map' and type_.element:
        entry = dict(_fields(_bytes(value)))
        result.setdefault(name, {})[_text(entry.get(1, b''))] = _value(type_.element, entry.get(2, b''))
    else:
        result[name] = _value(type_, value)


def _value(type_: Type, value: Wire) -> Any:
    match type_.kind:
        case 'struct' if type_.struct:
            return _message(type_.struct, _bytes(value))
        case 'string':
            return _text(value)
        case 'bytes':
            return base64.b64encode(_bytes(value)).decode()
        case 'bool':
            return bool(_integer(value))
        case 'int32' | 'int64':
            return _integer(value)
        case 'float64':
            return _float(_bytes(value))
        case 'quantity':
            return _text(dict(_fields(_bytes(value))).get(1, b''))
        case 'intstr':
            return _int_or_string(dict(_fields(_bytes(value))))
        case 'time' | 'microtime':
            return _time(type_.kind, dict(_fields(_bytes(value))))
    return None  # managedFields and their like: the stored ones stay


def _bytes(value: Wire) -> bytes:
    if isinstance(value, int):
        raise ProtobufError('proto: wrong wireType = 0')
    return value


def _text(value: Wire) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError:
        raise ProtobufError('proto: a string contains invalid UTF-8') from None


def _integer(value: Wire) -> int:
    """Negative numbers are sent as 64 bits, whatever their type."""
    if isinstance(value, bytes):
        raise ProtobufError('proto: wrong wireType = 2')
    return value - _SPAN if value >= _SPAN // 2 else value


def _float(value: bytes) -> float:
    if len(value) != 8:
        raise ProtobufError('proto: a double has 8 bytes')
    return struct.unpack('<d', value)[0]


def _int_or_string(fields: dict[int, Wire]) -> int | str:
    return _text(fields.get(3, b'')) if fields.get(1, 0) else _integer(fields.get(2, 0))


def _time(kind: str, fields: dict[int, Wire]) -> str | None:
    """The zero time is a message without fields: null in JSON."""
    if not fields:
        return None
    micros = _integer(fields.get(2, 0)) // 1000
    try:
        at = _EPOCH + timedelta(seconds=_integer(fields.get(1, 0)), microseconds=micros)
    except OverflowError:
        raise ProtobufError('proto: a time is out of range') from None
    return timestamp(at) if kind == 'time' else micro_timestamp(at)


def _fields(data: bytes) -> Iterator[tuple[int, Wire]]:
    """Each field's number and value, in the order they come."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        size, at = _size(data, at, wire_type)
        if at + size > len(data):
            raise ProtobufError('unexpected EOF')
        yield number, data[at : at + size]
        at += size


def _size(data: bytes, at: int, wire_type: int) -> tuple[int, int]:
    match wire_type:
        case 1:
            return 8, at
        case 2:
            return _varint(data, at)
        case 5:
            return 4, at
    raise ProtobufError(f'proto: illegal wireType {wire_type}')


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Its value, and where it ends."""
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value % _SPAN, at
    raise ProtobufError('unexpected EOF' if shift < 64 else 'proto: integer overflow')
