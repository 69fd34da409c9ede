"""What a container's process finds when it starts, and how its end is told."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable
from pathlib import Path

import pytest
from conftest import Pods

from netkube.runtime.cri import ContainerConfig, CriError, Mount

RFC3339_MICRO = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z')


async def test_is_pid_1_of_its_own_pid_namespace(pods: Pods) -> None:
    assert await pods.sh('echo $$; ls /proc | grep -c "^[0-9]"') == '1\n3\n'  # sh, ls and grep


@pytest.mark.parametrize('kind', ['mnt', 'pid', 'ipc', 'uts', 'net', 'cgroup'])
async def test_has_namespaces_of_its_own(pods: Pods, kind: str) -> None:
    assert await pods.sh(f'readlink /proc/self/ns/{kind}') != os.readlink(f'/proc/self/ns/{kind}') + '\n'


async def test_shares_the_network_of_its_sandbox(pods: Pods) -> None:
    await pods.sandbox('other')
    script = 'readlink /proc/self/ns/net'
    first, second = await pods.sh(script), await pods.sh(script)
    assert first == second != await pods.sh(script, sandbox='other')


async def test_gets_environment_directory_and_hostname(pods: Pods) -> None:
    script = 'env | sort; pwd; hostname; cat /etc/hostname'
    output = await pods.sh(script, env={'COLOUR': 'grey'}, working_dir='/var/lib/made/for/it')
    path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
    expected = ['COLOUR=grey', 'HOME=/root', 'HOSTNAME=pod', f'PATH={path}', 'PWD=/var/lib/made/for/it']
    assert output.splitlines() == [*expected, '/var/lib/made/for/it', 'pod', 'pod']


async def test_runs_as_user_and_groups(pods: Pods) -> None:
    assert await pods.sh('id', user=1234, group=5678, supplemental_groups=(9,)) == (
        'uid=1234 gid=5678 groups=5678,9(news)\n'
    )


async def test_a_users_groups_of_etc_group_are_merged_unless_the_policy_is_strict(pods: Pods) -> None:
    users, groups = 'root:x:0:0::/:/bin/sh\nroo:x:1234:7::/:/bin/sh\n', 'no line\na:x:41:ro,roo\nb:x:42:rooo\n'
    files = {'passwd': users, 'group': groups}
    for name, text in files.items():
        (pods.folder / name).write_text(text)
    mounts = tuple(Mount(str(pods.folder / name), f'/etc/{name}') for name in files)
    for policy, expected in (('merge', [7, 41, 9]), ('strict', [7, 9])):
        asked = {'user': 1234, 'supplemental_groups': (9,), 'supplemental_groups_policy': policy, 'mounts': mounts}
        status = await pods.run('sh', '-c', 'id -G', **asked)
        assert {int(group) for group in pods.output(status.id).split()} == set(expected)
        assert list(status.user) == [1234, 7, *expected]


async def test_a_user_of_etc_passwd_has_its_group_and_home(pods: Pods) -> None:
    assert await pods.sh('id -u; id -g; echo $HOME', user=2) == '2\n2\n/bin\n'


async def test_a_user_that_is_not_root_may_write_to_dev_stdout(pods: Pods) -> None:
    assert await pods.sh('echo hello > /dev/stdout', user=1234) == 'hello\n'


async def test_has_the_usual_capabilities_and_no_others(pods: Pods) -> None:
    output = await pods.sh('grep Cap /proc/self/status')
    expected = {'CapInh': 0, 'CapPrm': 0xA80425FB, 'CapEff': 0xA80425FB, 'CapBnd': 0xA80425FB, 'CapAmb': 0}
    assert {line.split(':')[0]: int(line.split()[1], 16) for line in output.splitlines()} == expected


async def test_has_the_capabilities_it_is_given(pods: Pods) -> None:
    assert await pods.sh('grep CapEff /proc/self/status', capabilities=('KILL', 'NET_ADMIN')) == (
        'CapEff:\t0000000000001020\n'
    )


async def test_no_new_privileges(pods: Pods) -> None:
    assert await pods.sh('grep NoNewPrivs /proc/self/status', no_new_privileges=True) == 'NoNewPrivs:\t1\n'


async def test_starts_with_default_signals_and_three_descriptors(pods: Pods) -> None:
    lines = pods.output((await pods.run('cat', '/proc/self/status')).id).splitlines()
    masks = {name: int(value, 16) for name, _, value in (line.partition(':') for line in lines if line[:3] == 'Sig')
             if name != 'SigQ'}
    assert masks == {'SigPnd': 0, 'SigBlk': 0, 'SigIgn': 0, 'SigCgt': 0}
    assert await pods.sh('ls /proc/$$/fd') == '0\n1\n2\n'


async def test_kernel_files_of_the_whole_machine_are_masked_or_read_only(pods: Pods) -> None:
    assert await pods.sh('cat /proc/keys /proc/timer_list; ls -A /sys/firmware') == ''
    for path in ('/proc/sys/kernel/hostname', '/sys/kernel/profiling'):
        assert 'Read-only file system' in await pods.sh(f'(echo 1 > {path}) 2>&1 || true')


async def test_devices_are_the_usual_few(pods: Pods) -> None:
    names = 'core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero'
    assert ' '.join((await pods.sh('ls /dev')).split()) == names
    output = await pods.sh('echo gone > /dev/null; head -c 3 /dev/zero | od -An -tx1; echo kept > /dev/shm/x')
    assert output == ' 00 00 00\n'


async def test_exit_status_is_kept(pods: Pods) -> None:
    good, bad = await pods.run('true', annotations={'hash': '1'}), await pods.run('sh', '-c', 'exit 7')
    assert (good.exit_code, good.reason, good.signal, good.pid) == (0, 'Completed', 0, 0)
    assert (bad.exit_code, bad.reason, bad.signal) == (7, 'Error', 0)
    assert good.annotations == {'hash': '1'}
    assert good.created_at <= good.started_at <= good.finished_at
    assert all(RFC3339_MICRO.fullmatch(at) for at in (good.created_at, good.started_at, good.finished_at))


async def test_death_by_signal_is_128_plus_its_number(pods: Pods) -> None:
    started = await pods.start('sleep', '1000')
    os.kill(started.pid, 9)
    status = await pods.exit_of(started.id)
    assert (status.exit_code, status.signal, status.reason) == (137, 9, 'Error')


@pytest.mark.parametrize(
    ('command', 'message'),
    [
        ('nonsense', 'exec: "nonsense": executable file not found in $PATH'),
        ('/no/such', 'exec: "/no/such": stat /no/such: no such file or directory'),
        ('/etc/passwd', 'exec: "/etc/passwd": permission denied'),
        ('/etc', 'exec: "/etc": is a directory'),
    ],
)
async def test_a_command_that_cannot_start_is_a_start_error_in_words(pods: Pods, command: str, message: str) -> None:
    status = await pods.start(command)
    assert (status.state, status.exit_code, status.reason, status.message) == ('exited', 128, 'StartError', message)
    assert status.started_at == ''


async def test_a_file_of_unknown_format_is_a_start_error(pods: Pods, tmp_path: Path) -> None:
    program = tmp_path / 'program'
    program.write_bytes(b'\x00\x01')
    program.chmod(0o755)
    status = await pods.start(str(program), mounts=(_bind(program),))
    assert (status.reason, status.message) == ('StartError', f'exec {program}: exec format error')


async def test_a_command_is_searched_in_the_containers_own_path(pods: Pods) -> None:
    status = await pods.start('sh', env={'PATH': '/nowhere:/etc'})
    assert status.message == 'exec: "sh": executable file not found in $PATH'


async def test_a_missing_volume_names_itself(pods: Pods) -> None:
    status = await pods.start('true', mounts=(_bind(Path('/no/such/volume')),))
    assert (status.reason, status.message) == (
        'StartError',
        'error during container init: opening the volumes: /no/such/volume: no such file or directory',
    )


async def test_the_termination_log_becomes_the_message(pods: Pods) -> None:
    script = 'echo out of carrots > /dev/termination-log; exit 1'
    status = await pods.run('sh', '-c', script, termination_log='/dev/termination-log', user=1234)
    assert (status.exit_code, status.message) == (1, 'out of carrots\n')


async def test_only_the_end_of_a_long_termination_log_is_kept(pods: Pods) -> None:
    script = 'printf "%05000d" 7 > /dev/termination-log'
    status = await pods.run('sh', '-c', script, termination_log='/dev/termination-log')
    assert status.message == '7'.zfill(4096)


async def test_refusals(pods: Pods) -> None:
    config = ContainerConfig('x', 'pod', 'x', 0, ('true',))._replace

    async def refusal(action: Awaitable[object]) -> str:
        with pytest.raises(CriError) as caught:
            await action
        return caught.value.code

    create = pods.client.create_container
    assert await refusal(create(config(sandbox_id='none'))) == 'NotFound'
    assert await refusal(create(config(argv=()))) == 'InvalidArgument'
    assert await refusal(create(config(id='../x'))) == 'InvalidArgument'
    assert await refusal(create(config(capabilities=('FLY',)))) == 'InvalidArgument'
    assert await refusal(pods.client.start_container('none')) == 'NotFound'
    await create(config())
    assert await refusal(create(config())) == 'AlreadyExists'
    await pods.client.start_container('x')
    assert await refusal(pods.client.start_container('x')) == 'FailedPrecondition'


def _bind(path: Path) -> Mount:
    return Mount(str(path), str(path))
