"""The status as the kubelet would write it."""

from __future__ import annotations

import pytest
from pods import NOW, container, exited, pod, running, seconds

from netkube.node.failure import Failure
from netkube.node.plan import Waiting
from netkube.node.podspec import remembered_containers
from netkube.node.status import Facts, pod_status

CRASH = Waiting('CrashLoopBackOff', 'back-off')


def status_of(pod, *containers, waiting=None, ready=None, **fields):
    ids = frozenset(c.id for c in containers) if ready is None else ready
    started = frozenset(c.id for c in containers)
    facts = Facts(('10.0.0.1',), ('10.1.0.2',), True, containers, waiting or {}, ids, started, **fields)
    return pod_status(pod, facts, NOW)


INIT = [container('i')]
SIDECAR = pod(initContainers=[container('side', restartPolicy='Always')], restartPolicy='Never')


def with_init(of, name):
    return of | {'spec': of['spec'] | {'initContainers': [*of['spec']['initContainers'], container(name)]}}


TWO = (container('a'), container('b'))


@pytest.mark.parametrize(
    'what, pod, containers, fields, phase',
    [
        ('nothing started', pod(), [], {}, 'Pending'),
        ('running', pod(), [running()], {}, 'Running'),
        ('one of two has started', pod(*TWO), [running('a')], {}, 'Pending'),
        ('one ended, one runs', pod(*TWO, restartPolicy='Never'), [exited('a', 1), running('b')], {}, 'Running'),
        ('Always between two attempts', pod(), [exited()], {}, 'Running'),
        ('crash loop', pod(), [exited(code=1)], {'waiting': {'c': CRASH}}, 'Running'),
        ('Never, success', pod(restartPolicy='Never'), [exited()], {}, 'Succeeded'),
        ('Never, failure', pod(restartPolicy='Never'), [exited(code=1)], {}, 'Failed'),
        ('OnFailure, success', pod(restartPolicy='OnFailure'), [exited()], {}, 'Succeeded'),
        ('OnFailure, failure', pod(restartPolicy='OnFailure'), [exited(code=1)], {}, 'Running'),
        ('init runs', pod(initContainers=INIT), [running('i')], {}, 'Pending'),
        ('init failed', pod(initContainers=INIT), [exited('i', 1)], {}, 'Pending'),
        ('init failed for good', pod(initContainers=INIT, restartPolicy='Never'), [exited('i', 1)], {}, 'Failed'),
        ('init done', pod(initContainers=INIT), [exited('i'), running()], {}, 'Running'),
        ('a sidecar still runs', SIDECAR, [running('side'), exited()], {}, 'Running'),
        ('how a sidecar ended means nothing', SIDECAR, [exited('side', 143), exited()], {}, 'Succeeded'),
        ('a sidecar has to start', SIDECAR, [exited('side', 1)], {'waiting': {'side': CRASH}}, 'Pending'),
        ('init failed for good beside a sidecar', with_init(SIDECAR, 'i'), [running('side'), exited('i', 1)], {},
         'Pending'),
        ('a policy of its own', pod(container(restartPolicy='Always'), restartPolicy='Never'), [exited(code=1)], {},
         'Running'),
        ('Never for one', pod(container(restartPolicy='Never')), [exited(code=1)], {}, 'Failed'),
        ('stopped, success', pod(), [exited()], {'ended': True}, 'Succeeded'),
        ('stopped, failure', pod(), [exited(code=143)], {'ended': True}, 'Failed'),
        ('stopped before it started', pod(), [], {'ended': True}, 'Failed'),
    ],
)  # fmt: skip
def test_phase(what, pod, containers, fields, phase):
    assert status_of(pod, *containers, **fields)['phase'] == phase


def conditions(status):
    return {c['type']: (c['status'], c.get('reason'), c.get('message')) for c in status['conditions']}


