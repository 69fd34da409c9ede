"""Pods with, apart from and evenly among other Pods: tables."""

from __future__ import annotations

from typing import Any

import pytest

from netkube.api.meta import Object
from netkube.scheduler import podaffinity, topologyspread
from netkube.scheduler.nodes import Placements
from netkube.scheduler.podaffinity import AFFINITY, ANTI_AFFINITY, EXISTING_ANTI_AFFINITY
from netkube.scheduler.preferences import prefer
from netkube.scheduler.topologyspread import SKEWED, UNLABELED

NODES = {
    'a1': {'zone': 'a', 'host': 'a1'},
    'a2': {'zone': 'a', 'host': 'a2'},
    'b1': {'zone': 'b', 'host': 'b1'},
    'x': {},
}


def pod(name: str, app: str = 'web', namespace: str = 'default', **spec: Any) -> Object:
    metadata = {'name': name, 'namespace': namespace, 'uid': name, 'labels': {'app': app}}
    return {'metadata': metadata, 'spec': {'containers': [{'name': 'main'}], **spec}}


def affinity(kind: str, app: str, key: str = 'zone', **term: Any) -> Object:
    wanted = {'labelSelector': {'matchLabels': {'app': app}}, 'topologyKey': key, **term}
    return {kind: {'requiredDuringSchedulingIgnoredDuringExecution': [wanted]}}


def labeled(one: Object, **labels: str) -> Object:
    return {**one, 'metadata': {**one['metadata'], 'labels': {**one['metadata']['labels'], **labels}}}


WITH_DB = pod('p', affinity=affinity('podAffinity', 'db'))
WITH_WEB = pod('p', affinity=affinity('podAffinity', 'web'))
APART_FROM_DB = pod('p', affinity=affinity('podAntiAffinity', 'db'))
APART_ON_HOST = pod('p', affinity=affinity('podAntiAffinity', 'db', 'host'))
SHY = pod('shy', 'db', affinity=affinity('podAntiAffinity', 'web'))
NEW_APART, OTHERS_APART = (
    labeled(pod('p', affinity=affinity('podAntiAffinity', 'web', **{field: ['hash']})), hash='new')
    for field in ('matchLabelKeys', 'mismatchLabelKeys')
)
OLD = labeled(pod('old'), hash='old')
FOREIGN_DB = pod('db', 'db', 'other')


def labels_of(namespace: str) -> dict[str, str]:
    return {'team': namespace}


@pytest.mark.parametrize(
    ('wanted', 'placed', 'refusals'),
    [
        (pod('p'), {}, {}),
        (WITH_DB, {'a1': pod('db', 'db')}, {'b1': AFFINITY, 'x': AFFINITY}),
        (WITH_DB, {'a1': FOREIGN_DB}, dict.fromkeys(NODES, AFFINITY)),
        (pod('p', affinity=affinity('podAffinity', 'db', namespaces=['other'])), {'a1': FOREIGN_DB},
         {'b1': AFFINITY, 'x': AFFINITY}),
        (pod('p', affinity=affinity('podAffinity', 'db', namespaceSelector={'matchLabels': {'team': 'other'}})),
         {'a1': FOREIGN_DB}, {'b1': AFFINITY, 'x': AFFINITY}),
        (WITH_DB, {}, dict.fromkeys(NODES, AFFINITY)),
        (WITH_WEB, {}, {'x': AFFINITY}),  # the first of its own group
        (APART_FROM_DB, {'a1': pod('db', 'db')}, {'a1': ANTI_AFFINITY, 'a2': ANTI_AFFINITY}),
        (APART_ON_HOST, {'a1': pod('db', 'db')}, {'a1': ANTI_AFFINITY}),
        (pod('p'), {'a1': SHY}, {'a1': EXISTING_ANTI_AFFINITY, 'a2': EXISTING_ANTI_AFFINITY}),
        (pod('p', 'other'), {'a1': SHY}, {}),
        (NEW_APART, {'a1': OLD}, {}),
        (NEW_APART, {'a1': NEW_APART}, {'a1': ANTI_AFFINITY, 'a2': ANTI_AFFINITY}),
        (OTHERS_APART, {'a1': OLD}, {'a1': ANTI_AFFINITY, 'a2': ANTI_AFFINITY}),
    ],
)  # fmt: skip
def test_affinity(wanted: Object, placed: dict[str, Object], refusals: dict[str, str]) -> None:
    placements = Placements()
    for node, each in placed.items():
        placements.place(each, node)
    found = podaffinity.survey(wanted, placements.pods(), NODES, labels_of)
    assert {node: reason for node, labels in NODES.items() if (reason := found.refusal(labels))} == refusals


