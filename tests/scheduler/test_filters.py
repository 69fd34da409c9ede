"""Which Nodes can take a Pod, which is best, and the words of a refusal: tables."""

from __future__ import annotations

from typing import Any

import pytest

from netkube.api.meta import Object
from netkube.api.podresources import pod_requests
from netkube.scheduler.filters import Candidate, Refusal, check, failure_message
from netkube.scheduler.nodeaffinity import matches_required
from netkube.scheduler.nodes import Load, parse_node
from netkube.scheduler.requests import parse_demand
from netkube.scheduler.scores import best

GI = 1024**3


def node(name: str = 'one', *, ready: bool = True, labels: dict | None = None, taints: list | None = None,
         unschedulable: bool = False, **allocatable: str) -> Object:  # fmt: skip
    return {
        'metadata': {'name': name, 'labels': labels or {}},
        'spec': {'taints': taints or [], 'unschedulable': unschedulable},
        'status': {
            'allocatable': {'cpu': '2', 'memory': '4Gi', 'pods': '110', **allocatable},
            'conditions': [{'type': 'Ready', 'status': str(ready)}],
        },
    }  # fmt: skip


def pod(*containers: Object, **spec: Any) -> Object:
    return {'metadata': {'name': 'p'}, 'spec': {'containers': list(containers) or [{'name': 'main'}], **spec}}


def asking(cpu: str = '0', memory: str = '0', **more: Any) -> Object:
    return {'name': 'main', 'resources': {'requests': {'cpu': cpu, 'memory': memory}}, **more}


def on_port(port: int, ip: str = '', protocol: str = 'TCP') -> Object:
    return {'name': 'main', 'ports': [{'containerPort': 80, 'hostPort': port, 'hostIP': ip, 'protocol': protocol}]}


def refusal(wanted: Object, of: Object, *placed: Object) -> Refusal | None:
    load = Load()
    for each in placed:
        load.add(parse_demand(each))
    return check(wanted, parse_demand(wanted), Candidate(parse_node(of), load))


NO_SCHEDULE = {'key': 'gpu', 'value': 'yes', 'effect': 'NoSchedule'}
NOT_READY = {'key': 'node.kubernetes.io/not-ready', 'operator': 'Exists'}
TAINTED = 'node(s) had untolerated taint(s)'
AFFINITY = "node(s) didn't match Pod's node affinity/selector"
PORTS = "node(s) didn't have free ports for the requested pod ports"


@pytest.mark.parametrize(
    ('wanted', 'of', 'placed', 'reasons'),
    [
        (pod(), node(), [], None),
        (pod(), node(unschedulable=True), [], ['node(s) were unschedulable']),
        (pod(tolerations=[{'operator': 'Exists'}]), node(unschedulable=True), [], None),
        (pod(), node(ready=False), [], [TAINTED]),
        (pod(tolerations=[NOT_READY]), node(ready=False), [], None),
        (pod(tolerations=[{**NOT_READY, 'effect': 'NoExecute'}]), node(ready=False), [], [TAINTED]),
        (pod(), node(taints=[NO_SCHEDULE]), [], [TAINTED]),
        (pod(), node(taints=[{**NO_SCHEDULE, 'effect': 'PreferNoSchedule'}]), [], None),
        (pod(tolerations=[{'key': 'gpu', 'operator': 'Equal', 'value': 'yes'}]), node(taints=[NO_SCHEDULE]), [], None),
        (pod(tolerations=[{'key': 'gpu', 'value': 'no'}]), node(taints=[NO_SCHEDULE]), [], [TAINTED]),
        (pod(nodeSelector={'disk': 'ssd'}), node(), [], [AFFINITY]),
        (pod(nodeSelector={'disk': 'ssd'}), node(labels={'disk': 'ssd'}), [], None),
        (pod(asking(cpu='2')), node(), [], None),
        (pod(asking(cpu='2100m', memory='5Gi')), node(), [], ['Insufficient cpu', 'Insufficient memory']),
        (pod(asking(cpu='1')), node(), [pod(asking(cpu='1500m'))], ['Insufficient cpu']),
        (pod(), node(pods='1'), [pod()], ['Too many pods']),
        (pod(on_port(80)), node(), [pod(on_port(80))], [PORTS]),
        (pod(on_port(80)), node(), [pod(on_port(80, protocol='UDP'))], None),
        (pod(on_port(80, '10.0.0.1')), node(), [pod(on_port(80, '10.0.0.2'))], None),
        (pod(on_port(80, '10.0.0.1')), node(), [pod(on_port(80))], [PORTS]),
    ],
)
def test_refusals(wanted: Object, of: Object, placed: list[Object], reasons: list[str] | None) -> None:
    found = refusal(wanted, of, *placed)
    assert (list(found.reasons) if found else None) == reasons


