"""System calls that Python's standard library lacks (``os.setns`` and ``os.unshare`` came with 3.12).

Each raises OSError with the call's errno. Numbers from linux/sched.h, mount.h, prctl.h and capability.h; those of
the system calls made by number are the same on every architecture, but for the oldest ones: ``OLD_CALLS``.
"""

from __future__ import annotations

import ctypes
import os
import struct
from errno import EINVAL as EINVAL
from errno import ENOENT as ENOENT
from errno import ENOSYS
from signal import SIGKILL as SIGKILL

CLONE_PARENT = 0x00008000
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_CLEAR_SIGHAND = 0x1_00000000
CLONE_INTO_CGROUP = 0x2_00000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, MS_STRICTATIME = 1 << 5, 1 << 12, 1 << 14, 1 << 18, 1 << 24
MS_SLAVE, MS_SHARED = 1 << 19, 1 << 20
MNT_DETACH = 2

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 1, 4, 24, 38, 47
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
PR_CAP_AMBIENT_CLEAR_ALL = 4

_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_CLONE3, _SYS_MOUNT_SETATTR = 428, 429, 435, 442
_SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT, _SYS_CLOSE_RANGE, _SYS_OPENAT2 = 430, 431, 432, 436, 437
_RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x04, 0x08
CALLS_OF_MACHINES = {  # by uname -m
    'x86_64': {'add_key': 248, 'keyctl': 250, 'bpf': 321},
    'aarch64': {'add_key': 217, 'keyctl': 219, 'bpf': 280},
    'riscv64': {'add_key': 217, 'keyctl': 219, 'bpf': 280},
    'ppc64le': {'add_key': 269, 'keyctl': 271, 'bpf': 361},
}
OLD_CALLS = CALLS_OF_MACHINES.get(os.uname().machine, {})
_KEYCTL_JOIN_SESSION_KEYRING = 1
_CLOEXEC, _FSCONFIG_CMD_CREATE = 1, 6  # of fsopen and fsmount
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE, _AT_SYMLINK_NOFOLLOW = -100, 0x1000, 0x8000, 0x100
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NODEV = 1, 4
_LINUX_CAPABILITY_VERSION_3 = 0x20080522
_INSTRUCTION_BYTES = 8  # struct sock_filter

_libc = ctypes.CDLL(None, use_errno=True)
_SIG_IGN = ctypes.c_void_p(1)
_libc.prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
# ctypes looks a function up when it is first used. In a new child that would be 20 page faults each time.
for _name in ('capset', 'mount', 'pivot_root', 'setns', 'signal', 'syscall', 'umount2', 'unshare'):
    getattr(_libc, _name)
_clone3 = ctypes.PyDLL(None, use_errno=True).syscall  # PyDLL: keeping the GIL


def _check(result: int, path: str = '') -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path) if path else OSError(number, os.strerror(number))
    return result


def _text(value: str) -> bytes | None:
    return os.fsencode(value) if value else None


def setns(fd: int, kinds: int) -> None:
    """``fd`` is of a namespace, or a pidfd (Linux 5.8) whose namespaces of ``kinds`` are entered."""
    _check(_libc.setns(fd, kinds))


def unshare(kinds: int) -> None:
    _check(_libc.unshare(kinds))


def fork_sibling(kinds: int, cgroup: int) -> int:
    """``os.fork`` of a child of our parent's, into new namespaces of ``kinds`` and into the cgroup of this descriptor.

    The cgroup is ours if that is -1. Joining one in the child instead may wait 10 ms for an RCU grace period. The
    child starts with default signal actions, except those that are ignored. Linux 5.7.

    Only for a process of one thread, and a child that soon executes a program: what Python does after a fork for the
    sake of other threads (PyOS_AfterFork_Child) is left out, with its 25 page faults.
    """
    flags = kinds | CLONE_PARENT | CLONE_CLEAR_SIGHAND | (CLONE_INTO_CGROUP if cgroup >= 0 else 0)
    arguments = struct.pack('11Q', flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, max(cgroup, 0))
    return _check(_clone3(_SYS_CLONE3, arguments, ctypes.c_size_t(len(arguments))))


def mount(source: str, target: str, kind: str = '', flags: int = 0, options: str = '') -> None:
    result = _libc.mount(_text(source), _text(target), _text(kind), ctypes.c_ulong(flags), _text(options))
    _check(result, target)


def umount(target: str, flags: int = 0) -> None:
    _check(_libc.umount2(_text(target), flags), target)