def spread(max_skew: int = 1, **more: Any) -> Object:
    constraint = {'maxSkew': max_skew, 'topologyKey': 'zone', 'whenUnsatisfiable': 'DoNotSchedule',
                  'labelSelector': {'matchLabels': {'app': 'web'}}, **more}  # fmt: skip
    return pod('p', topologySpreadConstraints=[constraint])


def in_b(one: Object) -> Object:
    return {**one, 'spec': {**one['spec'], 'nodeSelector': {'zone': 'b'}}}


@pytest.mark.parametrize(
    ('wanted', 'in_a', 'in_b', 'refusals'),
    [
        (spread(), 0, 0, {'x': UNLABELED}),
        (spread(), 1, 0, {'a1': SKEWED, 'a2': SKEWED, 'x': UNLABELED}),
        (spread(2), 1, 0, {'x': UNLABELED}),
        (spread(), 1, 1, {'x': UNLABELED}),
        (spread(minDomains=3), 1, 1, {'a1': SKEWED, 'a2': SKEWED, 'b1': SKEWED, 'x': UNLABELED}),
        (spread(whenUnsatisfiable='ScheduleAnyway'), 5, 0, {}),
        (labeled(spread(matchLabelKeys=['hash', 'missing']), hash='new'), 5, 0, {'x': UNLABELED}),
        (labeled(spread(matchLabelKeys=['team']), team='shop'), 1, 0, {'a1': SKEWED, 'a2': SKEWED, 'x': UNLABELED}),
        (spread(nodeTaintsPolicy='Honor'), 0, 1, {'x': UNLABELED}),
        (in_b(spread()), 0, 1, {'x': UNLABELED}),
        (in_b(spread(nodeAffinityPolicy='Ignore')), 0, 1, {'b1': SKEWED, 'x': UNLABELED}),
    ],
)
def test_spread(wanted: Object, in_a: int, in_b: int, refusals: dict[str, str]) -> None:
    placements = Placements()
    for node, count in (('a1', in_a), ('b1', in_b)):
        for number in range(count):
            placements.place(labeled(pod(f'{node}-{number}'), team='shop', hash='old'), node)
    found = topologyspread.survey(wanted, placements.pods(), NODES, {'a1', 'a2'})
    reasons = {node: next(filter(None, (each.refusal(labels) for each in found)), '') for node, labels in NODES.items()}
    assert {node: reason for node, reason in reasons.items() if reason} == refusals


def preferred(kind: str, app: str, weight: int = 1, key: str = 'zone') -> Object:
    [term] = affinity(kind, app, key)[kind]['requiredDuringSchedulingIgnoredDuringExecution']
    return {kind: {'preferredDuringSchedulingIgnoredDuringExecution': [{'weight': weight, 'podAffinityTerm': term}]}}


SOFT = spread(whenUnsatisfiable='ScheduleAnyway')


@pytest.mark.parametrize(
    ('wanted', 'placed', 'affinities', 'spreads'),
    [
        (pod('p'), {'a1': pod('db', 'db')}, [0, 0, 0, 0], [0, 0, 0, 0]),
        (pod('p', affinity=preferred('podAffinity', 'db')), {'a1': pod('db', 'db')}, [100, 100, 0, 0], [0, 0, 0, 0]),
        (pod('p', affinity=preferred('podAntiAffinity', 'db', key='host')), {'a1': pod('db', 'db')},
         [0, 100, 100, 100], [0, 0, 0, 0]),
        (pod('p'), {'b1': pod('db', 'db', affinity=preferred('podAffinity', 'web'))}, [0, 0, 100, 0], [0, 0, 0, 0]),
        (pod('p'), {'b1': pod('db', 'db', affinity=affinity('podAffinity', 'web'))}, [0, 0, 100, 0], [0, 0, 0, 0]),
        (pod('p'), {'b1': pod('db', 'db', affinity=preferred('podAntiAffinity', 'web'))}, [100, 100, 0, 100],
         [0, 0, 0, 0]),
        (pod('p', affinity=preferred('podAffinity', 'db') | preferred('podAntiAffinity', 'web', 2)),
         {'a1': pod('db', 'db'), 'b1': pod('web')}, [100, 100, 0, 66], [0, 0, 0, 0]),
        (SOFT, {'a1': pod('1'), 'a2': pod('2'), 'b1': pod('3')}, [0, 0, 0, 0], [33, 33, 100, 0]),
        (SOFT, {'a1': pod('db', 'db')}, [0, 0, 0, 0], [100, 100, 100, 0]),
    ],
)  # fmt: skip
def test_what_a_pod_prefers(
    wanted: Object, placed: dict[str, Object], affinities: list[int], spreads: list[int]
) -> None:
    placements = Placements()
    for node, each in placed.items():
        placements.place(each, node)
    found = prefer(wanted, placements.pods(), NODES, list(NODES), labels_of)
    assert [found.affinity[node] for node in NODES] == affinities
    assert [found.spread.get(node, 0) for node in NODES] == spreads
