"""What ``--wait`` still waits for, in kubectl's words."""

import pytest

from netkube.cli.rollout import pending_deployment, pending_pod, pending_replicaset


def deployment(wanted=3, **status):
    return {'metadata': {'generation': 2}, 'spec': {'replicas': wanted}, 'status': status}


DONE = {'observedGeneration': 2, 'replicas': 3, 'updatedReplicas': 3, 'availableReplicas': 3}


@pytest.mark.parametrize(
    ('status', 'pending'),
    [
        ({}, 'waiting for deployment spec update to be observed'),
        (DONE | {'observedGeneration': 1}, 'waiting for deployment spec update to be observed'),
        (DONE | {'updatedReplicas': 1}, '1 out of 3 new replicas have been updated'),
        (DONE | {'replicas': 4}, '1 old replicas are pending termination'),
        (DONE | {'availableReplicas': 2}, '2 of 3 updated replicas are available'),
        (DONE, ''),
    ],
)
def test_a_deployment(status, pending):
    assert pending_deployment(deployment(**status)) == pending


def test_a_deployment_of_none_is_ready():
    assert pending_deployment(deployment(wanted=0, observedGeneration=2)) == ''


@pytest.mark.parametrize(('available', 'pending'), [(0, '0 of 2 replicas are available'), (2, ''), (3, '')])
def test_a_replicaset(available, pending):
    assert pending_replicaset({'spec': {'replicas': 2}, 'status': {'availableReplicas': available}}) == pending


@pytest.mark.parametrize(
    ('status', 'pending'),
    [
        ({}, 'the pod is Pending, not ready'),
        ({'phase': 'Running', 'conditions': [{'type': 'Ready', 'status': 'False'}]}, 'the pod is Running, not ready'),
        ({'phase': 'Running', 'conditions': [{'type': 'Ready', 'status': 'True'}]}, ''),
        ({'phase': 'Succeeded'}, ''),
        ({'phase': 'Failed'}, 'the pod is Failed, not ready'),
    ],
)
def test_a_pod(status, pending):
    assert pending_pod({'status': status}) == pending
