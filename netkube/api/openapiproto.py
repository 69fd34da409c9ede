"""The OpenAPI v2 document as protobuf, which is all that kubectl reads of it (for a List, and in explain's old form).

The messages are those of gnostic's openapiv2/OpenAPIv2.proto; only the fields that our document has are written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

MEDIA_TYPE = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf'
ASKED_FOR = (MEDIA_TYPE, 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf')
_METHODS = {'get': 2, 'put': 3, 'post': 4, 'delete': 5, 'patch': 8}
Node = dict[str, Any]


def encode_document(document: Node) -> bytes:
    """The bytes of an openapi.v2.Document."""
    info = _text(1, document['info']['title']) + _text(2, document['info']['version'])
    paths = b''.join(_message(2, _named(path, _path_item(item))) for path, item in document['paths'].items())
    named = document['definitions'].items()
    definitions = b''.join(_message(1, _named(name, _schema(schema))) for name, schema in named)
    return _text(1, document['swagger']) + _message(2, info) + _message(8, paths) + _message(9, definitions)


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _message(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode()) if text else b''


def _flag(number: int, value: bool) -> bytes:
    return _varint(number << 3) + b'\x01' if value else b''


def _named(name: str, value: bytes) -> bytes:
    return _text(1, name) + _message(2, value)


def _any(value: Any) -> bytes:
    """openapi.v2.Any: YAML, of which JSON is a part."""
    return _text(2, json.dumps(value) + '\n')


def _extensions(number: int, node: Node) -> bytes:
    return b''.join(_message(number, _named(key, _any(node[key]))) for key in node if key.startswith('x-'))


def _path_item(item: Node) -> bytes:
    return b''.join(_message(_METHODS[method], _operation(operation)) for method, operation in item.items())


def _operation(operation: Node) -> bytes:
    parameters = b''.join(_message(8, _parameter(one)) for one in operation.get('parameters') or ())
    responses = b''.join(_message(1, _named(code, _message(1, _text(1, response['description']))))
                         for code, response in operation['responses'].items())  # fmt: skip
    return parameters + _message(9, responses) + _extensions(13, operation)


def _parameter(parameter: Node) -> bytes:
    """ParametersItem > Parameter > NonBodyParameter > QueryParameterSubSchema."""
    query = _text(2, parameter['in']) + _text(4, parameter['name']) + _text(6, parameter['type'])
    return _message(1, _message(2, _message(3, query + _flag(20, bool(parameter.get('uniqueItems'))))))


def _schema(schema: Node) -> bytes:
    return b''.join(_schema_fields(schema))


def _schema_fields(schema: Node) -> Iterator[bytes]:
    for key, number in (('$ref', 1), ('format', 2), ('title', 3), ('description', 4), ('pattern', 13)):
        if isinstance(schema.get(key), str):
            yield _text(number, schema[key])
    if 'default' in schema:
        yield _message(5, _any(schema['default']))
    yield from (_text(19, name) for name in schema.get('required') or ())
    yield from (_message(20, _any(one)) for one in schema.get('enum') or ())
    additional = schema.get('additionalProperties')
    if isinstance(additional, dict):
        yield _message(21, _message(1, _schema(additional)))
    elif additional:
        yield _message(21, _flag(2, True))
    if schema.get('type'):
        yield _message(22, _text(1, schema['type']))
    if isinstance(schema.get('items'), dict):
        yield _message(23, _message(1, _schema(schema['items'])))
    properties = schema.get('properties') or {}
    if properties:
        yield _message(25, _each(1, properties.items()))
    yield _extensions(31, schema)


def _each(number: int, named: Iterable[tuple[str, Node]], encode: Callable[[Node], bytes] = _schema) -> bytes:
    return b''.join(_message(number, _named(name, encode(value))) for name, value in named)
