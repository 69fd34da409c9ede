"""Whom a container's process runs as: user, groups, capabilities."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from netkube.runtime import linux
from netkube.runtime.cri import ContainerConfig

# By number, linux/capability.h
CAPABILITIES = (
    'CHOWN', 'DAC_OVERRIDE', 'DAC_READ_SEARCH', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'SETPCAP',
    'LINUX_IMMUTABLE', 'NET_BIND_SERVICE', 'NET_BROADCAST', 'NET_ADMIN', 'NET_RAW', 'IPC_LOCK', 'IPC_OWNER',
    'SYS_MODULE', 'SYS_RAWIO', 'SYS_CHROOT', 'SYS_PTRACE', 'SYS_PACCT', 'SYS_ADMIN', 'SYS_BOOT', 'SYS_NICE',
    'SYS_RESOURCE', 'SYS_TIME', 'SYS_TTY_CONFIG', 'MKNOD', 'LEASE', 'AUDIT_WRITE', 'AUDIT_CONTROL', 'SETFCAP',
    'MAC_OVERRIDE', 'MAC_ADMIN', 'SYSLOG', 'WAKE_ALARM', 'BLOCK_SUSPEND', 'AUDIT_READ', 'PERFMON', 'BPF',
    'CHECKPOINT_RESTORE',
)  # fmt: skip


class User(NamedTuple):
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def capability_bits(names: Iterable[str]) -> int:
    """KeyError names a capability that does not exist."""
    numbers = {name: number for number, name in enumerate(CAPABILITIES)}
    return sum(1 << numbers[name] for name in set(names))


def find_user(config: ContainerConfig) -> User:
    """As the container's own /etc/passwd has it; an unknown uid has group 0 and the home directory /."""
    uid = config.user or 0
    gid, home = _passwd_entry(uid)
    if config.group is not None:
        gid = config.group
    return User(uid, gid, tuple(dict.fromkeys((gid, *config.supplemental_groups))), home)


def _passwd_entry(uid: int) -> tuple[int, str]:
    try:
        with open('/etc/passwd', errors='surrogateescape') as file:
            for line in file:
                fields = line.rstrip('\n').split(':')
                if len(fields) >= 6 and fields[2] == str(uid):
                    return int(fields[3]), fields[5] or '/'
    except FileNotFoundError:
        pass  # a root without users: every uid is unknown
    return 0, '/'


def become(user: User, config: ContainerConfig) -> None:
    """For good: a capability that is not in the bounding set cannot come back through any exec."""
    wanted = capability_bits(config.capabilities)
    _drop_bounding_set(wanted)
    linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_CLEAR_ALL)
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    if user.uid == 0:
        linux.capset(wanted & linux.permitted_capabilities())
    if config.no_new_privileges:
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)


def _drop_bounding_set(kept: int) -> None:
    for number in range(len(CAPABILITIES)):
        if not kept >> number & 1:
            try:
                linux.prctl(linux.PR_CAPBSET_DROP, number)
            except OSError as error:
                if error.errno != linux.EINVAL:  # an older kernel does not know the newest capabilities
                    raise
