"""helm on a cluster where Pods run: it waits for them, and leaves none behind."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from netkube.testing import Cluster, eventually
from netkube.testing.objects import pod
from netkube.testing.tools import tool

CHART = Path(__file__).parents[1] / 'data' / 'shop'
WAIT = ('--wait', '--timeout', '45s')


def helm(cluster: Cluster, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [str(tool('helm')), *words], env=cluster.clients, text=True, timeout=60,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    return done.stdout


def running(cluster: Cluster, *fields: str) -> set[Any]:
    """One value of each running Pod of the chart."""
    path = '{range .items[*]}{' + fields[0] + '}{"\\n"}{end}'
    words = ('-l', 'app.kubernetes.io/instance=shop', '--field-selector=status.phase=Running', '-o', f'jsonpath={path}')
    return set(cluster.kubectl('get', 'pods', *words).split())


GREETING = '.spec.containers[0].env[?(@.name=="COLOUR")].value'


async def test_install_upgrade_rollback_uninstall_with_running_pods(shop: Cluster) -> None:
    shop.apply(pod('client'))
    assert 'STATUS: deployed' in helm(shop, 'install', 'shop', str(CHART), *WAIT)
    assert shop.get('deployment', 'shop')['status']['readyReplicas'] == 2
    assert '200' in shop('exec', 'client', '--', 'curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', 'http://shop/')

    more = ('--set', 'extraEnv[0].name=COLOUR', '--set', 'extraEnv[0].value=red', '--set', 'greeting=bye')
    helm(shop, 'upgrade', 'shop', str(CHART), *more, *WAIT)
    await eventually(lambda: running(shop, GREETING) == {'red'}, 30, 'new Pods only')
    helm(shop, 'rollback', 'shop', '1', *WAIT)
    await eventually(lambda: len(running(shop, '.metadata.name')) == 2 and running(shop, GREETING) == set())
    assert [line.split()[0] for line in helm(shop, 'history', 'shop').splitlines()] == ['REVISION', '1', '2', '3']

    helm(shop, 'uninstall', 'shop', *WAIT)
    await eventually(lambda: running(shop, '.metadata.name') == set())
    left = shop.kubectl('get', 'deploy,rs,svc,sa,configmaps,secrets', '-l', 'app.kubernetes.io/instance=shop',
                        '-o', 'name')  # fmt: skip
    assert left == 'configmap/shop-before\n'  # a hook's object is not the release's


def test_an_upgrade_that_cannot_work_is_told_and_undone(shop: Cluster) -> None:
    helm(shop, 'install', 'sick', str(CHART), *WAIT)
    bad = ('--set', 'extraEnv[0].name=A', '--set', 'extraEnv[0].valueFrom.secretKeyRef.name=none',
           '--set', 'extraEnv[0].valueFrom.secretKeyRef.key=x')  # fmt: skip
    said = helm(shop, 'upgrade', 'sick', str(CHART), *bad, '--rollback-on-failure', '--timeout', '3s', code=1)
    assert 'UPGRADE FAILED' in said
    assert shop.get('deployment', 'sick')['status']['readyReplicas'] == 2
    helm(shop, 'uninstall', 'sick', *WAIT)
