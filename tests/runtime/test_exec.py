"""Commands beside a container's own process."""

from __future__ import annotations

import asyncio
import os

import pytest
from conftest import Pods

from netkube.runtime.cri import CriError
from netkube.runtime.session import STDERR, STDOUT, ExecSession


@pytest.fixture
async def container(pods: Pods) -> str:
    return (await pods.start('sleep', '1000', env={'COLOUR': 'grey'}, working_dir='/srv')).id


async def read_all(session: ExecSession) -> dict[int, bytes]:
    outputs = {STDOUT: b'', STDERR: b''}
    while (output := await session.read()) is not None:
        outputs[output[0]] += output[1]
    return outputs


async def test_runs_in_the_containers_place(pods: Pods, container: str) -> None:
    namespaces_of_both = 'readlink /proc/1/ns/* /proc/self/ns/* | sort -u | wc -l'
    script = f'echo $COLOUR; pwd; hostname; id -u; cat /proc/1/comm; {namespaces_of_both}'
    code, stdout, stderr = await pods.client.exec_sync(container, ['sh', '-c', script])
    namespaces = len(os.listdir('/proc/self/ns')) - 2  # pid and time are listed twice: for_children
    assert (code, stdout.decode(), stderr) == (0, f'grey\n/srv\npod\n0\nsleep\n{namespaces}\n', b'')


async def test_has_the_containers_rights_and_cgroup(pods: Pods, container: str) -> None:
    script = ['sh', '-c', 'grep CapBnd /proc/self/status; [ "$(cat /proc/1/cgroup)" = "$(cat /proc/self/cgroup)" ]']
    assert await pods.client.exec_sync(container, script) == (0, b'CapBnd:\t00000000a80425fb\n', b'')


async def test_streams_and_code_are_kept_apart(pods: Pods, container: str) -> None:
    result = await pods.client.exec_sync(container, ['sh', '-c', 'echo out; echo err >&2; exit 3'])
    assert result == (3, b'out\n', b'err\n')


async def test_death_by_signal(pods: Pods, container: str) -> None:
    code, _, _ = await pods.client.exec_sync(container, ['sh', '-c', 'kill -9 $$'])
    assert code == 137


@pytest.mark.parametrize(
    ('command', 'code', 'why'),
    [
        ('nonsense', 127, 'exec: "nonsense": executable file not found in $PATH'),
        ('/etc/passwd', 126, 'exec: "/etc/passwd": permission denied'),
    ],
)
async def test_a_command_that_cannot_start(pods: Pods, container: str, command: str, code: int, why: str) -> None:
    expected = (code, b'', f'exec failed: unable to start container process: {why}\n'.encode())
    assert await pods.client.exec_sync(container, [command]) == expected


async def test_reads_stdin_to_its_end(pods: Pods, container: str) -> None:
    session = await pods.client.exec(container, ['sort'], stdin=True)
    data = b''.join(b'%07d\n' % number for number in reversed(range(40_000)))
    writing = asyncio.create_task(_write(session, data))  # more than a pipe holds
    outputs = await read_all(session)
    await writing
    assert outputs[STDOUT].splitlines() == sorted(data.splitlines())
    assert await session.exit_code() == 0
    await session.close()


async def _write(session: ExecSession, data: bytes) -> None:
    await session.write_stdin(data)
    await session.close_stdin()


async def test_a_command_that_does_not_read_its_stdin_is_no_error(pods: Pods, container: str) -> None:
    session = await pods.client.exec(container, ['true'], stdin=True)
    assert await session.exit_code() == 0
    await session.write_stdin(b'x' * 1_000_000)
    await session.close()


async def test_without_stdin_it_reads_nothing(pods: Pods, container: str) -> None:
    assert await pods.client.exec_sync(container, ['cat']) == (0, b'', b'')


async def test_a_terminal(pods: Pods, container: str) -> None:
    session = await pods.client.exec(container, ['sh'], stdin=True, tty=True)
    await session.resize(132, 43)
    await session.write_stdin(b'tty; stty size; echo $TERM; stty -echo; exit 9\n')
    output = (await read_all(session))[STDOUT].replace(b'\r\n', b'\n')
    assert b'/dev/pts/0\n43 132\nxterm\n' in output
    assert await session.exit_code() == 9
    await session.close()


async def test_ctrl_c_in_a_terminal(pods: Pods, container: str) -> None:
    session = await pods.client.exec(container, ['sleep', '1000'], stdin=True, tty=True)
    await session.write_stdin(b'\x03')
    assert await session.exit_code() == 130
    await session.close()


async def test_a_command_that_takes_too_long_is_killed(pods: Pods, container: str) -> None:
    with pytest.raises(TimeoutError):
        await pods.client.exec_sync(container, ['sh', '-c', 'sleep 1000; true'], timeout=0.1)
    await _only_its_own_sleep_runs(pods, container)


async def test_closing_a_session_ends_its_command(pods: Pods, container: str) -> None:
    session = await pods.client.exec(container, ['sleep', '1000'])
    await session.close()
    await _only_its_own_sleep_runs(pods, container)


async def _only_its_own_sleep_runs(pods: Pods, container: str) -> None:
    """Others may be zombies: the container's pid 1 does not reap, as few do."""
    script = 'until [ "$(ps -C sleep -o stat= | grep -vc Z)" = 1 ]; do :; done'
    assert await pods.client.exec_sync(container, ['sh', '-c', script], timeout=60) == (0, b'', b'')


async def test_commands_end_with_their_container(pods: Pods, container: str) -> None:
    session = await pods.client.exec(container, ['sleep', '1000'])
    await pods.client.stop_container(container, 0)
    assert await session.exit_code() == 137
    assert (await pods.exit_of(container)).exit_code == 137
    await session.close()


async def test_many_at_once(pods: Pods, container: str) -> None:
    runs = [pods.client.exec_sync(container, ['echo', str(number)]) for number in range(20)]
    assert [stdout for _, stdout, _ in await asyncio.gather(*runs)] == [b'%d\n' % number for number in range(20)]


async def test_a_container_that_does_not_run(pods: Pods) -> None:
    ended = await pods.run('true')
    with pytest.raises(CriError, match='is not running'):
        await pods.client.exec_sync(ended.id, ['true'])
    with pytest.raises(CriError, match='there is no container'):
        await pods.client.exec_sync('none', ['true'])


async def test_no_descriptors_are_left(pods: Pods, container: str) -> None:
    def open_now() -> tuple[int, int]:
        return len(os.listdir('/proc/self/fd')), len(os.listdir(f'/proc/{pods.server.process.pid}/fd'))

    async def use() -> None:
        await pods.client.exec_sync(container, ['sh', '-c', 'echo x; nonsense'])
        await pods.run('true')
        await pods.run('nonsense')

    await use()
    before = open_now()
    for _ in range(5):
        await use()
    async with asyncio.timeout(60):
        while open_now() > before:
            await pods.client.version()
