"""What the containers of a Pod share: IPC, host name and /dev/shm always; process ids and the machine's on request."""

from __future__ import annotations

import os
from pathlib import Path

from conftest import Pods, RunningServer

from netkube.network import namespaces
from netkube.runtime.cri import DEFAULT_CAPABILITIES, NODE, POD, NamespaceOption
from netkube.testing.waiting import eventually

NAMESPACES = 'for kind in ipc uts net pid mnt cgroup; do readlink /proc/self/ns/$kind; done'
MAKE_QUEUE = 'import ctypes; assert ctypes.CDLL(None).msgget(4711, 0o1600) >= 0'
FIND_QUEUE = 'import ctypes; print(ctypes.CDLL(None).msgget(4711, 0) >= 0)'


def processes_of(*argv: str) -> list[int]:
    """Of the whole machine."""
    line = b''.join(word.encode() + b'\0' for word in argv)
    return [int(path.parent.name) for path in Path('/proc').glob('[0-9]*/cmdline') if cmdline(path) == line]


def cmdline(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b''


def inits_of(server: RunningServer) -> list[int]:
    return [pid for pid in processes_of('sleep', 'infinity') if server.name in Path(f'/proc/{pid}/cgroup').read_text()]


SHARED = ('ipc', 'uts', 'net')
SHARED_PIDS = NamespaceOption(pid=POD)


async def test_containers_share_ipc_uts_and_network_and_nothing_else(pods: Pods) -> None:
    containers = [await pods.start('sleep', '9') for _ in range(2)]
    script = ['sh', '-c', NAMESPACES]
    one, two = [(await pods.client.exec_sync(each.id, script))[1].decode().split() for each in containers]
    assert [kind.partition(':')[0] for kind, other in zip(one, two, strict=True) if kind == other] == [*SHARED]
    machine = [os.readlink(f'/proc/self/ns/{kind}') for kind in SHARED]
    assert not {*machine} & {*one}


async def test_another_pod_has_others(pods: Pods) -> None:
    await pods.sandbox('other')
    script = 'for kind in ipc uts net; do readlink /proc/self/ns/$kind; done'
    one, two = [(await pods.sh(script, sandbox=sandbox)).split() for sandbox in ('pod', 'other')]
    assert not {*one} & {*two}


async def test_a_message_queue_is_there_for_the_next_container_of_the_pod_only(pods: Pods) -> None:
    await pods.sandbox('other')
    await pods.sh(f'python3 -c "{MAKE_QUEUE}"')
    assert await pods.sh(f'python3 -c "{FIND_QUEUE}"') == 'True\n'
    assert await pods.sh(f'python3 -c "{FIND_QUEUE}"', sandbox='other') == 'False\n'


async def test_dev_shm_outlives_a_container_and_is_the_pods_own(pods: Pods) -> None:
    await pods.sandbox('other')
    await pods.sh('echo here > /dev/shm/file')
    script = 'cat /dev/shm/file; stat -fc %T /dev/shm; stat -fc %b*%S /dev/shm'
    assert await pods.sh(script) == 'here\ntmpfs\n16384*4096\n'
    assert await pods.sh('ls /dev/shm', sandbox='other') == ''
    assert not Path('/dev/shm/file').exists()


async def test_the_machine_has_no_mount_more_for_a_pods_dev_shm(pods: Pods) -> None:
    mounts = Path('/proc/self/mountinfo')
    before = mounts.read_text().count('tmpfs')
    await pods.sandbox('other')
    assert mounts.read_text().count('tmpfs') == before


async def test_sysctls_of_ipc_are_the_pods(pods: Pods) -> None:
    await pods.sandbox('tuned', sysctls={'kernel.msgmax': '4711'})
    assert await pods.sh('cat /proc/sys/kernel/msgmax', sandbox='tuned') == '4711\n'
    assert Path('/proc/sys/kernel/msgmax').read_text() != '4711\n'


async def test_shared_process_ids(pods: Pods) -> None:
    """Process 1 is nobody's program; each container sees, and may signal, the others' processes."""
    await pods.sandbox('shared', namespaces=SHARED_PIDS)
    sleeper = await pods.start('sleep', '4712', sandbox='shared')
    seen = await pods.sh("ps -o pid=,args= -e; test $$ != 1; pkill -f 'sleep 471[2]'", sandbox='shared')
    assert '1 sleep infinity' in seen and 'sleep 4712' in seen
    assert (await pods.exit_of(sleeper.id)).signal == 15


async def test_process_1_of_a_pod_reaps_orphans_and_may_do_nothing(pods: Pods) -> None:
    await pods.sandbox('shared', namespaces=SHARED_PIDS)
    script = """
        (sh -c 'exec true' & ) ; sh -c 'sleep 0.1 & exec true'
        while pgrep -x sleep -P 1; do :; done
        ps -o stat= -e | grep -c Z || true
        grep -E '^(Uid|CapPrm|CapBnd|NoNewPrivs)' /proc/1/status | tr '\\t' ' '
        ls /proc/1/root 2>&1 | head -1
    """
    answer = await pods.sh(script, sandbox='shared')
    assert answer.splitlines()[-6:-1] == [
        '0', 'Uid: 65535 65535 65535 65535', 'CapPrm: 0000000000000000', 'CapBnd: 0000000000000000', 'NoNewPrivs: 1',
    ]  # fmt: skip


async def test_the_root_of_process_1_is_no_way_to_the_machine(pods: Pods) -> None:
    await pods.sandbox('shared', namespaces=SHARED_PIDS)
    powerful = (*DEFAULT_CAPABILITIES, 'SYS_PTRACE')
    script = 'test -e /proc/1/root/etc/passwd; ls -A /proc/1/root/etc/ssl'
    assert await pods.sh(script, sandbox='shared', hide=('/etc/ssl',), capabilities=powerful) == ''
    assert os.listdir('/etc/ssl')


async def test_a_containers_other_processes_end_with_its_first(pods: Pods) -> None:
    """Process ids are shared, so nothing but the container's cgroup tells whose a process is."""
    await pods.sandbox('shared', namespaces=SHARED_PIDS)
    await pods.sh('setsid sleep 4713 >/dev/null 2>&1 &', sandbox='shared')
    assert await pods.sh('pgrep -f "sleep 471[3]" || echo none', sandbox='shared') == 'none\n'


async def test_exec_is_in_the_shared_process_ids(pods: Pods) -> None:
    await pods.sandbox('shared', namespaces=SHARED_PIDS)
    container = await pods.start('sleep', '4714', sandbox='shared')
    code, output, _ = await pods.client.exec_sync(container.id, ['ps', '-o', 'args=', '-p', '1'])
    assert (code, output) == (0, b'sleep infinity\n')


async def test_a_killed_process_1_takes_the_pods_containers_with_it_and_comes_back(pods: Pods) -> None:
    await pods.sandbox('shared', namespaces=SHARED_PIDS)
    container = await pods.start('sleep', '4715', sandbox='shared')
    [init] = inits_of(pods.server)
    os.kill(init, 9)
    assert (await pods.exit_of(container.id)).signal == 9
    assert 'sleep infinity' in await pods.sh('ps -o args= -e', sandbox='shared')


async def test_removing_the_sandbox_ends_process_1(pods: Pods) -> None:
    await pods.sandbox('shared', namespaces=SHARED_PIDS)
    await pods.start('sleep', '4716', sandbox='shared')
    await pods.client.remove_pod_sandbox('shared')
    assert not inits_of(pods.server)


async def test_the_machines_process_ids(pods: Pods) -> None:
    await pods.sandbox('host', namespaces=NamespaceOption(pid=NODE))
    script = f'readlink /proc/self/ns/pid; ls -d /proc/{os.getpid()}; setsid sleep 4717 >/dev/null 2>&1 &'
    answer = await pods.sh(script, sandbox='host')
    assert answer.split() == [os.readlink('/proc/self/ns/pid'), f'/proc/{os.getpid()}']
    assert not processes_of('sleep', '4717')


async def test_stopping_kills_all_of_a_container_with_the_machines_process_ids(pods: Pods) -> None:
    await pods.sandbox('host', namespaces=NamespaceOption(pid=NODE))
    script = "trap '' TERM; sleep 4718 & echo ready; exec sleep 4718"
    container = await pods.start('sh', '-c', script, sandbox='host')
    await eventually(lambda: 'ready' in pods.output(container.id))
    await pods.client.stop_container(container.id, 0.05)
    assert (await pods.exit_of(container.id)).signal == 9
    assert not processes_of('sleep', '4718')


async def test_nothing_with_the_machines_process_ids_survives_a_killed_server(
    pods: Pods, server: RunningServer
) -> None:
    await pods.sandbox('host', namespaces=NamespaceOption(pid=NODE))
    await pods.start('sh', '-c', 'setsid sleep 4719 & exec sleep 4719', sandbox='host')
    server.kill()
    server.tear_down()
    assert not processes_of('sleep', '4719')
    assert server.cgroup and not server.cgroup.exists()


async def test_the_machines_ipc(pods: Pods) -> None:
    await pods.sandbox('host', namespaces=NamespaceOption(ipc=NODE))
    marker = Path(f'/dev/shm/{pods.server.name}')
    marker.write_text('here')
    try:
        assert await pods.sh(f'readlink /proc/self/ns/ipc; cat {marker}', sandbox='host') == (
            os.readlink('/proc/self/ns/ipc') + '\nhere\n'
        )
    finally:
        marker.unlink()


async def test_the_nodes_network_is_entered_and_stays(pods: Pods) -> None:
    node = f'{pods.server.name}-node'
    namespaces.create(node)
    await pods.sandbox('host', netns=node, namespaces=NamespaceOption(network=NODE), sysctls={}, hostname='node')
    inode = os.stat(f'/run/netns/{node}').st_ino
    assert await pods.sh('readlink /proc/self/ns/net; hostname', sandbox='host') == f'net:[{inode}]\nnode\n'
    await pods.client.remove_pod_sandbox('host')
    assert namespaces.exists(node)
