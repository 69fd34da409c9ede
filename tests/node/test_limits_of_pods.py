"""The kubelet's cgroup values and OOM scores: tables."""

from __future__ import annotations

from typing import Any

import pytest

from netkube.api.meta import Object
from netkube.node.limits import container_resources, oom_score_adj, pod_resources
from netkube.runtime.cri import LinuxContainerResources as Resources

GI = 1 << 30
NODE = 10 * GI


def container(requests: dict[str, str] | None = None, limits: dict[str, str] | None = None, **more: Any) -> Object:
    return {'name': 'c', 'resources': {'requests': requests or {}, 'limits': limits or {}}, **more}


def pod(*containers: Object, **spec: Any) -> Object:
    return {'spec': {'containers': list(containers) or [container()], **spec}}


BOTH = {'cpu': '500m', 'memory': '1Gi'}
SIDECAR = {'restartPolicy': 'Always'}


@pytest.mark.parametrize(
    ('of', 'expected'),
    [
        (pod(), Resources(cpu_shares=2)),
        (pod(container({'memory': '1Gi'})), Resources(cpu_shares=2)),
        (pod(container({'cpu': '1m'})), Resources(cpu_shares=2)),
        (pod(container({'cpu': '250m'}), container({'cpu': '250m'})), Resources(cpu_shares=512)),
        (pod(container(BOTH, BOTH)), Resources(50_000, GI, cpu_shares=512)),
        (pod(container(BOTH, BOTH), container(BOTH, {'memory': '1Gi'})), Resources(0, 2 * GI, cpu_shares=1024)),
        (pod(container(BOTH, BOTH), overhead={'cpu': '100m'}), Resources(60_000, GI, cpu_shares=614)),
        (pod(container({'cpu': '1'}), initContainers=[container({'cpu': '3'})]), Resources(cpu_shares=3072)),
        (pod(container({'cpu': '1'}), initContainers=[container({'cpu': '3'}, **SIDECAR)]), Resources(cpu_shares=4096)),
        (pod(resources={'requests': BOTH, 'limits': BOTH}), Resources(50_000, GI, cpu_shares=512)),
        (pod(container({'cpu': '1m'}), resources={'requests': {'cpu': '1'}}), Resources(cpu_shares=1024)),
    ],
)  # fmt: skip
def test_a_pods_values_are_those_of_its_containers_together_or_its_own(of: Object, expected: Resources) -> None:
    assert pod_resources(of) == expected


@pytest.mark.parametrize(
    ('one', 'spec', 'expected'),
    [
        (container(), {}, Resources(cpu_shares=2)),
        (container({'cpu': '500m'}, {'cpu': '1500m', 'memory': '64Mi'}), {}, Resources(150_000, 64 << 20, 0, 512)),
        (container({'cpu': '1m'}, {'cpu': '1m'}), {}, Resources(1000, cpu_shares=2)),
        (container({'cpu': '300'}), {}, Resources(cpu_shares=262_144)),
        (container(), {'resources': {'limits': BOTH}}, Resources(50_000, GI, cpu_shares=512)),
        (container({'cpu': '0'}), {'resources': {'limits': BOTH}}, Resources(50_000, GI, cpu_shares=2)),
        (container(limits={'cpu': '1'}), {'resources': {'limits': {'cpu': '2'}}}, Resources(100_000, cpu_shares=1024)),
    ],
)
def test_a_containers_values_are_its_own_or_its_pods(one: Object, spec: Object, expected: Resources) -> None:
    assert container_resources(pod(one, **spec), one, NODE)._replace(oom_score_adj=0) == expected


ONE_GI, TWO_GI = container({'memory': '1Gi'}), container({'memory': '2Gi'})
HALF = container({'memory': '512Mi'})


@pytest.mark.parametrize(
    ('of', 'score'),
    [
        (pod(), 1000),
        (pod(priority=2_000_001_000), -997),
        (pod(container(BOTH, BOTH)), -997),
        (pod(ONE_GI), 900),
        (pod(container({'memory': '1'})), 999),
        (pod(container({'memory': '10Gi'})), 3),
        (pod(HALF, ONE_GI), 950),
        (pod(ONE_GI, HALF, resources={'requests': {'memory': '3584Mi'}}), 800),
    ],
)
def test_who_is_killed_first(of: Object, score: int) -> None:
    assert oom_score_adj(of, of['spec']['containers'][0], NODE) == score


def test_a_sidecar_is_killed_no_sooner_than_those_it_serves() -> None:
    small, big = ({**each, **SIDECAR} for each in (container({'memory': '1Mi'}), container({'memory': '5Gi'})))
    both = pod(ONE_GI, TWO_GI, initContainers=[small, big])
    assert [oom_score_adj(both, each, NODE) for each in (small, big)] == [900, 500]
