"""Every pytest process lives on a machine of its own: new network, mount, IPC and UTS namespaces.

So tests may make links, rules and namespaces as they like; nothing of it is the real machine's, and all of it
goes with the process.
"""

from __future__ import annotations

import ctypes
import os
import subprocess

import pytest
from hypothesis import HealthCheck, settings

# The same examples each time, however slow the machine is: what has passed does not fail by chance. Others are looked
# for where nobody waits for the answer: HYPOTHESIS_PROFILE=default, scripts/nightly.
settings.register_profile('same', deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE', 'same'))

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWNET = 0x20000, 0x4000000, 0x8000000, 0x40000000


def pytest_configure(config: pytest.Config) -> None:
    if os.geteuid() != 0:
        raise pytest.UsageError('the tests need root: they make namespaces of their own (sudo scripts/test)')
    is_xdist_controller = getattr(config.option, 'numprocesses', None) and not hasattr(config, 'workerinput')
    if is_xdist_controller:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), 'unshare')
    for command in (
        ('mount', '--make-rprivate', '/'),
        ('mount', '-t', 'tmpfs', 'tmpfs', '/run'),
        ('mount', '-t', 'tmpfs', 'tmpfs', '/var/lib'),
        ('ip', 'link', 'set', 'lo', 'up'),
    ):
        subprocess.run(command, check=True)
