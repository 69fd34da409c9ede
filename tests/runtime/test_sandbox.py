"""A sandbox's network namespace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import Pods

from netkube.runtime.cri import DEFAULT_SYSCTLS, CriError, SandboxConfig


async def test_its_network_namespace_is_pinned_under_its_name(pods: Pods) -> None:
    inode = os.stat(f'/run/netns/{pods.server.name}-pod').st_ino
    assert await pods.sh('readlink /proc/self/ns/net') == f'net:[{inode}]\n'
    assert inode != os.stat('/proc/self/ns/net').st_ino


async def test_loopback_is_up_and_ipv6_is_off(pods: Pods) -> None:
    script = 'cat /sys/class/net/lo/flags /proc/sys/net/ipv6/conf/all/disable_ipv6; ls /sys/class/net'
    assert (await pods.sh(script)).split() == ['0x9', '1', 'lo']


async def test_sysctls(pods: Pods) -> None:
    sysctls = {**DEFAULT_SYSCTLS, 'net.core.somaxconn': '77'}
    await pods.client.run_pod_sandbox(SandboxConfig('tuned', 'd', 'x', f'{pods.server.name}-tuned', sysctls=sysctls))
    script = 'cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ip_unprivileged_port_start'
    assert await pods.sh(script, sandbox='tuned') == '77\n0\n'


async def test_an_unknown_sysctl_is_an_error_and_leaves_nothing(pods: Pods) -> None:
    config = SandboxConfig('bad', 'd', 'x', f'{pods.server.name}-bad', sysctls={'net.no.such': '1'})
    with pytest.raises(CriError, match='net/no/such'):
        await pods.client.run_pod_sandbox(config)
    assert not Path('/run/netns', config.netns).exists()
    assert [sandbox.id for sandbox in await pods.client.list_pod_sandboxes()] == ['pod']


async def test_the_same_one_twice_is_refused(pods: Pods) -> None:
    with pytest.raises(CriError, match='exists'):
        await pods.sandbox()


async def test_annotations_are_handed_back(pods: Pods) -> None:
    config = SandboxConfig('noted', 'd', 'x', f'{pods.server.name}-noted', annotations={'ip': '10.0.0.2'})
    await pods.client.run_pod_sandbox(config)
    noted = {sandbox.id: sandbox.annotations for sandbox in await pods.client.list_pod_sandboxes()}
    assert noted == {'pod': {}, 'noted': {'ip': '10.0.0.2'}}
