"""Sizes of ReplicaSets in a rollout: what kube-controller-manager does next, as tables."""

from __future__ import annotations

import pytest

from netkube.controllers.rollout import (
    Scaling,
    Size,
    Strategy,
    is_scaling_event,
    new_replicas,
    parse_strategy,
    plan_recreate,
    plan_rolling_update,
    plan_scale,
    scaled_value,
)


def size(name: str, replicas: int, available: int | None = None, *, of: int | None = None, surge: int = 0) -> Size:
    """``of``: the Deployment's replicas when this one was last sized."""
    ready = replicas if available is None else available
    maximum = of + surge if of is not None else None
    return Size(name, replicas, f'2026-01-0{name[-1]}T00:00:00Z', replicas, True, ready, ready, of, maximum)


@pytest.mark.parametrize(
    ('value', 'total', 'up', 'down'),
    [('25%', 3, 1, 0), ('25%', 10, 3, 2), ('0%', 10, 0, 0), ('100%', 7, 7, 7), (2, 10, 2, 2), ('1%', 1, 1, 0)],
)
def test_percentages_round_in_favour_of_the_users_pods(value: int | str, total: int, up: int, down: int) -> None:
    assert scaled_value(value, total, round_up=True) == up
    assert scaled_value(value, total, round_up=False) == down


@pytest.mark.parametrize(
    ('replicas', 'rolling', 'surge', 'unavailable'),
    [
        (3, None, 1, 0),
        (10, {'maxSurge': '30%', 'maxUnavailable': '30%'}, 3, 3),
        (3, {'maxSurge': 0, 'maxUnavailable': '10%'}, 0, 1),  # both would be 0: one Pod may be missing
        (2, {'maxSurge': 0, 'maxUnavailable': 5}, 0, 2),
    ],
)
def test_strategy(replicas: int, rolling: dict | None, surge: int, unavailable: int) -> None:
    spec = {'replicas': replicas, 'strategy': {'type': 'RollingUpdate', 'rollingUpdate': rolling}}
    assert parse_strategy({'spec': spec}) == Strategy(replicas, True, surge, unavailable)


@pytest.mark.parametrize(
    ('surge', 'unavailable', 'new', 'old', 'expected'),
    [
        # room for the surge first
        (1, 0, size('new2', 0), [size('old1', 3)], [Scaling('new2', 1)]),
        # full: wait for the new Pod
        (1, 0, size('new2', 1, 0), [size('old1', 3)], []),
        # it is available: one old one goes
        (1, 0, size('new2', 1), [size('old1', 3)], [Scaling('old1', 2)]),
        (1, 0, size('new2', 1), [size('old1', 2)], [Scaling('new2', 2)]),
        # no surge: the old one shrinks first
        (0, 1, size('new2', 0), [size('old1', 3)], [Scaling('old1', 2)]),
        (0, 1, size('new2', 0), [size('old1', 2)], [Scaling('new2', 1)]),
        # unhealthy Pods of old ReplicaSets go first, oldest first, and do not count as available
        (0, 1, size('new3', 0), [size('old1', 2, 0), size('old2', 1)], [Scaling('old1', 1)]),
        # an old one that has not shrunk yet has no more available Pods than it shall keep
        (1, 1, size('new2', 2, 1), [size('old1', 2, 3)], [Scaling('old1', 1)]),
        # complete
        (1, 1, size('new2', 3), [size('old1', 0)], []),
        # the new one was too large
        (1, 1, size('new2', 5), [], [Scaling('new2', 3)]),
    ],
)
def test_rolling_update(surge: int, unavailable: int, new: Size, old: list[Size], expected: list[Scaling]) -> None:
    assert plan_rolling_update(Strategy(3, True, surge, unavailable), new, old) == expected


def test_recreate_stops_the_old_before_it_starts_the_new() -> None:
    strategy = Strategy(3, rolling=False)
    assert plan_recreate(strategy, size('new2', 0), [size('old1', 3)]) == [Scaling('old1', 0)]
    assert plan_recreate(strategy, size('new2', 0), [size('old1', 0)]) == [Scaling('new2', 3)]
    assert plan_recreate(strategy, None, [size('old1', 0)]) == []


def test_a_new_replica_set_starts_at_what_the_surge_allows() -> None:
    assert new_replicas(Strategy(3, True, 1, 0), size('new2', 0), []) == 3
    assert new_replicas(Strategy(3, True, 1, 0), size('new2', 0), [size('old1', 3)]) == 1
    assert new_replicas(Strategy(3, rolling=False), size('new2', 0), [size('old1', 3)]) == 3


def test_a_resize_is_seen_by_the_annotation() -> None:
    assert is_scaling_event(Strategy(5), [size('new1', 3, of=3)])
    assert not is_scaling_event(Strategy(3), [size('new1', 3, of=3)])
    assert not is_scaling_event(Strategy(5), [size('new1', 0, of=3)])


@pytest.mark.parametrize(
    ('replicas', 'surge', 'new', 'old', 'expected'),
    [
        # one active ReplicaSet takes everything
        (5, 1, size('new2', 3, of=3), [size('old1', 0)], {'new2': 5}),
        (5, 1, None, [size('old1', 3, of=3)], {'old1': 5}),
        # saturated: what is left of the old goes
        (3, 1, size('new2', 3, of=3), [size('old1', 1, of=3)], {'old1': 0}),
        # in the middle of a rollout everyone keeps its share (upstream's table of TestScale)
        (15, 0, size('new2', 5, of=10), [size('old1', 5, of=10)], {'new2': 8, 'old1': 7}),
        (5, 0, size('new2', 5, of=10), [size('old1', 5, of=10)], {'new2': 3, 'old1': 2}),
        (0, 0, size('new2', 5, of=10), [size('old1', 5, of=10)], {'new2': 0, 'old1': 0}),
        (20, 2, size('new2', 6, 0, of=10, surge=2), [size('old1', 6, of=10, surge=2)], {'new2': 11, 'old1': 11}),
    ],
)
def test_scale(replicas: int, surge: int, new: Size | None, old: list[Size], expected: dict[str, int]) -> None:
    plan = plan_scale(Strategy(replicas, True, surge, 0), new, old)
    assert {scaling.name: scaling.replicas for scaling in plan} == expected


def test_scale_of_nothing_is_nothing() -> None:
    assert plan_scale(Strategy(3), None, []) == []