def test_a_running_pod():
    status = status_of(pod(), running())
    assert status == {
        'qosClass': 'BestEffort', 'observedGeneration': 1, 'phase': 'Running', 'hostIP': '10.0.0.1',
        'hostIPs': [{'ip': '10.0.0.1'}], 'podIP': '10.1.0.2', 'podIPs': [{'ip': '10.1.0.2'}],
        'startTime': '2026-01-02T03:04:05Z',
        'conditions': [
            {'type': type, 'observedGeneration': 1, 'status': 'True', 'lastTransitionTime': '2026-01-02T03:04:05Z'}
            for type in ('PodReadyToStartContainers', 'Initialized', 'Ready', 'ContainersReady')
        ],
        'containerStatuses': [{
            'name': 'c', 'state': {'running': {'startedAt': '2026-01-02T03:04:00Z'}}, 'lastState': {}, 'ready': True,
            'restartCount': 0, 'image': 'i', 'imageID': 'machine:///', 'started': True, 'containerID': f'netkube://{running().id}',
            'resources': {},
        }],
    }  # fmt: skip


def test_what_a_container_was_given():
    asked = {'limits': {'cpu': '1'}, 'requests': {'cpu': '1'}}
    mounts = [{'name': 'a', 'mountPath': '/a'}, {'name': 'b', 'mountPath': '/b', 'readOnly': True, 'subPath': 'x'}]
    one = pod(container(resources=asked, volumeMounts=mounts, lifecycle={'stopSignal': 'SIGUSR1'}))
    [row] = status_of(one, running())['containerStatuses']
    assert row['resources'] == asked and row['allocatedResources'] == {'cpu': '1'} and row['stopSignal'] == 'SIGUSR1'
    assert row['volumeMounts'] == [
        {'name': 'a', 'mountPath': '/a'},
        {'name': 'b', 'mountPath': '/b', 'readOnly': True, 'recursiveReadOnly': 'Enabled'},
    ]


def test_a_program_that_never_started_began_at_the_epoch():
    failed = exited(code=128)._replace(started_at='', reason='StartError')
    [row] = status_of(pod(restartPolicy='Never'), failed)['containerStatuses']
    assert row['state']['terminated']['startedAt'] == '1970-01-01T00:00:00Z'


def test_a_pod_whose_containers_are_all_restarted_says_so():
    rules = [{'action': 'RestartAllContainers', 'exitCodes': {'operator': 'In', 'values': [42]}}]
    gang = pod(container(restartPolicy='Never', restartPolicyRules=rules), container('d'), restartPolicy='Never')
    status = status_of(gang, exited(code=42), running('d'))
    message = 'container exited with restart policy rule'
    assert conditions(status)['AllContainersRestarting'] == ('True', 'RestartAllContainersStarted', message)
    assert status['containerStatuses'][0]['state'] == {'waiting': {'reason': 'RestartingAllContainers'}}
    assert status['phase'] == 'Running'
    assert conditions(status_of(gang, running(), running('d')))['AllContainersRestarting'] == ('False', None, None)
    over = status_of(gang, exited(), exited('d'))
    assert conditions(over)['AllContainersRestarting'] == ('False', 'PodCompleted', None)


def test_two_attempts_are_remembered_of_what_the_runtime_has_lost():
    one = pod()
    one['status'] = status_of(one, exited(code=3), running(attempt=1))
    lost = remembered_containers(one, [])
    assert [(c.attempt, c.exit_code, c.reason) for c in lost] == [(1, 137, 'ContainerStatusUnknown'), (0, 3, 'Error')]
    assert [c.attempt for c in remembered_containers(one, [running(attempt=2)])] == [1]
    assert remembered_containers(one, [exited(code=3), running(attempt=1)]) == []


def test_a_container_in_back_off_shows_how_it_ended():
    [row] = status_of(pod(), exited(code=3, attempt=2), waiting={'c': CRASH})['containerStatuses']
    assert row['state'] == {'waiting': {'reason': 'CrashLoopBackOff', 'message': 'back-off'}}
    ended = row['lastState']['terminated']
    assert (ended['exitCode'], ended['reason'], ended['finishedAt']) == (3, 'Error', '2026-01-02T03:04:04Z')
    assert row['restartCount'] == 2 and not row['ready'] and not row['started']


