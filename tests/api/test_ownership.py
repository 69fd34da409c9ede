"""The laws of applying and updating, for any number of managers of a Deployment and its like."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netkube.api import schema
from netkube.api.managedfields.compare import compare
from netkube.api.managedfields.conflicts import ApplyConflict
from netkube.api.managedfields.entries import Managers, applier, parse_managers, render_managers, updater
from netkube.api.managedfields.extract import field_set
from netkube.api.managedfields.fieldset import difference, intersection, leaves, paths
from netkube.api.managedfields.merge import merge, order
from netkube.api.managedfields.ownership import Scope, apply, update
from netkube.api.managedfields.shape import ANY, struct_shape
from netkube.api.resources import DEPLOYMENTS

NOW = '2026-01-01T00:00:00Z'
SHAPE = struct_shape(schema.definition(DEPLOYMENTS))
SCOPE = Scope(SHAPE, 'apps/v1', {'f:status': {}})
KIND = {'apiVersion': 'apps/v1', 'kind': 'Deployment'}

NAMES = st.sampled_from('abc')
WORDS = st.sampled_from(['1', '2'])
NUMBERS = st.integers(0, 2)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


def keyed(key: str, names: st.SearchStrategy[Any], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    item = st.builds(lambda name, rest: {key: name, **rest}, names, some(**fields))
    return st.lists(item, min_size=1, max_size=3, unique_by=lambda one: one[key])


ENV = keyed('name', NAMES, value=WORDS)
PORTS = keyed('containerPort', NUMBERS, name=NAMES)
CONTAINERS = keyed('name', NAMES, image=WORDS, env=ENV, ports=PORTS, args=st.lists(WORDS, min_size=1, max_size=2))
MAPS = st.dictionaries(NAMES, WORDS, min_size=1, max_size=2)
POD = some(containers=CONTAINERS, nodeSelector=MAPS, hostname=WORDS)
SPEC = some(replicas=NUMBERS, paused=st.booleans(), template=some(spec=POD, metadata=some(labels=MAPS)))
METADATA = st.builds(
    lambda rest: {'name': 'x', **rest},
    some(labels=MAPS, finalizers=st.lists(NAMES, min_size=1, max_size=3, unique=True)),
)
CONFIGS = st.builds(lambda metadata, rest: {**KIND, 'metadata': metadata, **rest}, METADATA, some(spec=SPEC))
EMPTY: dict[str, Any] = {'metadata': {}}


def applied(live: Any, config: Any, managers: Managers, name: str) -> tuple[Any, Managers]:
    return apply(live, config, managers, applier(name), SCOPE, NOW, force=True)


def has(obj: Any, config: Any) -> bool:
    """All that ``config`` says is true of ``obj``."""
    return merge(obj, config, SHAPE) == obj or not compare(obj, merge(obj, config, SHAPE), SHAPE).written


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(NAMES, CONFIGS), max_size=4), CONFIGS)
def test_what_is_applied_is_there_and_owned_and_once_is_enough(history: list[tuple[str, Any]], config: Any) -> None:
    live, managers = EMPTY, {}
    for name, earlier in history:
        live, managers = applied(live, earlier, managers, name)
    new, after = applied(live, config, managers, 'a')
    assert has(new, config)
    owned = after[applier('a')].fields if applier('a') in after else {}
    assert not difference(leaves(owned), field_set(config, SHAPE))
    assert apply(new, config, after, applier('a'), SCOPE, NOW, force=False) == (new, after)


@settings(max_examples=200, deadline=None)
@given(CONFIGS, CONFIGS)
def test_what_one_applies_no_more_goes_and_what_another_owns_stays(first: Any, other: Any) -> None:
    live, managers = applied(EMPTY, first, {}, 'a')
    live, managers = applied(live, other, managers, 'b')
    nothing = {**KIND, 'metadata': {'name': 'x'}}
    new, after = applied(live, nothing, managers, 'a')
    assert has(new, other)
    assert applier('a') not in after
    assert set(paths(leaves(field_set(new, SHAPE)))) <= set(paths(field_set(other, SHAPE))) | {('f:metadata',)}


@settings(max_examples=200, deadline=None)
@given(CONFIGS, CONFIGS)
def test_a_conflict_is_what_differs_and_is_owned(first: Any, other: Any) -> None:
    live, managers = applied(EMPTY, first, {}, 'a')
    taken = intersection(managers[applier('a')].fields if managers else {}, _written(live, other))
    if not taken:
        apply(live, other, managers, applier('b'), SCOPE, NOW, force=False)
        return
    with pytest.raises(ApplyConflict) as refused:
        apply(live, other, managers, applier('b'), SCOPE, NOW, force=False)
    assert refused.value.fields == taken


def _written(live: Any, config: Any) -> Any:
    return compare(live, merge(live, config, SHAPE), SHAPE).written


@settings(max_examples=200, deadline=None)
@given(CONFIGS, CONFIGS)
def test_an_update_owns_what_it_changes_and_nobody_else_does(before: Any, after: Any) -> None:
    managers = update(EMPTY, before, {}, updater('a', 'apps/v1'), SCOPE, NOW)
    managers = update(before, after, managers, updater('b', 'apps/v1'), SCOPE, NOW)
    changes = compare(before, after, SHAPE)
    first, second = (managers.get(updater(name, 'apps/v1')) for name in 'ab')
    assert not intersection(first.fields if first else {}, changes.written)
    assert not difference(second.fields if second else {}, changes.written)
    assert all(not intersection(owned.fields, changes.removed) for owned in managers.values())
    assert parse_managers(render_managers(managers)) == managers


@settings(max_examples=200, deadline=None)
@given(CONFIGS, CONFIGS)
def test_a_comparison_is_empty_between_equals_and_mirrors(one: Any, other: Any) -> None:
    same, there, back = compare(one, one, SHAPE), compare(one, other, SHAPE), compare(other, one, SHAPE)
    assert not same.written and not same.removed
    assert (there.added, there.modified) == (back.removed, back.modified)


@pytest.mark.parametrize(
    ('live', 'config', 'wanted'),
    [('abc', '', 'abc'), ('', 'ab', 'ab'), ('abc', 'ac', 'abc'), ('abc', 'ca', 'bca'), ('abc', 'dca', 'bdca'),
     ('abcd', 'dxb', 'acdxb'), ('xayb', 'ba', 'xyba')],
)  # fmt: skip
def test_the_order_of_merged_lists(live: str, config: str, wanted: str) -> None:
    """Cases of structured-merge-diff/typed/merge_test.go, worked through by hand."""
    merged = ''.join(order(list(live), list(config)))
    assert sorted(merged) == sorted(set(live) | set(config))
    assert merged == wanted


def test_what_the_schema_does_not_know_is_deduced() -> None:
    live = {'map': {'a': 1, 'b': {'c': 2}}, 'list': [1, 2], 'scalar': 'x'}
    assert field_set(live, ANY) == {
        'f:map': {'.': {}, 'f:a': {}, 'f:b': {'.': {}, 'f:c': {}}}, 'f:list': {}, 'f:scalar': {},
    }  # fmt: skip
    assert merge(live, {'map': {'b': {'d': 3}}, 'list': [3]}, ANY) == {
        'map': {'a': 1, 'b': {'c': 2, 'd': 3}}, 'list': [3], 'scalar': 'x',
    }  # fmt: skip


def test_null_takes_a_scalar_and_leaves_a_map() -> None:
    live = {**KIND, 'metadata': {'name': 'x', 'labels': {'a': '1'}}, 'spec': {'replicas': 1}}
    config = {**KIND, 'metadata': {'name': 'x', 'labels': None}, 'spec': {'replicas': None}}
    merged = merge(live, config, SHAPE)
    assert merged['metadata']['labels'] == {'a': '1'} and merged['spec'] == {'replicas': None}
