"""How deep a body may nest, and how much YAML's aliases may make of it.

Kubernetes allows 10,000 levels; what reads objects here recurses, and nothing that is meant has more than a few dozen.
YAML: sigs.k8s.io/yaml, "document contains excessive aliasing".
"""

from __future__ import annotations

from typing import Any

from netkube.api.errors import ApiError, bad_request

MAX_DEPTH = 128
FREE_NODES = 10_000  # beside one for each byte of the body


def check_depth(value: Any, body: bytes = b'') -> None:
    """ApiError 400. ``body``, when it is JSON, says at once that most values cannot be too deep."""
    if body and body.count(b'{') + body.count(b'[') <= MAX_DEPTH:
        return
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [child for one in level for child in (one.values() if isinstance(one, dict) else one)
                 if isinstance(child, dict | list)]  # fmt: skip
        if not level:
            return
    raise too_deep()


def check_aliases(value: Any, body: bytes) -> None:
    """ApiError 400 for a YAML value that its aliases make far larger, or endless."""
    if _size(value, {}, 0) > len(body) + FREE_NODES:
        raise bad_request('yaml: document contains excessive aliasing')


def _size(value: Any, known: dict[int, int], depth: int) -> int:
    """Nodes, with each alias written out; each is looked at once."""
    if not isinstance(value, dict | list):
        return 1
    if depth > MAX_DEPTH:
        raise too_deep()
    if id(value) not in known:
        children = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(child, known, depth + 1) for child in children)
    return known[id(value)]


def too_deep() -> ApiError:
    return bad_request(f'exceeded max depth: nothing may nest more than {MAX_DEPTH} levels')
