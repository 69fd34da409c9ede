"""Custom resources are divided into fields as their CustomResourceDefinition's schema says."""

from __future__ import annotations

from typing import Any

import pytest

from netkube.api import schema
from netkube.api.managedfields.check import ShapeError, check
from netkube.api.managedfields.extract import field_set
from netkube.api.managedfields.merge import merge
from netkube.api.managedfields.structural import StructuralShape
from netkube.api.resources import CONFIGMAPS

TEXT = {'type': 'string'}
PORT = {'type': 'object', 'properties': {'port': {'type': 'integer'}, 'name': TEXT,
                                         'protocol': {'type': 'string', 'default': 'TCP'}}}  # fmt: skip
SPEC = {
    'replicas': {'type': 'integer'},
    'ports': {'type': 'array', 'items': PORT, 'x-kubernetes-list-type': 'map',
              'x-kubernetes-list-map-keys': ['port', 'protocol']},
    'tags': {'type': 'array', 'items': TEXT, 'x-kubernetes-list-type': 'set'},
    'args': {'type': 'array', 'items': TEXT},
    'options': {'type': 'object', 'additionalProperties': TEXT},
    'selector': {'type': 'object', 'additionalProperties': TEXT, 'x-kubernetes-map-type': 'atomic'},
    'free': {'type': 'object', 'x-kubernetes-preserve-unknown-fields': True},
    'size': {'x-kubernetes-int-or-string': True},
}  # fmt: skip
META = schema.definition(CONFIGMAPS).fields['metadata'].type.struct
assert META is not None
SHAPE = StructuralShape({'type': 'object', 'properties': {'spec': {'type': 'object', 'properties': SPEC}}}, META)


def cr(**spec: Any) -> dict[str, Any]:
    return {'apiVersion': 'x.io/v1', 'kind': 'X', 'metadata': {'name': 'x', 'labels': {'a': 'b'}}, 'spec': spec}


def test_each_type_has_its_fields() -> None:
    obj = cr(replicas=1, ports=[{'port': 1}], tags=['a'], args=['b'], options={'c': 'd'}, selector={'e': 'f'},
             free={'g': {'h': [1]}}, size='1')  # fmt: skip
    check(obj, SHAPE)
    fields = field_set(obj, SHAPE)
    assert fields['f:metadata'] == {'f:name': {}, 'f:labels': {'f:a': {}}}
    assert fields['f:spec'] == {
        'f:replicas': {}, 'f:ports': {'k:{"port":1,"protocol":"TCP"}': {'.': {}, 'f:port': {}}},
        'f:tags': {'v:"a"': {}}, 'f:args': {}, 'f:options': {'f:c': {}}, 'f:selector': {},
        'f:free': {'f:g': {'.': {}, 'f:h': {}}}, 'f:size': {},
    }  # fmt: skip


def test_lists_merge_by_their_keys() -> None:
    live, config = cr(ports=[{'port': 1, 'name': 'a'}, {'port': 2}]), cr(ports=[{'port': 1, 'protocol': 'TCP'}])
    assert merge(live, config, SHAPE)['spec']['ports'] == [{'port': 1, 'name': 'a', 'protocol': 'TCP'}, {'port': 2}]


@pytest.mark.parametrize(
    ('obj', 'fault'),
    [
        (cr(replica=1), '.spec.replica: field not declared in schema'),
        (cr(replicas='1'), '.spec.replicas: expected numeric (int or float), got string'),
        (cr(tags=['a', 'a']), '.spec.tags: duplicate entries for key [="a"]'),
        (cr(ports=[1]), '.spec.ports: element 0: associative list with keys may not have non-map elements'),
        (cr() | {'more': 1}, '.more: field not declared in schema'),
    ],
)
def test_what_does_not_fit(obj: dict[str, Any], fault: str) -> None:
    with pytest.raises(ShapeError) as refused:
        check(obj, SHAPE)
    assert str(refused.value) == fault
