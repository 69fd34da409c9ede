"""Keys that a JSON or YAML text has twice; decoding keeps the last and says nothing.

The words are those of sigs.k8s.io/json and sigs.k8s.io/yaml under strict decoding.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode


class _Members(list[tuple[str, Any]]):
    """A JSON object with all its members, in the text's order."""


def loses_keys(body: bytes, value: Any) -> bool:
    """Whether ``value``, decoded from a JSON body, may have fewer keys than it: each key takes quotes."""
    return body.count(b'"') != _encode(value).count(b'"')


def duplicate_fields(body: bytes) -> list[str]:
    """The paths of the keys of a JSON text that are there more than once: ``spec.containers[0].name``."""
    try:
        members = json.loads(body, object_pairs_hook=_Members)
    except RecursionError:  # deeper than any kind is
        return []
    return list(dict.fromkeys(_in_value(members, '')))


def _in_value(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Members):
        seen = set()
        for key, child in value:
            here = f'{path}.{key}' if path else key
            if key in seen:
                yield here
            seen.add(key)
            yield from _in_value(child, here)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _in_value(item, f'{path}[{index}]')


def duplicate_yaml_keys(body: bytes) -> str:
    """What Go's YAML says of a text with such keys, '' when there are none."""
    import yaml

    root = yaml.compose(body, Loader=getattr(yaml, 'CSafeLoader', yaml.SafeLoader))
    lines = ''.join(f'\n  line {line}: key "{key}" already set in map' for line, key in _in_node(root))
    return f'yaml: unmarshal errors:{lines}' if lines else ''


def _in_node(node: Any) -> Iterator[tuple[int, str]]:
    """(line, key), the first line being 1."""
    children = node.value if node is not None and isinstance(node.value, list) else []
    seen = set()
    for child in children:
        key, value = child if isinstance(child, tuple) else (None, child)
        if key is not None:
            if key.value in seen:
                yield key.start_mark.line + 1, key.value
            seen.add(str(key.value))
        yield from _in_node(value)
