"""emptyDir with medium Memory: a tmpfs of its own, with a size."""

from __future__ import annotations

from typing import Any

import pytest
from node_lab import Lab, container
from pods import container as spec_of
from pods import pod

from netkube.api.meta import Object
from netkube.api.resources import PODS
from netkube.node.emptydir import memory_size
from netkube.runtime.mounts import read_mountinfo
from netkube.testing import eventually

MOUNTS = {'volumeMounts': [{'name': 'v', 'mountPath': '/data'}]}
MIB, MACHINE = 2**20, 2**30


def volume(**source: Any) -> dict[str, Any]:
    return {'volumes': [{'name': 'v', 'emptyDir': source}]}


def limited(memory: str, name: str = 'c') -> Object:
    return spec_of(name, resources={'limits': {'memory': memory}})


@pytest.mark.parametrize(
    'source, one, size',
    [
        ({}, pod(), MACHINE),
        ({'sizeLimit': '3Mi'}, pod(), 3 * MIB),
        ({'sizeLimit': '3Mi'}, pod(limited('1Mi'), limited('1Mi', 'd')), 2 * MIB),
        ({'sizeLimit': '3Mi'}, pod(limited('8Mi')), 3 * MIB),
        ({}, pod(limited('8Mi'), spec_of('d')), MACHINE),
        ({}, pod(resources={'limits': {'memory': '5Mi'}}), 5 * MIB),
    ],
    ids=['the machine', 'sizeLimit', 'less memory', 'more memory', 'memory of only one', 'memory of the Pod'],
)
def test_its_size_is_the_least_limit(source: Object, one: Object, size: int):
    assert memory_size(source, one, MACHINE) == size


def mounted_for(lab: Lab) -> list[str]:
    return [mount.path for mount in read_mountinfo() if str(lab.config.memory_dir) in mount.path]


async def test_it_is_full_when_it_is_full(kubelet: Lab):
    spec = volume(medium='Memory', sizeLimit='1Mi', mode=0o1750)
    script = 'head -c 2000000 /dev/zero > /data/f; stat -c %s /data/f; stat -c %a /data; stat -f -c %T /data; sleep 99'
    await kubelet.create_pod('sh', '-c', script, **MOUNTS, spec=spec, wait=True)
    await kubelet.prints('tmpfs')
    assert (await kubelet.logs()).split('\n')[-4:-1] == ['1048576', '1750', 'tmpfs']
    await kubelet.client.delete(PODS, 'default', 'p', grace_period_seconds=0)
    await kubelet.gone()
    await eventually(lambda: not mounted_for(kubelet))


async def test_it_outlives_daemon_and_runtime(node_lab: Lab):
    script = 'test -e /data/f && echo kept; echo > /data/f; sleep 1000'
    async with node_lab.running_agent():
        await node_lab.create_pod('sh', '-c', script, **MOUNTS, spec=volume(medium='Memory'), wait=True)
    await node_lab.stop_runtime()
    await node_lab.start_runtime()
    async with node_lab.running_agent():
        await node_lab.until(lambda pod: container(pod)['restartCount'] == 1)
        await node_lab.prints('kept\n')
        assert len(mounted_for(node_lab)) == 1
        await node_lab.client.delete(PODS, 'default', 'p', grace_period_seconds=0)
        await node_lab.gone()
        await eventually(lambda: not mounted_for(node_lab))


@pytest.mark.parametrize(
    'medium, why',
    [
        ('HugePages-2Mi', 'netkube has no volumes of medium HugePages-2Mi yet'),
        ('Paper', 'unknown storage medium "Paper"'),
    ],
)
async def test_another_medium_is_refused(kubelet: Lab, medium: str, why: str):
    await kubelet.create_pod('sleep', '1000', **MOUNTS, spec=volume(medium=medium))
    await kubelet.has_event('Warning', 'FailedMount', f'MountVolume.SetUp failed for volume "v" : {why}')


async def test_nobody_else_of_the_machine_reads_what_is_in_memory(kubelet: Lab):
    """Secrets and tokens, too, which have modes that let any user of the container read them."""
    assert kubelet.config.memory_dir.stat().st_mode & 0o777 == 0o700
    await kubelet.create_pod('sh', '-c', 'ls /var/run/secrets/kubernetes.io/serviceaccount; sleep 1000',
                             securityContext={'runAsUser': 1000}, wait=True)  # fmt: skip
    await kubelet.prints('token')