def test_a_restarted_container_shows_how_its_last_attempt_ended():
    [row] = status_of(pod(), exited(code=3), running(attempt=1))['containerStatuses']
    assert 'running' in row['state'] and row['lastState']['terminated']['exitCode'] == 3


def test_unready_containers_are_named():
    status = status_of(pod(*TWO), running('a'), running('b'), ready=frozenset())
    expected = ('False', 'ContainersNotReady', 'containers with unready status: [a b]')
    assert conditions(status)['Ready'] == conditions(status)['ContainersReady'] == expected


def test_containers_that_wait_for_init_containers_say_so():
    status = status_of(pod(initContainers=INIT))
    assert status['containerStatuses'][0]['state'] == {'waiting': {'reason': 'PodInitializing'}}
    assert conditions(status)['Initialized'] == (
        'False', 'ContainersNotInitialized', 'containers with incomplete status: [i]'
    )  # fmt: skip


def test_a_completed_pod():
    found = conditions(status_of(pod(restartPolicy='Never'), exited()))
    assert found['Initialized'] == ('True', 'PodCompleted', None)
    assert found['Ready'] == found['ContainersReady'] == ('False', 'PodCompleted', None)


def test_readiness_gates():
    gated = pod(readinessGates=[{'conditionType': 'x/ready'}])
    missing = 'corresponding condition of pod readiness gate "x/ready" does not exist.'
    assert conditions(status_of(gated, running()))['Ready'] == ('False', 'ReadinessGatesNotReady', missing)
    gated['status']['conditions'] = [{'type': 'x/ready', 'status': 'False', 'lastTransitionTime': 't'}]
    false = 'the status of pod readiness gate "x/ready" is not "True", but False'
    assert conditions(status_of(gated, running()))['Ready'] == ('False', 'ReadinessGatesNotReady', false)
    gated['status']['conditions'][0]['status'] = 'True'
    assert conditions(status_of(gated, running()))['Ready'][0] == 'True'


def test_conditions_of_others_stay_and_times_change_only_with_the_status():
    before = pod()
    scheduled = {'type': 'PodScheduled', 'status': 'True', 'lastTransitionTime': '2026-01-01T00:00:00Z'}
    before['status']['conditions'] = [scheduled]
    before['status'] = status_of(before, running())
    later = pod_status(before, Facts(('10.0.0.1',), ('10.1.0.2',), True, (running(),)), NOW + seconds(60))
    times = {c['type']: c['lastTransitionTime'] for c in later['conditions']}
    assert times == {
        'PodScheduled': '2026-01-01T00:00:00Z', 'PodReadyToStartContainers': '2026-01-02T03:04:05Z',
        'Initialized': '2026-01-02T03:04:05Z', 'Ready': '2026-01-02T03:05:05Z',
        'ContainersReady': '2026-01-02T03:05:05Z',
    }  # fmt: skip


def test_a_failure_has_its_reason():
    status = status_of(pod(), exited(code=137), ended=True, failure=Failure('DeadlineExceeded', 'too long'))
    assert (status['phase'], status['reason'], status['message']) == ('Failed', 'DeadlineExceeded', 'too long')


def test_a_failure_is_told_when_nothing_runs_any_more():
    status = status_of(pod(), running(), failure=Failure('DeadlineExceeded', 'too long'))
    assert status['phase'] == 'Running' and not {'reason', 'message'} & status.keys()


def test_the_api_remembers_what_the_runtime_has_lost():
    lost = pod(*TWO)
    lost['status'] = status_of(lost, running('a', attempt=2), exited('b', code=5))
    a, b = remembered_containers(lost, ())
    assert (a.attempt, a.exit_code, a.reason) == (2, 137, 'ContainerStatusUnknown')
    assert (b.exit_code, b.reason) == (5, 'Error')
    assert remembered_containers(lost, (running('a'), running('b'))) == []
