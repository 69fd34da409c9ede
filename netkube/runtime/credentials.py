"""Whom a container's process runs as: user, groups, capabilities."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from netkube.runtime import linux
from netkube.runtime.cri import MERGE, ContainerConfig

# By number, linux/capability.h
CAPABILITIES = (
    'CHOWN', 'DAC_OVERRIDE', 'DAC_READ_SEARCH', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'SETPCAP',
    'LINUX_IMMUTABLE', 'NET_BIND_SERVICE', 'NET_BROADCAST', 'NET_ADMIN', 'NET_RAW', 'IPC_LOCK', 'IPC_OWNER',
    'SYS_MODULE', 'SYS_RAWIO', 'SYS_CHROOT', 'SYS_PTRACE', 'SYS_PACCT', 'SYS_ADMIN', 'SYS_BOOT', 'SYS_NICE',
    'SYS_RESOURCE', 'SYS_TIME', 'SYS_TTY_CONFIG', 'MKNOD', 'LEASE', 'AUDIT_WRITE', 'AUDIT_CONTROL', 'SETFCAP',
    'MAC_OVERRIDE', 'MAC_ADMIN', 'SYSLOG', 'WAKE_ALARM', 'BLOCK_SUSPEND', 'AUDIT_READ', 'PERFMON', 'BPF',
    'CHECKPOINT_RESTORE',
)  # fmt: skip

USER = b'user '


class User(NamedTuple):
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def word_of(user: User) -> bytes:
    """What the child says on its channel to the server, before it is that user."""
    return USER + b' '.join(b'%d' % id for id in (user.uid, user.gid, *user.groups))


def capability_bits(names: Iterable[str]) -> int:
    """KeyError names a capability that does not exist."""
    numbers = {name: number for number, name in enumerate(CAPABILITIES)}
    return sum(1 << numbers[name] for name in set(names))


class Rights(NamedTuple):
    """What is left of a container's capabilities, worked out before the fork."""

    permitted: int  # a bit set
    dropped: tuple[int, ...]  # by number, from the bounding set
    no_new_privileges: bool


def plan_rights(config: ContainerConfig, own: int) -> Rights:
    """``own`` are the capabilities that we have, and so can give."""
    wanted = capability_bits(config.capabilities)
    dropped = tuple(number for number in range(len(CAPABILITIES)) if not wanted >> number & 1)
    return Rights(wanted & own, dropped, config.no_new_privileges)


def find_user(config: ContainerConfig) -> User:
    """As the container's own /etc/passwd has it; an unknown uid has group 0 and the home directory /."""
    uid = config.user or 0
    name, gid, home = _passwd_entry(uid)
    if config.group is not None:
        gid = config.group
    merged = _groups_of(name) if name and config.supplemental_groups_policy == MERGE else ()
    return User(uid, gid, tuple(dict.fromkeys((gid, *merged, *config.supplemental_groups))), home)


def _passwd_entry(uid: int) -> tuple[bytes, int, str]:
    """The first line of the uid's. Bytes, since a text file's decoder would be 100 page faults of a new child."""
    for line in _read('/etc/passwd').split(b'\n'):
        fields = line.split(b':')
        if len(fields) >= 6 and fields[2] == b'%d' % uid:
            return fields[0], int(fields[3]), os.fsdecode(fields[5]) or '/'
    return b'', 0, '/'


def _groups_of(name: bytes) -> list[int]:
    """Those that /etc/group says the user is a member of; a line that is none is passed over."""
    found = []
    for line in _read('/etc/group').split(b'\n'):
        rest, _, members = line.rpartition(b':')
        if members and name in members.split(b','):
            gid = rest.rpartition(b':')[2]
            if gid.isdigit():
                found.append(int(gid))
    return found


def _read(path: str) -> bytes:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b''  # a root without users
    try:
        return os.read(file, os.fstat(file).st_size)
    finally:
        os.close(file)


def read_filter(config: ContainerConfig) -> bytes:
    """Of system calls, while the machine's files are in sight; b'' is none."""
    if not config.seccomp:
        return b''
    file = os.open(config.seccomp, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, os.fstat(file).st_size)
    finally:
        os.close(file)


def become(user: User, rights: Rights, program: bytes = b'') -> None:
    """For good: a capability that is not in the bounding set cannot come back through any exec.

    ``program`` filters system calls. Without no_new_privs it takes a capability to set it, so it comes before those
    are given up; with it, it comes last: as in runc.
    """
    linux.join_new_session_keyring()  # ours holds what belongs to who has started us
    if program and not rights.no_new_privileges:
        linux.set_seccomp_filter(program)
    for number in rights.dropped:
        _drop(number)
    linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_CLEAR_ALL)
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    if user.uid == 0:
        linux.capset(rights.permitted)
    if rights.no_new_privileges:
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    linux.prctl(linux.PR_SET_PDEATHSIG, linux.SIGKILL)  # late, since a change of user clears it
    if program and rights.no_new_privileges:
        linux.set_seccomp_filter(program)


def _drop(number: int) -> None:
    try:
        linux.prctl(linux.PR_CAPBSET_DROP, number)
    except OSError as error:
        if error.errno != linux.EINVAL:  # an older kernel does not know the newest capabilities
            raise
