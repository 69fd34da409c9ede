"""Privileged containers, and filters of system calls."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from conftest import Pods

from netkube.runtime.credentials import CAPABILITIES

# arch-independent enough: load the number, compare, EPERM or allow (linux/filter.h, linux/seccomp.h)
LOAD_NUMBER, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ERRNO, ALLOW = 0x00050000, 0x7FFF0000
MKDIR = {'x86_64': (83, 258)}.get(os.uname().machine, (34,))  # mkdir and mkdirat


def refusing(*numbers: int) -> bytes:
    """A filter that answers these system calls with EPERM."""
    compare = [(JUMP_EQUAL, len(numbers) - n, 0, number) for n, number in enumerate(numbers)]
    program = [(LOAD_NUMBER, 0, 0, 0), *compare, (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, ERRNO | 1)]
    return b''.join(struct.pack('HBBI', *instruction) for instruction in program)


async def test_a_privileged_container_has_all_capabilities_and_the_machines_devices(pods: Pods) -> None:
    script = 'grep CapEff /proc/self/status; find /dev -xdev \\( -type c -o -type b \\) -printf "%p %y %l\\n" | wc -l'
    usual = (await pods.sh(script)).split()
    all_of_it = (await pods.sh(script, privileged=True, capabilities=CAPABILITIES)).split()
    own = Path('/proc/self/status').read_text()
    assert f'CapEff:\t{all_of_it[1]}' in own and all_of_it[1] != usual[1]
    assert int(usual[2]) == 6 < int(all_of_it[2])


async def test_kernel_files_are_writable_and_not_masked_in_a_privileged_container_only(pods: Pods) -> None:
    script = """
        for path in /proc/sys/net/core/somaxconn /sys/class/net/lo/ifalias; do
            test -w $path && echo writable || echo read-only
        done
        grep -q CPU0 /proc/interrupts && echo seen || echo masked
    """
    usual = await pods.sh(script)
    assert usual.split() == ['read-only', 'read-only', 'masked']
    privileged = await pods.sh(script, privileged=True, capabilities=CAPABILITIES)
    assert privileged.split() == ['writable', 'writable', 'seen']
    assert await pods.sh(script) == usual


async def test_a_privileged_container_may_mount(pods: Pods) -> None:
    script = 'mkdir /m; mount -t tmpfs none /m 2>/dev/null && echo yes || echo no'
    assert await pods.sh(script) == 'no\n'
    assert await pods.sh(script, privileged=True, capabilities=CAPABILITIES) == 'yes\n'


async def test_a_filter_of_system_calls(pods: Pods, tmp_path: Path) -> None:
    (tmp_path / 'filter').write_bytes(refusing(*MKDIR))
    script = 'mkdir /made 2>&1 || true; grep -E "^(Seccomp|NoNewPrivs):" /proc/self/status | tr "\\t" " "'
    for no_new_privileges in (False, True):
        answer = await pods.sh(script, seccomp=str(tmp_path / 'filter'), no_new_privileges=no_new_privileges)
        assert answer.splitlines() == [
            "mkdir: cannot create directory '/made': Operation not permitted",
            f'NoNewPrivs: {no_new_privileges:d}',
            'Seccomp: 2',
        ]
    assert 'Seccomp: 0' in await pods.sh(script)


async def test_the_filter_is_there_for_who_is_not_root_and_for_exec(pods: Pods, tmp_path: Path) -> None:
    (tmp_path / 'filter').write_bytes(refusing(*MKDIR))
    container = await pods.start('sleep', '9', seccomp=str(tmp_path / 'filter'), user=1000)
    code, _, errors = await pods.client.exec_sync(container.id, ['mkdir', '/tmp/made'])
    assert (code, errors) == (1, b"mkdir: cannot create directory '/tmp/made': Operation not permitted\n")


async def test_a_filter_that_is_not_there_is_a_start_error(pods: Pods, tmp_path: Path) -> None:
    status = await pods.run('true', seccomp=str(tmp_path / 'none'))
    assert status.reason == 'StartError' and 'none: no such file or directory' in status.message
