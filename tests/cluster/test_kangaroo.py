"""What a user does, line by line: the README's sequence on the example manifest."""

from __future__ import annotations

import json
import subprocess
from itertools import dropwhile

import pytest

from netkube.testing import Cluster, eventually

OPTIONS = ('--cluster-domain', 'mycompany.com')
MANIFEST = 'manifests/kangaroo.yaml'
URL = 'http://kangaroo-backend.kangaroo-team.svc.mycompany.com:8080/'
TEAM = ('-n', 'kangaroo-team')


@pytest.fixture(scope='module')
def kangaroo(shop: Cluster) -> Cluster:
    shop('apply', '-f', MANIFEST, '--wait')
    return shop


def run(*command: str) -> str:
    return subprocess.run(command, check=True, text=True, capture_output=True, timeout=60).stdout


def backends(cluster: Cluster) -> dict[str, str]:
    """Name -> address."""
    pods = cluster.get('pods', *TEAM, '-l', 'role=backend')
    return {pod['metadata']['name']: pod['status']['podIP'] for pod in pods}


def test_apply_waited_until_all_are_ready(kangaroo):
    for name, replicas in (('kangaroo-backend', 3), ('kangaroo-frontend', 1)):
        assert kangaroo.get('deployment', name, *TEAM)['status']['availableReplicas'] == replicas


def test_get_pods_wide(kangaroo):
    header, *rows = kangaroo('get', 'pods', *TEAM, '-o', 'wide').splitlines()
    assert header.split()[:7] == ['NAME', 'READY', 'STATUS', 'RESTARTS', 'AGE', 'IP', 'NODE']
    cells = [row.split() for row in rows]
    assert len(cells) == 4
    assert all(row[1:4] == ['1/1', 'Running', '0'] for row in cells)
    assert {row[0]: row[5] for row in cells}.items() >= backends(kangaroo).items()
    assert {row[6] for row in cells} == {f'{kangaroo.name}-node-1'}


def test_a_pod_reaches_every_backend_by_the_services_name(kangaroo):
    loop = f'for i in $(seq 60); do curl -s {URL}; done'
    answers = kangaroo('exec', *TEAM, 'deploy/kangaroo-frontend', '--', 'sh', '-c', loop).splitlines()
    assert len(answers) == 60
    assert set(answers) == {f'{name} {address}' for name, address in backends(kangaroo).items()}


async def test_logs_of_all_backends(kangaroo):
    lines = kangaroo('logs', *TEAM, '-l', 'role=backend', '--tail', '-1').splitlines()
    assert lines.count('listening on port 80') == 3
    asked = iter(kangaroo('logs', *TEAM, 'deploy/kangaroo-frontend').splitlines())
    answers = list(dropwhile(lambda line: line.startswith('error'), asked))  # it may start before the first backend
    assert answers and all(line.startswith('answer from kangaroo-backend-') for line in answers)
    await eventually(lambda: 'answered' in kangaroo('logs', *TEAM, '-l', 'role=backend'))


def test_the_machine_itself_reaches_the_service(kangaroo):
    address = kangaroo.get('service', 'kangaroo-backend', *TEAM)['spec']['clusterIP']
    answer = run('curl', '-s', '--max-time', '60', f'http://{address}:8080/').split()
    assert backends(kangaroo)[answer[0]] == answer[1]


def test_dig_works_from_the_machine(kangaroo):
    vip = json.loads(kangaroo('status', '-o', 'json'))['dnsAddress']
    address = kangaroo.get('service', 'kangaroo-backend', *TEAM)['spec']['clusterIP']
    for transport in ('+notcp', '+tcp'):
        question = ('kangaroo-backend.kangaroo-team.svc.mycompany.com', 'A')
        assert run('dig', f'@{vip}', transport, '+short', '+tries=1', *question).strip() == address


def test_the_real_kubectl_sees_the_same(kangaroo):
    rows = [line.split() for line in kangaroo.kubectl('get', 'pods', '-A', '--no-headers').splitlines()]
    assert {row[1]: row[3] for row in rows}.items() >= dict.fromkeys(backends(kangaroo), 'Running').items()


def test_the_real_kubectl_execs_and_reads_logs(kangaroo):
    answer = kangaroo.kubectl('exec', *TEAM, 'deploy/kangaroo-frontend', '--', 'curl', '-s', URL)
    assert answer.split()[0] in backends(kangaroo)
    assert 'listening on port 80' in kangaroo.kubectl('logs', *TEAM, next(iter(backends(kangaroo))))
    assert kangaroo.kubectl('exec', '-i', *TEAM, 'deploy/kangaroo-frontend', '--', 'cat', stdin='hi\n') == 'hi\n'


def test_the_real_kubectl_finds_nothing_to_change(kangaroo):
    outcome = kangaroo.kubectl('apply', '-f', MANIFEST)
    assert {line.split()[-1] for line in outcome.splitlines()} == {'unchanged'}


def test_a_deleted_backend_is_replaced_by_one_of_another_address(kangaroo):
    before = backends(kangaroo)
    victim = next(iter(before))
    kangaroo('delete', 'pod', victim, *TEAM)
    kangaroo('wait', 'deploy/kangaroo-backend', *TEAM)
    after = backends(kangaroo)
    assert len(after) == 3
    assert victim not in after
    assert before[victim] not in after.values()


def test_scaled_to_five_all_five_answer(kangaroo):
    kangaroo('scale', 'deploy/kangaroo-backend', '--replicas', '5', *TEAM)
    kangaroo('wait', 'deploy/kangaroo-backend', *TEAM)
    test_a_pod_reaches_every_backend_by_the_services_name(kangaroo)
    assert len(backends(kangaroo)) == 5


def test_delete_returns_when_all_is_gone(kangaroo):
    """The last test here: it takes the example away, and with kubectl puts it back and away again."""
    said = kangaroo('delete', '-f', MANIFEST).splitlines()
    assert said[0] == 'namespace "kangaroo-team" deleted'
    assert said[-1] == 'deployment.apps "kangaroo-frontend" deleted from kangaroo-team namespace'
    assert kangaroo.get('pods', '-A') == []
    assert kangaroo.run('get', 'namespace', 'kangaroo-team').returncode == 1
    created = kangaroo.kubectl('apply', '-f', MANIFEST).splitlines()
    assert {line.split()[-1] for line in created} == {'created'}
    kangaroo.kubectl('rollout', 'status', 'deploy/kangaroo-backend', *TEAM, '--timeout', '30s')
    kangaroo.kubectl('delete', '-f', MANIFEST, '--timeout', '30s')
    assert kangaroo.get('pods', '-A') == []
