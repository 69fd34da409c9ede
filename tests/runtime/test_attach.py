"""Clients at the streams of a container's own process."""

from __future__ import annotations

import asyncio

import pytest
from conftest import Pods

from netkube.runtime.attachment import MAX_UNSENT
from netkube.runtime.cri import CriError
from netkube.runtime.session import STDERR, STDOUT, ExecSession
from netkube.testing import eventually


async def read_until(session: ExecSession, text: bytes, errors: bytes = b'') -> None:
    """Until both streams, whichever is first, have shown that."""
    seen = {STDOUT: b'', STDERR: b''}
    async with asyncio.timeout(60):
        while text not in seen[STDOUT] or errors not in seen[STDERR]:
            output = await session.read()
            assert output, f'ended with {seen!r}'
            seen[output[0]] += output[1]


async def test_output_goes_to_the_log_and_to_every_client(pods: Pods) -> None:
    id = (await pods.start('sh', '-c', 'read go; echo out; echo err >&2; read go', stdin=True)).id
    first, second = await pods.client.attach(id, stdin=True), await pods.client.attach(id)
    await first.write_stdin(b'go\n')
    for session in (first, second):
        await read_until(session, b'out\n', b'err\n')
    await first.write_stdin(b'go\n')
    assert await second.read() is None
    assert await second.exit_code() == 0
    assert sorted(pods.output(id).split()) == ['err', 'out']
    await first.close()
    await second.close()


async def test_a_client_that_goes_leaves_the_container_and_its_stdin(pods: Pods) -> None:
    id = (await pods.start('cat', stdin=True)).id
    for text in (b'one\n', b'two\n'):
        session = await pods.client.attach(id, stdin=True)
        await session.write_stdin(text)
        await read_until(session, text)
        await session.close()
    assert pods.output(id) == 'one\ntwo\n'


async def test_stdin_once_ends_with_the_first_client(pods: Pods) -> None:
    id = (await pods.start('cat', stdin=True, stdin_once=True)).id
    first, second = await pods.client.attach(id, stdin=True), await pods.client.attach(id, stdin=True)
    await second.write_stdin(b'nobody reads this\n')
    await first.write_stdin(b'text\n')
    await first.close_stdin()
    assert (await pods.exit_of(id)).exit_code == 0
    assert pods.output(id) == 'text\n'
    await first.close()
    await second.close()


async def test_a_client_that_does_not_read_is_cut_off_and_the_container_goes_on(pods: Pods) -> None:
    size = 4 * MAX_UNSENT
    id = (await pods.start('sh', '-c', f'read go; head -c {size} /dev/zero | tr "\\0" x; echo', stdin=True)).id
    session = await pods.client.attach(id, stdin=True)
    await session.write_stdin(b'go\n')
    assert (await pods.exit_of(id)).exit_code == 0
    await eventually(lambda: len(pods.output(id)) == size + 1)
    received = 0
    while (output := await session.read()) is not None:
        received += len(output[1])
    assert 0 < received < size
    await session.close()


async def test_a_terminal(pods: Pods) -> None:
    script = 'tty; while [ "$(stty size)" = "0 0" ]; do :; done; stty size; echo $TERM; read x; echo "got $x"'
    id = (await pods.start('sh', '-c', script, stdin=True, tty=True)).id
    session = await pods.client.attach(id, stdin=True)
    await session.resize(77, 33)
    await read_until(session, b'33 77\r\nxterm\r\n')
    await session.write_stdin(b'it\n')
    await read_until(session, b'got it\r\n')
    assert (await pods.exit_of(id)).exit_code == 0
    assert pods.output(id).splitlines()[0].startswith('/dev/pts/')
    await session.close()


async def test_a_container_that_does_not_run(pods: Pods) -> None:
    id = (await pods.run('true')).id
    with pytest.raises(CriError, match='is not running'):
        await pods.client.attach(id)
