"""One cluster from ``up`` to ``down``, in one go: what is worth running on another kernel (scripts/test-vm)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from cluster.machinestate import cgroups, machine_state, marked, processes

from netkube.testing import Cluster, eventually
from netkube.testing.objects import container, pod

URL = 'http://kangaroo-backend.kangaroo-team.svc.mycompany.com:8080/'
TEAM = ('-n', 'kangaroo-team')
PATIENCE = 300.0
REPLICAS = 2
UNANSWERED = 28  # curl's exit code: the time is up
EAT = 'x = bytearray(); [x.extend(bytes(1 << 20)) for _ in range(200)]'
POLICIES = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: kangaroo-team}
spec: {podSelector: {matchLabels: {role: backend}}, policyTypes: [Ingress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: allow, namespace: kangaroo-team}
spec:
  podSelector: {matchLabels: {role: backend}}
  ingress: [{from: [{podSelector: {matchLabels: {role: frontend}}}], ports: [{port: 80}]}]
"""


def kangaroo() -> list[Any]:
    """The example, for a slow machine: its frontend asks only when it is told to, and its probes have time."""
    objects = list(yaml.safe_load_all(Path('manifests/kangaroo.yaml').read_text()))
    for one in objects:
        if one['kind'] == 'Deployment':
            main = one['spec']['template']['spec']['containers'][0]
            if 'readinessProbe' in main:
                main['readinessProbe']['timeoutSeconds'] = 60
                one['spec']['replicas'] = REPLICAS
            else:
                main['command'] = ['sleep', 'infinity']
    return objects


def ask(cluster: Cluster, times: int, patience: int) -> tuple[int, list[str]]:
    """curl's exit code, and who answered, in a new connection each time."""
    loop = f'for i in $(seq {times}); do curl -s --max-time {patience} {URL} || exit; done'
    done = cluster.run('exec', *TEAM, 'deploy/kangaroo-frontend', '--', 'sh', '-c', loop)
    return done.returncode, done.stdout.splitlines()


async def test_from_up_to_down(own: Cluster) -> None:
    before = machine_state(marked(own))
    assert {line.split()[0] for line in own('doctor').splitlines()} == {'ok'}
    own.options = ('--cluster-domain', 'mycompany.com')
    own.up()

    own.apply(*kangaroo())
    backends = {one['metadata']['name'] for one in own.get('pods', *TEAM, '-l', 'role=backend')}
    code, answers = ask(own, 30, 60)
    assert (code, {line.split()[0] for line in answers}, len(answers)) == (0, backends, 30)
    assert len(backends) == REPLICAS

    deny, allow = yaml.safe_load_all(POLICIES)
    own.apply(deny)
    await eventually(lambda: ask(own, 1, 2) == (UNANSWERED, []), PATIENCE)
    own.apply(allow)
    await eventually(lambda: ask(own, 1, 2)[0] == 0, PATIENCE)

    greedy = container('python3', '-c', EAT, resources={'limits': {'memory': '64Mi'}})
    own.apply(pod('greedy', greedy, restartPolicy='Never'), wait=False)
    await eventually(lambda: ended(own, 'greedy')['reason'] == 'OOMKilled', PATIENCE)

    assert cgroups(own) and processes(own)
    own.down()
    assert machine_state(own) == before


def ended(cluster: Cluster, name: str) -> Any:
    (status,) = cluster.get('pod', name)['status'].get('containerStatuses') or [{'state': {}}]
    assert 'terminated' in status['state'], status
    return status['state']['terminated']