def new_file_system(kind: str) -> int:
    """A detached mount of a new file system, which ends with the descriptor (Linux 5.2)."""
    context = _check(_libc.syscall(_SYS_FSOPEN, _text(kind), _CLOEXEC), kind)
    try:
        _check(_libc.syscall(_SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0), kind)
        return _check(_libc.syscall(_SYS_FSMOUNT, context, _CLOEXEC, 0), kind)
    finally:
        os.close(context)


def pivot_root(new_root: str, old_root: str) -> None:
    _check(_libc.pivot_root(_text(new_root), _text(old_root)), new_root)


def open_tree(path: str, recursive: bool, at: int = _AT_FDCWD) -> int:
    """A detached copy of the mount at ``path`` (Linux 5.2), with what is mounted below it if ``recursive``.

    A ``path`` of '' is where the descriptor ``at`` leads.
    """
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    flags |= 0 if path else _AT_EMPTY_PATH
    return _check(_libc.syscall(_SYS_OPEN_TREE, at, os.fsencode(path), ctypes.c_uint(flags)), path)


def open_beneath(directory: int, path: str) -> int:
    """An O_PATH descriptor of what is there without a symbolic link or a '..' on the way (openat2(2), Linux 5.6)."""
    how = struct.pack('QQQ', os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH)
    return _check(_libc.syscall(_SYS_OPENAT2, directory, os.fsencode(path), how, ctypes.c_size_t(len(how))), path)


def set_attributes(tree: int, *, read_only: bool = False, no_devices: bool = False, propagation: int = 0) -> None:
    """Of a tree of mounts (Linux 5.12); ``propagation`` is one of MS_PRIVATE, MS_SLAVE, MS_SHARED, or 0 to keep it."""
    flags = (_MOUNT_ATTR_RDONLY if read_only else 0) | (_MOUNT_ATTR_NODEV if no_devices else 0)
    attributes = struct.pack('QQQQ', flags, 0, propagation, 0)
    where = ctypes.c_uint(_AT_EMPTY_PATH | _AT_RECURSIVE)
    _check(_libc.syscall(_SYS_MOUNT_SETATTR, tree, b'', where, attributes, ctypes.c_size_t(len(attributes))))


def attach_tree(tree: int, target: str) -> None:
    """Mounts a detached tree on ``target``."""
    flags = ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH)
    _check(_libc.syscall(_SYS_MOVE_MOUNT, tree, b'', _AT_FDCWD, _text(target), flags), target)


def prctl(option: int, argument: int = 0) -> None:
    _check(_libc.prctl(option, argument, 0, 0, 0))


def set_seccomp_filter(program: bytes) -> None:
    """``program`` is an array of struct sock_filter. Needs CAP_SYS_ADMIN, or no_new_privs."""
    code = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack('@HP', len(program) // _INSTRUCTION_BYTES, ctypes.addressof(code)))
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(header), 0, 0))


def capset(permitted: int) -> None:
    """Sets the permitted and effective capabilities to this bit set, and the inheritable ones to none."""
    header = struct.pack('Ii', _LINUX_CAPABILITY_VERSION_3, 0)
    low, high = permitted & 0xFFFFFFFF, permitted >> 32
    _check(_libc.capset(header, struct.pack('6I', low, low, 0, high, high, 0)))


def call(name: str, *arguments: object) -> int:
    """One of OLD_CALLS; ENOSYS on a machine that is not in the table."""
    return _check(int(_libc.syscall(OLD_CALLS.get(name, -1), *arguments)), name)


def join_new_session_keyring() -> None:
    """That has no name, so that nobody else can join it. A kernel without keys needs none (keyctl(2))."""
    try:
        call('keyctl', _KEYCTL_JOIN_SESSION_KEYRING, None)
    except OSError as error:
        if error.errno != ENOSYS:
            raise


def permitted_capabilities() -> int:
    """Of the calling process, as a bit set."""
    header, data = struct.pack('Ii', _LINUX_CAPABILITY_VERSION_3, 0), ctypes.create_string_buffer(24)
    _check(_libc.capget(header, data))
    _, low, _, _, high, _ = struct.unpack('6I', data.raw)
    return int(high << 32 | low)


def default_signal(number: int) -> None:
    """Beside Python's own record of handlers, so only for a child that is about to execute another program."""
    _libc.signal(number, None)


def ignore_signal(number: int) -> None:
    """As ``default_signal``."""
    _libc.signal(number, _SIG_IGN)


def close_range(first: int, last: int = 0xFFFFFFFF) -> None:
    """Closes these descriptors, where open (Linux 5.9)."""
    if first <= last:
        _check(_libc.syscall(_SYS_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(last), 0))


def sethostname(name: str) -> None:
    encoded = os.fsencode(name)
    _check(_libc.sethostname(encoded, ctypes.c_size_t(len(encoded))))
