"""JSONPath as kubectl and printer columns use it: ``.status.conditions[?(@.type=="Ready")].status``.

k8s.io/client-go/util/jsonpath, without templates around the path.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

_TOKEN = re.compile(
    r"""\.\.(?P<deep>[\w-]+|\*)|\.(?P<name>(?:[^.\[\]\\'"]|\\.)+)|\[(?P<index>-?\d+)\]|\[(?P<all>\*)\]"""
    r"""|\[(?P<from>-?\d*):(?P<to>-?\d*)\]|\[(?P<quote>['"])(?P<quoted>.*?)(?P=quote)\]"""
    r"""|\[\?\(\s*@(?P<path>[^=!<>)]*?)\s*(?:(?P<operator>==|!=|<=|>=|<|>)\s*(?P<literal>.*?)\s*)?\)\]"""
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    '==': lambda a, b: a == b, '!=': lambda a, b: a != b, '<': lambda a, b: a < b, '>': lambda a, b: a > b,
    '<=': lambda a, b: a <= b, '>=': lambda a, b: a >= b,
}  # fmt: skip
Step = Callable[[Any], Iterator[Any]]


class JsonPathError(ValueError):
    """The text is no path."""


def find_all(path: str, value: Any) -> list[Any]:
    """What the path selects, in order; nothing where something on the way is missing. JsonPathError."""
    found = [value]
    for step in parse_path(path):
        found = [child for each in found for child in step(each)]
    return found


@functools.lru_cache(1024)
def parse_path(path: str) -> tuple[Step, ...]:
    """JsonPathError."""
    text = path.strip().removeprefix('{').removesuffix('}').removeprefix('$')
    if text and text[0] not in '.[':
        text = '.' + text
    steps, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found:
            raise JsonPathError(f'unrecognized character in action: {text[at:]}')
        steps.append(_step(found))
        at = found.end()
    return tuple(steps)


def _step(found: re.Match[str]) -> Step:
    if found['deep']:
        return functools.partial(_deep, found['deep'])
    if found['name'] or found['quote']:
        name = found['quoted'] if found['quote'] else re.sub(r'\\(.)', r'\1', found['name'])
        return _every if name == '*' and not found['quote'] else functools.partial(_member, name)
    if found['index']:
        return functools.partial(_item, int(found['index']))
    if found['all']:
        return _every
    if found['path'] is not None:
        return functools.partial(_filter, found['path'], found['operator'], found['literal'])
    bounds = slice(*(int(found[name]) if found[name] else None for name in ('from', 'to')))
    return functools.partial(_slice, bounds)


def _member(name: str, value: Any) -> Iterator[Any]:
    if isinstance(value, dict) and name in value:
        yield value[name]


def _item(index: int, value: Any) -> Iterator[Any]:
    if isinstance(value, list) and -len(value) <= index < len(value):
        yield value[index]


def _slice(bounds: slice, value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from value[bounds]


def _every(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _deep(name: str, value: Any) -> Iterator[Any]:
    yield from _every(value) if name == '*' else _member(name, value)
    for child in _every(value):
        yield from _deep(name, child)


def _filter(path: str, operator: str | None, literal: str | None, value: Any) -> Iterator[Any]:
    for item in _every(value):
        found = find_all(path, item)
        if operator is None:
            if found:
                yield item
        elif found and _holds(operator, found[0], _literal(literal or '')):
            yield item


def _holds(operator: str, left: Any, right: Any) -> bool:
    try:
        return _COMPARE[operator](left, right)
    except TypeError:
        return False


def _literal(text: str) -> Any:
    if len(text) > 1 and text[0] in '\'"' and text[-1] == text[0]:
        return text[1:-1]
    if text in ('true', 'false'):
        return text == 'true'
    try:
        return float(text) if '.' in text else int(text)
    except ValueError:
        return text