@pytest.mark.parametrize(
    ('term', 'matches'),
    [
        ({'matchExpressions': [{'key': 'a', 'operator': 'In', 'values': ['1', '2']}]}, True),
        ({'matchExpressions': [{'key': 'a', 'operator': 'NotIn', 'values': ['1']}]}, False),
        ({'matchExpressions': [{'key': 'b', 'operator': 'NotIn', 'values': ['1']}]}, True),
        ({'matchExpressions': [{'key': 'b', 'operator': 'Exists'}]}, False),
        ({'matchExpressions': [{'key': 'b', 'operator': 'DoesNotExist'}]}, True),
        ({'matchExpressions': [{'key': 'a', 'operator': 'Gt', 'values': ['0']}]}, True),
        ({'matchExpressions': [{'key': 'a', 'operator': 'Lt', 'values': ['1']}]}, False),
        ({'matchExpressions': [{'key': 'word', 'operator': 'Gt', 'values': ['1']}]}, False),
        ({'matchFields': [{'key': 'metadata.name', 'operator': 'In', 'values': ['one']}]}, True),
        ({'matchFields': [{'key': 'metadata.name', 'operator': 'In', 'values': ['two']}]}, False),
        ({}, False),
    ],
)
def test_node_affinity_terms(term: Object, matches: bool) -> None:
    affinity = {'nodeAffinity': {'requiredDuringSchedulingIgnoredDuringExecution': {'nodeSelectorTerms': [term]}}}
    assert matches_required(pod(affinity=affinity), {'a': '1', 'word': 'x'}, 'one') is matches


def test_requests_are_the_most_that_is_needed_at_one_time() -> None:
    sidecar = asking(cpu='100m', restartPolicy='Always')
    wanted = pod(asking(cpu='300m'), asking(cpu='300m', memory='1Gi'), overhead={'cpu': '10m'},
                 initContainers=[sidecar, asking(cpu='400m', memory='2Gi')])  # fmt: skip
    assert pod_requests(wanted, {}) == {'cpu': 100 + 600 + 10, 'memory': 2 * GI}


@pytest.mark.parametrize(
    ('refusals', 'message'),
    [
        ([], 'no nodes available to schedule pods'),
        (
            [Refusal((TAINTED,))],
            f'0/1 nodes are available: 1 {TAINTED}. no new claims to deallocate, preemption: 0/1 nodes are available: '
            '1 Preemption is not helpful for scheduling.',
        ),
        (
            [Refusal(('Insufficient cpu', 'Too many pods'), final=False), Refusal(('Insufficient cpu',), final=False),
             Refusal((AFFINITY,))],
            f'0/3 nodes are available: 1 Too many pods, 1 {AFFINITY}, 2 Insufficient cpu. no new claims to deallocate, '
            'preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, '
            '2 No preemption victims found for incoming pod.',
        ),
    ],
)  # fmt: skip
def test_failure_message(refusals: list[Refusal], message: str) -> None:
    assert failure_message(refusals) == message


def test_the_emptiest_node_is_best_unless_the_pod_prefers_another() -> None:
    busy, free = Load(), Load()
    busy.add(parse_demand(pod(asking(cpu='1', memory='1Gi'))))
    candidates = [
        Candidate(parse_node(node('busy', labels={'disk': 'ssd'})), busy),
        Candidate(parse_node(node('free')), free),
    ]
    assert best(pod(), parse_demand(pod()), candidates).node.name == 'free'
    term = {'weight': 1, 'preference': {'matchExpressions': [{'key': 'disk', 'operator': 'Exists'}]}}
    picky = pod(affinity={'nodeAffinity': {'preferredDuringSchedulingIgnoredDuringExecution': [term]}})
    assert best(picky, parse_demand(picky), candidates).node.name == 'busy'
