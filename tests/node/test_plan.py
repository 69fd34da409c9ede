"""What is done next, for every state a Pod can be found in."""

from __future__ import annotations

import pytest
from pods import NOW, UID, container, exited, pod, running, seconds

from netkube.node.plan import (
    CreateSandbox,
    Observed,
    RemoveContainer,
    RemoveSandbox,
    StartContainer,
    StopContainer,
    Waiting,
    backoff_seconds,
    go_duration,
    is_past_deadline,
    plan_end,
    plan_pod,
)


def up(*containers, **fields):
    return Observed(sandbox=True, containers=containers, **fields)


def actions(pod, observed):
    return list(plan_pod(pod, observed, NOW).actions)


def with_init(*names, **spec):
    return pod(container(), initContainers=[container(name) for name in names], **spec)


SIDECAR = pod(container(), initContainers=[container('side', restartPolicy='Always'), container('init')])


@pytest.mark.parametrize(
    'what, pod, observed, expected',
    [
        ('nothing is there yet', pod(), Observed(), [CreateSandbox()]),
        ('only the sandbox', pod(), up(), [StartContainer('c', 0, 0)]),
        ('all at once', pod(container('a'), container('b')), up(),
         [StartContainer('a', 0, 0), StartContainer('b', 0, 0)]),
        ('it runs', pod(), up(running()), []),
        ('the first restart is at once', pod(), up(exited(code=1)), [StartContainer('c', 1, 1)]),
        ('a success is restarted too', pod(), up(exited()), [StartContainer('c', 1, 1)]),
        ('the second waits', pod(), up(exited(code=1, attempt=1, restarts=1, ago=9)), []),
        ('for ten seconds', pod(), up(exited(code=1, attempt=1, restarts=1, ago=10)), [StartContainer('c', 2, 2)]),
        ('it had recovered', pod(), up(exited(code=1, attempt=7, restarts=7, ran=600)), [StartContainer('c', 8, 1)]),
        ('OnFailure: success is the end', pod(restartPolicy='OnFailure'), up(exited()), []),
        ('OnFailure: failure is not', pod(restartPolicy='OnFailure'), up(exited(code=1)), [StartContainer('c', 1, 1)]),
        ('Never', pod(restartPolicy='Never'), up(exited(code=1)), []),
        ('no sandbox is made for what has ended', pod(restartPolicy='Never'), Observed(containers=(exited(),)), []),
        ('a lost sandbox is made again', pod(), Observed(containers=(exited(code=137),)), [CreateSandbox()]),
        ('one has ended, one runs', pod(container('a'), container('b'), restartPolicy='Never'),
         up(exited('a'), running('b')), []),
        ('init first', with_init('i', 'j'), up(), [StartContainer('i', 0, 0)]),
        ('then the next', with_init('i', 'j'), up(exited('i')), [StartContainer('j', 0, 0)]),
        ('init runs', with_init('i'), up(running('i')), []),
        ('init done', with_init('i'), up(exited('i')), [StartContainer('c', 0, 0)]),
        ('init failed', with_init('i'), up(exited('i', code=1)), [StartContainer('i', 1, 1)]),
        ('init failed for good', with_init('i', restartPolicy='Never'), up(exited('i', code=1)), []),
        ('no way back to init', with_init('i'), up(exited(code=1)), [StartContainer('c', 1, 1)]),
        ('a sidecar first', SIDECAR, up(), [StartContainer('side', 0, 0)]),
        ('it has to start', SIDECAR, up(running('side')), []),
        ('and goes on', SIDECAR, up(running('side'), started=frozenset({running('side').id})),
         [StartContainer('init', 0, 0)]),
        ('created but not started', pod(), up(running()._replace(state='created')), [StartContainer('c', 0, 0)]),
    ],
)  # fmt: skip
def test_next_actions(what, pod, observed, expected):
    assert actions(pod, observed) == expected


def test_a_failed_probe_restarts_the_container():
    observed = up(running(), failed_probes={running().id: 'liveness'})
    message = 'Container c failed liveness probe, will be restarted'
    assert actions(pod(), observed) == [StopContainer(running().id, 'c', message, 'liveness')]
    [stop] = actions(pod(restartPolicy='Never'), observed)
    assert stop.message == 'Container c failed liveness probe'


def test_what_is_being_stopped_is_not_stopped_again():
    id = running().id
    assert actions(pod(), up(running(), failed_probes={id: 'liveness'}, stopping=frozenset({id}))) == []


def test_another_image_is_another_container():
    status = running()._replace(annotations={'netkube/image': 'old'})
    [stop] = actions(pod(), up(status))
    assert stop.message == 'Container c definition changed, will be restarted'


def test_crash_loop_back_off_says_how_long_and_who():
    plan = plan_pod(pod(), up(exited(code=1, attempt=1, restarts=1, ago=4)), NOW)
    message = f'back-off 10s restarting failed container=c pod=p_ns({UID})'
    assert plan.waiting == {'c': Waiting('CrashLoopBackOff', message, NOW + seconds(6))}
    assert plan.look_again == NOW + seconds(6)


@pytest.mark.parametrize('restarts, expected', [(0, 0), (1, 10), (2, 20), (3, 40), (5, 160), (6, 300), (99, 300)])
def test_back_off_doubles_up_to_five_minutes(restarts, expected):
    assert backoff_seconds(exited(restarts=restarts)) == expected


