"""Pure decisions around ReplicaSets: who goes first, who owns what, what a cache may not show yet."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from workload_cluster import pod

from netkube.api.meta import Object
from netkube.api.selectors import from_labels
from netkube.controllers.expectations import Expectations
from netkube.controllers.ownership import Claims, plan_claims
from netkube.controllers.pace import Pace
from netkube.controllers.revision import revision_annotations
from netkube.controllers.scaledown import pods_to_delete
from netkube.controllers.template import same_template, template_hash, with_hash

NOW = datetime(2026, 1, 2, tzinfo=UTC)
KEY = ('default', 'web')


def running(name: str, *, node: str = 'n', phase: str = 'Running', ready: str = '2026-01-01T00:00:00Z',
            created: str = '2026-01-01T00:00:00Z', restarts: int = 0, cost: str = '0') -> Object:  # fmt: skip
    """``ready``: since when; '' for not."""
    obj = pod(name, nodeName=node)
    obj['metadata'] |= {
        'uid': name, 'creationTimestamp': created,
        'annotations': {'controller.kubernetes.io/pod-deletion-cost': cost},
    }  # fmt: skip
    condition = {'type': 'Ready', 'status': str(bool(ready)), 'lastTransitionTime': ready}
    statuses = [{'restartCount': restarts}]
    obj['status'] = {'phase': phase, 'conditions': [condition], 'containerStatuses': statuses}
    return obj


KEPT = running('kept')
CROWD = [running(f'neighbour{number}', node='crowded') for number in range(3)]


@pytest.mark.parametrize(
    'first',
    [
        running('first', node=''),
        running('first', phase='Pending'),
        running('first', ready=''),
        running('first', cost='-1'),
        running('first', node='crowded'),
        running('first', ready='2026-01-01T23:00:00Z'),
        running('first', restarts=2),
        running('first', created='2026-01-01T23:59:00Z'),
    ],
)
def test_the_least_useful_pod_goes_first(first: Object) -> None:
    for pods in ([KEPT, first], [first, KEPT]):
        chosen = pods_to_delete(pods, [*pods, *CROWD], 1, NOW)
        assert [each['metadata']['name'] for each in chosen] == ['first']


def test_a_difference_counts_only_if_all_before_it_are_equal() -> None:
    costly_pending, cheap_running = running('p', phase='Pending', cost='100'), running('r', cost='-100')
    assert pods_to_delete([cheap_running, costly_pending], [], 1, NOW) == [costly_pending]


def owned(name: str, uid: str = '', *, app: str = 'web', going: bool = False) -> Object:
    obj = pod(name, {'app': app})
    if uid:
        obj['metadata']['ownerReferences'] = [{'uid': uid, 'controller': True}]
    if going:
        obj['metadata']['deletionTimestamp'] = 'now'
    return obj


MINE, LOST, FREE, GOING = owned('mine', 'u'), owned('lost', 'u', app='x'), owned('free'), owned('going', going=True)
THEIRS, OTHER = owned('theirs', 'v'), owned('other', app='x')


def test_claims() -> None:
    owner: Object = {'metadata': {'uid': 'u'}}
    candidates = [MINE, LOST, FREE, GOING, THEIRS, OTHER]
    selector = from_labels({'app': 'web'})
    assert plan_claims(owner, selector, candidates) == Claims((MINE,), (FREE,), (LOST,))
    owner['metadata']['deletionTimestamp'] = 'now'
    assert plan_claims(owner, selector, candidates) == Claims((MINE,))


class Cache:
    """What an informer is for Expectations: someone to hear from."""

    def subscribe(self, handler: Any) -> None:
        self.show = lambda version: handler(None, versioned(version))


def versioned(version: int) -> Object:
    return {'metadata': {'resourceVersion': str(version), 'uid': str(version)}}


def test_expectations_wait_for_the_newest_write() -> None:
    cache, clock = Cache(), SimpleNamespace(now=0.0)
    expectations = Expectations(cache, clock=lambda: clock.now)  # type: ignore[arg-type]
    assert expectations.satisfied(KEY)
    expectations.wrote(KEY, versioned(7))
    expectations.wrote(KEY, versioned(6))
    cache.show(6)
    assert not expectations.satisfied(KEY)
    cache.show(9)
    assert expectations.satisfied(KEY)
    expectations.wrote(KEY, versioned(20))
    clock.now = 301
    assert expectations.satisfied(KEY)


def test_what_was_deleted_does_not_count_while_the_cache_still_shows_it() -> None:
    expectations = Expectations(Cache())  # type: ignore[arg-type]
    one, two = versioned(1), versioned(2)
    expectations.deleted(KEY, '1')
    assert expectations.without_deleted(KEY, [one, two]) == [two]
    assert expectations.without_deleted(KEY, [two]) == [two]


def test_a_large_object_rests_longer() -> None:
    clock = SimpleNamespace(now=10.0)
    pace = Pace(0.5, clock=lambda: clock.now)
    assert pace.rests(KEY) == 0
    pace.worked(KEY, 4)
    clock.now = 11.5
    assert pace.rests(KEY) == 0.5
    clock.now = 12.0
    assert pace.rests(KEY) == 0


TEMPLATE = {'metadata': {'labels': {'app': 'web'}}, 'spec': {'containers': [{'name': 'main', 'env': []}]}}


def test_a_template_is_named_by_what_is_in_it() -> None:
    without_env = {'metadata': {'labels': {'app': 'web'}}, 'spec': {'containers': [{'name': 'main'}]}}
    assert same_template(TEMPLATE, with_hash(without_env, 'abc'))
    assert template_hash(TEMPLATE) == template_hash(with_hash(without_env, 'abc'))
    assert template_hash(TEMPLATE) != template_hash(TEMPLATE, 1)
    assert not same_template(TEMPLATE, {**TEMPLATE, 'spec': {'containers': [{'name': 'other'}]}})


def test_revision_annotations_remember_the_revisions_before() -> None:
    revision, history = 'deployment.kubernetes.io/revision', 'deployment.kubernetes.io/revision-history'
    last_applied = 'kubectl.kubernetes.io/last-applied-configuration'
    first = revision_annotations({'note': 'x', last_applied: '{}', revision: '9'}, {}, 1)
    assert first == {'note': 'x', revision: '1'}
    again = revision_annotations({}, {**first, history: '0'}, 3)
    assert again == {'note': 'x', revision: '3', history: '0,1'}
    assert revision_annotations({}, again, 2) == again
