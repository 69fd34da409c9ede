"""Client-side apply: what the user took out of the manifest goes, what others put into the object stays.

The rules are kubectl's three-way strategic merge (k8s.io/apimachinery/pkg/util/strategicpatch,
CreateThreeWayMergePatch), computed as the new object instead of a patch.
"""

from __future__ import annotations

import json
from typing import Any

from netkube.api.meta import Object
from netkube.api.schema import Field, Struct

LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration'


# Go's encoding/json writes these inside strings as escapes.
GO_ESCAPES = {ord(character): f'\\u{ord(character):04x}' for character in '<>&\u2028\u2029'}


def with_last_applied(manifest: Object) -> Object:
    """The manifest, annotated with itself to the byte as kubectl does: each finds nothing to change after the other."""
    bare = _without_annotation(manifest)
    text = json.dumps(bare, separators=(',', ':'), sort_keys=True, ensure_ascii=False).translate(GO_ESCAPES)
    annotations = {**bare['metadata']['annotations'], LAST_APPLIED: text + '\n'}
    return {**bare, 'metadata': {**bare['metadata'], 'annotations': annotations}}


def last_applied(current: Object) -> Object:
    """The manifest applied last; {} when the object was made without apply."""
    text = (current['metadata'].get('annotations') or {}).get(LAST_APPLIED)
    return json.loads(text) if text else {}


def three_way_merge(original: Any, modified: Any, current: Any, struct: Struct | None) -> Any:
    """``current`` changed from manifest ``original`` to manifest ``modified``; the inputs stay as they are."""
    if not isinstance(modified, dict) or not isinstance(current, dict):
        return modified
    original = original if isinstance(original, dict) else {}
    merged = {key: value for key, value in current.items() if key in modified or key not in original}
    for key, value in modified.items():
        field = struct.fields.get(key) if struct else None
        if value is None:
            merged.pop(key, None)
        elif key in current:
            merged[key] = _merge_field(original.get(key), value, current[key], field)
        else:
            merged[key] = value
    return merged


def _merge_field(original: Any, modified: Any, current: Any, field: Field | None) -> Any:
    if isinstance(modified, list):
        return _merge_list(original or [], modified, current or [], field)
    if field and 'retainKeys' in field.strategies and isinstance(current, dict):
        current = {key: value for key, value in current.items() if key in modified}
    return three_way_merge(original, modified, current, field.type.struct if field else None)


def _merge_list(original: list[Any], modified: list[Any], current: list[Any], field: Field | None) -> list[Any]:
    """Lists with a merge key are merged by it; the others, as upstream, are replaced whole."""
    if not field or 'merge' not in field.strategies:
        return modified
    if not field.merge_key:
        added_by_others = [item for item in current if item not in original and item not in modified]
        return modified + added_by_others
    key = field.merge_key
    before = {item.get(key): item for item in original}
    present = {item.get(key): item for item in current}
    struct = field.type.element.struct if field.type.element else None
    merged = []
    for item in modified:
        live = present.get(item.get(key))
        if live is not None and 'retainKeys' in field.strategies:
            live = {name: value for name, value in live.items() if name in item}
        merged.append(item if live is None else three_way_merge(before.get(item.get(key)), item, live, struct))
    wanted = {item.get(key) for item in modified}
    return merged + [item for item in current if item.get(key) not in wanted and item.get(key) not in before]


def _without_annotation(manifest: Object) -> Object:
    annotations = dict(manifest['metadata'].get('annotations') or {})
    annotations.pop(LAST_APPLIED, None)
    return {**manifest, 'metadata': {**manifest['metadata'], 'annotations': annotations}}
