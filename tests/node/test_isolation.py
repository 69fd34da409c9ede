"""What a Pod's namespaces and security context ask for, on a whole Node."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from node_lab import Lab, waiting_reason

from netkube.api.resources import PODS
from netkube.testing import eventually

FOREVER = ('sleep', 'infinity')
PRIVILEGED = {'securityContext': {'privileged': True}}


def address_of(pod: Any) -> str:
    return pod['status']['podIP']


async def nothing_is_said(kubelet: Lab, name: str = 'p') -> bool:
    return not [event for event in await kubelet.events(name) if event[1] == 'NotHonoured']


async def test_a_pod_on_the_nodes_network(kubelet: Lab) -> None:
    spec = {'hostNetwork': True, 'hostAliases': [{'ip': '10.9.9.9', 'hostnames': ['friend']}]}
    ports = [{'containerPort': 8080}]
    pod = await kubelet.create_pod('python3', '-m', 'http.server', '8080', ports=ports, spec=spec, wait=True)
    [node] = kubelet.config.node_addresses
    assert pod['spec']['containers'][0]['ports'][0]['hostPort'] == 8080
    assert (pod['status']['podIP'], pod['status']['hostIP'], pod['status']['podIPs']) == (node, node, [{'ip': node}])
    inode = os.stat(f'/run/netns/{kubelet.network_config.netns}').st_ino
    seen = await kubelet.sh('readlink /proc/self/ns/net; hostname; echo $HOSTNAME')
    assert seen == f'net:[{inode}]\nnode-1\nnode-1\n'
    hosts = await kubelet.sh('cat /etc/hosts')
    assert hosts.startswith('# Kubernetes-managed hosts file (host network).\n') and '10.9.9.9\tfriend' in hosts
    assert await nothing_is_said(kubelet)


async def test_it_leaves_the_node_where_it_was_and_takes_no_pods_address(kubelet: Lab) -> None:
    first = address_of(await kubelet.create_pod(*FOREVER, name='before', wait=True))
    await kubelet.create_pod(*FOREVER, spec={'hostNetwork': True}, wait=True)
    await kubelet.client.delete(PODS, 'default', 'p', grace_period_seconds=0)
    await kubelet.gone()
    assert Path('/run/netns', kubelet.network_config.netns).exists()
    after = address_of(await kubelet.create_pod(*FOREVER, name='after', wait=True))
    assert int(after.rpartition('.')[2]) == int(first.rpartition('.')[2]) + 1


async def test_its_dns_policy_is_the_machines_unless_it_says_otherwise(kubelet: Lab) -> None:
    await kubelet.create_pod(*FOREVER, spec={'hostNetwork': True}, wait=True)
    assert kubelet.config.dns_vip not in await kubelet.sh('cat /etc/resolv.conf')
    spec = {'hostNetwork': True, 'dnsPolicy': 'ClusterFirstWithHostNet'}
    await kubelet.create_pod(*FOREVER, name='q', spec=spec, wait=True)
    record = kubelet.config.memory_dir / (await kubelet.pod('q'))['metadata']['uid'] / 'etc/resolv.conf'
    assert f'nameserver {kubelet.config.dns_vip}' in record.read_text()


async def test_the_nodes_settings_are_not_a_pods_to_change(kubelet: Lab) -> None:
    sysctls = [{'name': 'net.core.somaxconn', 'value': '77'}]
    await kubelet.create_pod(*FOREVER, spec={'hostNetwork': True, 'securityContext': {'sysctls': sysctls}})
    await kubelet.has_event(
        'Warning',
        'FailedCreatePodSandBox',
        'Failed to create pod sandbox: forbidden sysctl: "net.core.somaxconn" not allowed with host net enabled',
    )


async def test_containers_that_share_process_ids(kubelet: Lab) -> None:
    other = {'name': 'other', 'image': 'i', 'command': ['sleep', '4720']}
    spec = {'shareProcessNamespace': True, 'initContainers': [{**other, 'restartPolicy': 'Always'}]}
    await kubelet.create_pod(*FOREVER, spec=spec, wait=True)
    seen = await kubelet.sh('ps -o args= -e')
    assert 'sleep 4720' in seen and await nothing_is_said(kubelet)


async def test_the_machines_process_ids_and_ipc(kubelet: Lab) -> None:
    await kubelet.create_pod(*FOREVER, spec={'hostPID': True, 'hostIPC': True}, wait=True)
    machine = [os.readlink(f'/proc/self/ns/{kind}') for kind in ('pid', 'ipc')]
    assert (await kubelet.sh('readlink /proc/self/ns/pid /proc/self/ns/ipc')).split() == machine
    await kubelet.client.delete(PODS, 'default', 'p', grace_period_seconds=0)
    await kubelet.gone()
    assert await nothing_is_said(kubelet)


async def test_a_privileged_container(kubelet: Lab) -> None:
    profile = {'type': 'RuntimeDefault'}  # of which a privileged container takes no notice
    await kubelet.create_pod(
        *FOREVER, **PRIVILEGED, spec={'securityContext': {'seccompProfile': profile}}, wait=True
    )
    script = 'mkdir /m; mount -t tmpfs none /m; test -w /proc/sys/net/core/somaxconn; echo yes'
    assert await kubelet.sh(script) == 'yes\n'
    assert 'Seccomp:\t0\n' in await kubelet.sh('cat /proc/self/status')
    assert await nothing_is_said(kubelet)


async def test_runtime_default_refuses_what_the_runtimes_refuse(kubelet: Lab) -> None:
    """unshare(2), keyctl(2) and sockets that know no namespaces; not so without a profile."""
    script = (
        'python3 -c "import ctypes, socket; libc = ctypes.CDLL(None, use_errno=True)\n'
        'libc.unshare(0x10000000); print(ctypes.get_errno())\n'
        'libc.syscall(599); print(ctypes.get_errno())\n'
        'import threading; threading.Thread(target=print, args=(\'thread\',)).start()"'
    )
    profile = {'securityContext': {'seccompProfile': {'type': 'RuntimeDefault'}}}
    await kubelet.create_pod(*FOREVER, **profile, wait=True)
    assert (await kubelet.sh(script)).split() == ['1', '38', 'thread']
    assert 'Seccomp:\t2\n' in await kubelet.sh('cat /proc/1/status')
    assert await nothing_is_said(kubelet)


async def test_without_a_profile_nothing_is_filtered(kubelet: Lab) -> None:
    await kubelet.create_pod(*FOREVER, wait=True)
    assert 'Seccomp:\t0\n' in await kubelet.sh('cat /proc/1/status')


async def test_a_profile_of_the_machine(kubelet: Lab) -> None:
    rules = [{'names': ['mkdir', 'mkdirat', 'no_such_call'], 'action': 'SCMP_ACT_ERRNO', 'errnoRet': 28}]
    folder = kubelet.config.seccomp_profiles / 'profiles'
    folder.mkdir(parents=True)
    (folder / 'full.json').write_text(json.dumps({'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': rules}))
    profile = {'type': 'Localhost', 'localhostProfile': 'profiles/full.json'}
    await kubelet.create_pod(*FOREVER, spec={'securityContext': {'seccompProfile': profile}}, wait=True)
    assert 'No space left on device' in await kubelet.sh('mkdir /made 2>&1 || true')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'no such file or directory'),
        ('{', 'decoding seccomp profile failed'),
        ('{"defaultAction": "SCMP_ACT_BITE"}', 'unknown seccomp action "SCMP_ACT_BITE"'),
    ],
)
async def test_a_profile_that_cannot_be_had_is_waited_for(kubelet: Lab, text: str, message: str) -> None:
    kubelet.config.seccomp_profiles.mkdir(parents=True)
    if text:
        (kubelet.config.seccomp_profiles / 'bad.json').write_text(text)
    profile = {'seccompProfile': {'type': 'Localhost', 'localhostProfile': 'bad.json'}}
    await kubelet.create_pod(*FOREVER, securityContext=profile)
    pod = await kubelet.until(lambda pod: waiting_reason(pod) == 'CreateContainerError')
    assert message in pod['status']['containerStatuses'][0]['state']['waiting']['message']


async def test_a_daemon_started_again_knows_a_pod_on_the_nodes_network(node_lab: Lab) -> None:
    lab = node_lab
    async with lab.running_agent():
        await lab.create_pod(*FOREVER, spec={'hostNetwork': True}, wait=True)
    async with lab.running_agent():
        pod = await lab.until(lambda pod: 'running' in pod['status']['containerStatuses'][0]['state'])
        assert pod['status']['containerStatuses'][0]['restartCount'] == 0
        await lab.client.delete(PODS, 'default', 'p', grace_period_seconds=0)
        await lab.gone()
        await eventually(lambda: Path('/run/netns', lab.network_config.netns).exists())
