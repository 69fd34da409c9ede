"""The way from ``kubectl apply`` to ``kubectl apply --server-side``: kubectl's own record of what it applied.

Fields that still have the value of that record are kubectl's to take, without a conflict; and the record is kept up, so
that the way back works. Both only for the manager ``kubectl``. (apimachinery managedfields/internal/lastapplied*.go)
"""

from __future__ import annotations

import msgspec

from netkube.api.managedfields.compare import compare
from netkube.api.managedfields.extract import field_set
from netkube.api.managedfields.fieldset import Fields, difference, union
from netkube.api.managedfields.shape import ItemError, Shape
from netkube.api.meta import Object

KUBECTL = 'kubectl'
LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration'
MAX_ANNOTATIONS = 256 << 10  # bytes of all of an object


def allowed_conflicts(live: Object, shape: Shape) -> Fields:
    """The fields of the record whose values are still the live ones; none without a record that can be read."""
    record = (live['metadata'].get('annotations') or {}).get(LAST_APPLIED)
    if not record:
        return {}
    try:
        applied = msgspec.json.decode(record)
        if not isinstance(applied, dict):
            return {}
        fields, changes = field_set(applied, shape), compare(applied, live, shape)
    except (msgspec.DecodeError, ItemError):
        return {}
    return difference(fields, union(changes.written, changes.removed))


def keep_record(obj: Object, config: Object) -> None:
    """Renew the record of ``obj``, if it has one, with the configuration that was applied. In place."""
    annotations = obj['metadata'].get('annotations') or {}
    if LAST_APPLIED not in annotations:
        return
    obj['metadata']['annotations'] = {**annotations, LAST_APPLIED: _record(config)}
    if sum(len(key) + len(str(value)) for key, value in obj['metadata']['annotations'].items()) > MAX_ANNOTATIONS:
        obj['metadata']['annotations'][LAST_APPLIED] = ''


def _record(config: Object) -> str:
    metadata = dict(config.get('metadata') or {})
    annotations = {k: v for k, v in (metadata.get('annotations') or {}).items() if k != LAST_APPLIED}
    if annotations or 'annotations' in metadata:
        metadata['annotations'] = annotations
    return msgspec.json.encode({**config, 'metadata': metadata}, order='sorted').decode() + '\n'
