"""Sets of fields obey the laws of sets, whatever is nested in them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netkube.api.managedfields.fieldset import (
    Fields,
    difference,
    intersection,
    leaves,
    ordered,
    paths,
    union,
    with_path,
    without_branches,
)
from netkube.api.managedfields.paths import FieldsError, canonical, parse_fields, path_text

STEPS = st.sampled_from(['f:a', 'f:b', 'k:{"name":"x"}', 'v:1'])
PATHS = st.sets(st.lists(STEPS, min_size=1, max_size=3).map(tuple), max_size=8)


def set_of(members: Any) -> Fields:
    fields: Fields = {}
    for path in members:
        fields = with_path(fields, path)
    return fields


@given(PATHS)
def test_a_set_has_what_was_put_in(members: set[tuple[str, ...]]) -> None:
    assert set(paths(set_of(members))) == members


@given(PATHS, PATHS)
def test_union_intersection_and_difference_are_those_of_sets(one: set[Any], other: set[Any]) -> None:
    left, right = set_of(one), set_of(other)
    assert set(paths(union(left, right))) == one | other
    assert set(paths(intersection(left, right))) == one & other
    assert set(paths(difference(left, right))) == one - other
    assert (set(paths(left)), set(paths(right))) == (one, other)


@given(PATHS, PATHS)
def test_equal_sets_have_equal_json(one: set[Any], other: set[Any]) -> None:
    left, right = ordered(union(set_of(one), set_of(other))), ordered(set_of(one | other))
    assert json.dumps(left) == json.dumps(right)
    assert canonical(parse_fields(left)) == left


@given(PATHS, PATHS)
def test_without_branches_takes_what_is_below_too(one: set[Any], other: set[Any]) -> None:
    left = {path for path in one if not any(path[: len(root)] == root for root in other)}
    assert set(paths(without_branches(set_of(one), set_of(other)))) == left


@given(PATHS)
def test_leaves_have_nothing_below(members: set[Any]) -> None:
    found = {path for path in members if not any(len(p) > len(path) and p[: len(path)] == path for p in members)}
    assert set(paths(leaves(set_of(members)))) == found


def test_a_member_with_nothing_below_has_one_form() -> None:
    assert canonical(parse_fields({'f:a': {'.': {}}, 'f:b': {'.': {}, 'f:c': {}}})) == {
        'f:a': {}, 'f:b': {'.': {}, 'f:c': {}},
    }  # fmt: skip
    assert parse_fields({'k:{"b": 1, "a": "x"}': {}}) == {'k:{"a":"x","b":1}': {}}


@pytest.mark.parametrize('fields', [{'a': {}}, {'k:x': {}}, {'k:1': {}}, {'i:x': {}}, {'f:a': 1}, 3], ids=str)
def test_what_is_no_set(fields: object) -> None:
    with pytest.raises(FieldsError):
        parse_fields(fields)


def test_paths_are_written_as_kubernetes_does() -> None:
    path = ('f:spec', 'f:ports', 'k:{"port":80,"protocol":"TCP"}', 'f:name')
    assert path_text(path) == '.spec.ports[port=80,protocol="TCP"].name'
    assert path_text(('f:metadata', 'f:finalizers', 'v:"a/b"')) == '.metadata.finalizers[="a/b"]'
