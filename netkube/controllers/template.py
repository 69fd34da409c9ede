"""Pod templates: when two are the same revision, and the hash that names one.

Source: pkg/controller/deployment/util.
"""

from __future__ import annotations

import json
from typing import Any

from netkube.api.meta import Object

HASH_LABEL = 'pod-template-hash'
SAFE_LETTERS = 'bcdfghjklmnpqrstvwxz2456789'  # no vowels, no 0, 1 and 3: no bad words (apimachinery, util/rand)


def same_template(one: Object, other: Object) -> bool:
    """Equal but for the hash label that a ReplicaSet's own template carries."""
    return _comparable(one) == _comparable(other)


def template_hash(template: Object, collisions: int = 0) -> str:
    """Stable across restarts; ``collisions`` is the Deployment's status.collisionCount."""
    text = json.dumps(_comparable(template), sort_keys=True, separators=(',', ':'))
    if collisions:
        text += f'#{collisions}'
    return safe_encode(str(fnv1a_32(text.encode())))


def fnv1a_32(data: bytes) -> int:
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def safe_encode(text: str) -> str:
    return ''.join(SAFE_LETTERS[ord(letter) % len(SAFE_LETTERS)] for letter in text)


def with_hash(template: Object, hash: str) -> Object:
    metadata = template.get('metadata') or {}
    return template | {'metadata': metadata | {'labels': (metadata.get('labels') or {}) | {HASH_LABEL: hash}}}


def _comparable(template: Object) -> Any:
    metadata = template.get('metadata') or {}
    labels = {key: value for key, value in (metadata.get('labels') or {}).items() if key != HASH_LABEL}
    return _without_empty(template | {'metadata': metadata | {'labels': labels}})


def _without_empty(value: Any) -> Any:
    """An absent field and an empty one mean the same."""
    if isinstance(value, dict):
        fields = ((key, _without_empty(field)) for key, field in value.items())
        return {key: field for key, field in fields if field not in (None, {}, [], '')}
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    return value
