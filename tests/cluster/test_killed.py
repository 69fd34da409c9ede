"""kill -9 of each process of a cluster: what goes on, what comes back, and what was acknowledged is still there."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from netkube.testing import Cluster, cluster, eventually
from netkube.testing.objects import config_map, container, deployment, pod, server, service

TRAFFIC = """
import sys, time, urllib.request
count = 0
while True:
    try:
        with urllib.request.urlopen('http://web/', timeout=30) as answer:
            count += 1
            print(count, answer.read().decode().strip(), flush=True)
    except OSError as error:
        print('error:', error, flush=True)
    time.sleep(0.005)
"""


@pytest.fixture(scope='module')
def shop(worker_name: str) -> Iterator[Cluster]:
    """Three servers, and a client that calls them by their Service's name all the time."""
    with cluster(worker_name) as running:
        running.apply(
            deployment('web', server(), replicas=3),
            service('web', 80),
            pod('client', container('python3', '-c', TRAFFIC)),
        )
        yield running


def instances(cluster: Cluster) -> dict[str, tuple[str, int, str]]:
    """Pod -> the containers' identity: id, restarts, since when."""
    found = {}
    for each in cluster.get('pods'):
        (status,) = each['status']['containerStatuses']
        since = status['state']['running']['startedAt']
        found[each['metadata']['name']] = status['containerID'], status['restartCount'], since
    return found


def traffic(cluster: Cluster) -> list[str]:
    return cluster('logs', 'client').splitlines()


async def go_on(cluster: Cluster, requests: int = 30) -> None:
    """So many more requests are answered."""
    seen = len(traffic(cluster))
    await eventually(lambda: len(traffic(cluster)) >= seen + requests)


def vip(cluster: Cluster) -> str:
    return json.loads(cluster.run('status', '-o', 'json').stdout)['dnsAddress']


def dig(cluster: Cluster) -> str:
    command = ['dig', f'@{vip(cluster)}', '+short', '+tries=1', '+time=1', 'web.default.svc.cluster.local']
    return subprocess.run(command, text=True, capture_output=True).stdout.strip()


def fetch(url: str) -> str:
    command = ['curl', '-s', '--max-time', '60', url]
    return subprocess.run(command, text=True, capture_output=True, check=True).stdout


async def test_the_daemons_death_costs_no_request_and_no_pod(shop):
    before = instances(shop)
    address = shop.get('service', 'web')['spec']['clusterIP']
    await go_on(shop)
    shop.kill('daemon')
    without = [fetch(f'http://{address}/').strip() for _ in range(20)]
    assert set(without) <= set(before)
    assert dig(shop) == address
    refused = shop.run('get', 'pods')
    assert (refused.returncode, refused.stderr.count('\n')) == (1, 1)
    assert 'up' in refused.stderr and 'Traceback' not in refused.stderr
    shop.up()
    await go_on(shop)
    assert instances(shop) == before
    lines = traffic(shop)
    assert [line for line in lines if line.startswith('error')] == []
    assert [int(line.split()[0]) for line in lines] == list(range(1, len(lines) + 1))


async def test_an_end_while_the_daemon_was_away_is_noted(shop):
    shop.apply(pod('waiting', container('sh', '-c', 'while ! [ -e /go ]; do sleep 0.01; done; exit 23'),
                   restartPolicy='Never'))  # fmt: skip
    process = _inner_process(shop, 'waiting')
    shop.kill('daemon')
    Path(f'/proc/{process}/root/go').touch()
    await eventually(lambda: not _runs(process))
    shop.up()
    status = await eventually(lambda: _terminated(shop, 'waiting'))
    assert (status['exitCode'], status['reason']) == (23, 'Error')
    assert shop.get('pod', 'waiting')['status']['phase'] == 'Failed'
    shop('delete', 'pod', 'waiting')


def _inner_process(cluster: Cluster, pod_name: str) -> int:
    """The pid, on this machine, of a Pod's first process."""
    uid = cluster.get('pod', pod_name)['metadata']['uid']
    listed = subprocess.run(['ip', 'netns', 'pids', f'netkube-{cluster.name}--pod-{uid}'], text=True,
                            capture_output=True, check=True).stdout.split()  # fmt: skip
    return min(map(int, listed))


def _runs(pid: int) -> bool:
    try:
        with open(f'/proc/{pid}/stat') as stat:
            return stat.read().rpartition(')')[2].split()[0] not in 'ZX'
    except (FileNotFoundError, ProcessLookupError):
        return False


def _terminated(cluster: Cluster, pod_name: str) -> dict | None:
    return cluster.get('pod', pod_name)['status']['containerStatuses'][0]['state'].get('terminated')


async def test_what_was_acknowledged_survives(shop):
    for number in range(5):
        shop.apply(config_map(f'kept-{number}', number=str(number)), wait=False)
        shop.kill('daemon')
        shop.up()
        assert shop.get('configmap', f'kept-{number}')['data'] == {'number': str(number)}


async def test_dns_comes_back_by_itself(shop):
    before = shop.pids()['dns']
    address = shop.get('service', 'web')['spec']['clusterIP']
    shop.kill('dns')
    await eventually(lambda: dig(shop) == address)
    assert shop.pids()['dns'] != before


async def test_dns_that_died_with_the_daemon_comes_back_with_it(shop):
    address = shop.get('service', 'web')['spec']['clusterIP']
    shop.kill('daemon', 'dns')
    shop.up()
    assert dig(shop) == address


async def test_pods_that_died_with_the_runtime_are_started_again(shop):
    before = instances(shop)
    address = shop.get('service', 'web')['spec']['clusterIP']
    shop.kill('runtime')
    await eventually(lambda: _all_started_again(shop, before))
    shop('wait', 'deploy/web', '--timeout', '20')
    assert fetch(f'http://{address}/').startswith('web-')
    await go_on(shop)


def _all_started_again(cluster: Cluster, before: dict[str, tuple[str, int, str]]) -> bool:
    listed = cluster.run('get', 'pods', '-o', 'json')
    assert listed.returncode == 0, listed.stderr  # the daemon, too, starts over
    now = {}
    for each in json.loads(listed.stdout)['items']:
        (status,) = each['status']['containerStatuses']
        now[each['metadata']['name']] = status['containerID'], status['ready'], status['restartCount']
    return now.keys() == before.keys() and all(
        ready and identity != before[name][0] and restarts > before[name][1]
        for name, (identity, ready, restarts) in now.items()
    )


def test_up_again_changes_nothing(shop):
    pids, pods = shop.pids(), instances(shop)
    assert re.fullmatch(r'cluster "\S+" is running already\n', shop.run('up').stderr)
    assert (shop.pids(), instances(shop)) == (pids, pods)