@pytest.mark.parametrize('seconds, text', [(10, '10s'), (80, '1m20s'), (160, '2m40s'), (300, '5m0s')])
def test_durations_are_written_as_go_does(seconds, text):
    assert go_duration(seconds) == text


def test_a_container_without_a_command_waits_beside_the_others():
    plan = plan_pod(pod(container('a', command=[]), container('b')), up(), NOW)
    assert plan.actions == (StartContainer('b', 0, 0),)
    assert plan.waiting['a'].reason == 'ErrImageNeverPull'


def test_a_refused_container_is_tried_again_later():
    refused = {'c': Waiting('CreateContainerConfigError', 'configmap "x" not found', NOW + seconds(10))}
    plan = plan_pod(pod(), up(refused=refused), NOW)
    assert plan.actions == () and plan.waiting == refused and plan.look_again == NOW + seconds(10)
    assert plan_pod(pod(), up(refused=refused), NOW + seconds(10)).actions == (StartContainer('c', 0, 0),)


def test_two_attempts_are_kept():
    attempts = [exited(code=1, attempt=n, restarts=n) for n in range(3)]
    assert actions(pod(), up(*attempts, running(attempt=3))) == [RemoveContainer(a.id) for a in attempts[:2]]


def sidecars(*names, **spec):
    return pod(container(), initContainers=[container(name, restartPolicy='Always') for name in names], **spec)


def names(plan):
    return [stop.name for stop in plan.actions]


def test_sidecars_end_last_in_the_opposite_order_of_their_start():
    both = sidecars('a', 'b', restartPolicy='Never')
    [stop] = actions(both, up(running('a'), running('b'), exited(ago=3)))
    assert stop.name == 'b' and stop.message == 'Stopping container b'
    assert stop.since == NOW - seconds(3)  # the grace period is one for all
    assert names(plan_end(up(running('a'), running('b'), running()), both)) == ['c']
    assert names(plan_end(up(running('a'), running('b'), exited()), both)) == ['b']
    assert names(plan_end(up(running('a'), exited('b'), exited()), both)) == ['a']
    told = frozenset({running().id})
    assert names(plan_end(up(running('a'), running(), stopping=told), both)) == []


RULES = [{'action': 'RestartAllContainers', 'exitCodes': {'operator': 'In', 'values': [42]}}]
GANG = pod(
    container(restartPolicy='Never', restartPolicyRules=RULES), container('d'),
    initContainers=[container('i')], restartPolicy='Never',
)  # fmt: skip


def test_one_containers_end_can_restart_all():
    first = (exited('i'), exited(code=42), running('d'))
    [stop] = actions(GANG, up(*first))
    assert stop.name == 'd' and stop.abrupt
    stopped = (*first[:2], exited('d', code=137))
    assert actions(GANG, up(*stopped)) == [StartContainer('i', 1, 1, 1)]
    again = exited('i', attempt=1, restarts=1)._replace(annotations={'netkube/round': '1', 'netkube/restarts': '1'})
    assert actions(GANG, up(*stopped, again)) == [StartContainer('c', 1, 1, 1), StartContainer('d', 1, 1, 1)]


def test_another_end_does_not():
    assert actions(GANG, up(exited('i'), exited(code=1), running('d'))) == []


def test_the_first_rule_that_matches_counts():
    rules = [{'action': 'Restart', 'exitCodes': {'operator': 'In', 'values': [42]}}, *RULES]
    one = pod(container(restartPolicy='Never', restartPolicyRules=rules), container('d'))
    assert actions(one, up(exited(code=42), running('d'))) == [StartContainer('c', 1, 1)]


def test_the_end_of_a_pod():
    assert plan_end(up(running('a'), exited('b'))).actions == (
        StopContainer(running('a').id, 'a', 'Stopping container a'),
    )
    assert plan_end(up(running('a'), stopping=frozenset({running('a').id}))).actions == ()
    assert plan_end(up(exited('a'))).actions == (RemoveSandbox(),)
    assert plan_end(Observed()).actions == ()


def test_the_active_deadline():
    limited = pod(activeDeadlineSeconds=10)
    limited['status']['startTime'] = '2026-01-02T03:04:00Z'
    assert not is_past_deadline(limited, NOW)
    assert is_past_deadline(limited, NOW + seconds(5))
    assert plan_pod(limited, up(running()), NOW).look_again == NOW + seconds(5)


def test_a_deadline_that_goes_by_while_the_plan_is_made_is_looked_at_again():
    limited = pod(activeDeadlineSeconds=10)
    limited['status']['startTime'] = '2026-01-02T03:04:00Z'
    assert plan_pod(limited, up(running()), NOW + seconds(6)).look_again == NOW + seconds(5)


@pytest.mark.parametrize('code, restarts', [(42, True), (1, False)])
def test_restart_rules_of_a_container_come_before_its_policy(code, restarts):
    rules = [{'action': 'Restart', 'exitCodes': {'operator': 'In', 'values': [42]}}]
    one = pod(container(restartPolicy='Never', restartPolicyRules=rules))
    assert bool(actions(one, up(exited(code=code)))) == restarts
