"""The profile RuntimeDefault: what the container runtimes' own default refuses, kept as the table of exceptions.

What is in neither table is allowed, up to the newest system call that the tables have been compared with. Source: the
documentation of Docker's default profile ("Significant syscalls blocked by the default profile"); compared with all of
github.com/moby/profiles by tests/node/test_seccompdefault.py. containerd's differs from that by what it allows more or
less: io_uring, every family of sockets; not name_to_handle_at, pkey_*, process_vm_*.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

ENOSYS = 38
PRIVATE = 0xF0000  # of ARM, from here on
NEW_NAMESPACES = 0x7E020000  # the CLONE_NEW* flags but CLONE_NEWTIME, which unshare takes only
NEWEST_COMPARED = 466  # removexattrat; above 402 the numbers are the same on all architectures
# Of those below AF_XDP + 2: DECnet, Econet, ATMSVC, IrDA, WANPIPE, IUCV, CAIF, AF_ALG (the kernel's ciphers), and
# AF_VSOCK, which knows no network namespaces.
SOCKETS_REFUSED, SOCKETS_END = frozenset((12, 19, 20, 23, 25, 34, 37, 38, 40)), 46
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)  # Linux, 32 bits, their uname26; the last one asks

REFUSED = frozenset((
    '_sysctl', 'add_key', 'afs_syscall', 'bdflush', 'break', 'create_module', 'ftime', 'get_kernel_syms',
    'get_tls', 'getpmsg', 'gtty', 'idle', 'io_uring_enter', 'io_uring_register', 'io_uring_setup', 'kexec_file_load',
    'kexec_load', 'keyctl', 'lock', 'migrate_pages', 'move_pages', 'mpx', 'nfsservctl', 'nice', 'oldfstat', 'oldlstat',
    'oldolduname', 'oldstat', 'olduname',
    'pciconfig_iobase', 'pciconfig_read', 'pciconfig_write', 'pivot_root', 'prof', 'profil', 'putpmsg',
    'query_module', 'readdir', 'request_key', 'security', 'sgetmask', 'sigaction', 'signal', 'sigpending', 'sigsuspend',
    'ssetmask', 'stty', 'swapoff', 'swapon', 'sysfs', 'tuxcall', 'ulimit', 'uprobe', 'uselib', 'userfaultfd', 'usr26',
    'usr32', 'ustat', 'vm86', 'vm86old', 'vserver',
))  # fmt: skip

# Each needs one of these capabilities.
CAPABILITIES_OF: dict[str, tuple[str, ...]] = {
    name: capabilities
    for names, capabilities in (
        ('open_by_handle_at', ('DAC_READ_SEARCH',)),
        ('lsm_get_self_attr lsm_list_modules lsm_set_self_attr', ('SYS_ADMIN',)),
        ('fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount', ('SYS_ADMIN',)),
        ('open_tree quotactl quotactl_fd setdomainname sethostname setns umount umount2 unshare', ('SYS_ADMIN',)),
        ('bpf', ('SYS_ADMIN', 'BPF')),
        ('perf_event_open', ('SYS_ADMIN', 'PERFMON')),
        ('syslog', ('SYS_ADMIN', 'SYSLOG')),
        ('reboot', ('SYS_BOOT',)),
        ('chroot', ('SYS_CHROOT',)),
        ('delete_module init_module finit_module', ('SYS_MODULE',)),
        ('acct', ('SYS_PACCT',)),
        ('kcmp pidfd_getfd process_madvise', ('SYS_PTRACE',)),
        ('iopl ioperm', ('SYS_RAWIO',)),
        ('settimeofday stime clock_settime clock_settime64', ('SYS_TIME',)),
        ('vhangup', ('SYS_TTY_CONFIG',)),
        ('get_mempolicy mbind set_mempolicy set_mempolicy_home_node', ('SYS_NICE',)),
    )
    for name in names.split()
}


def default_profile(known: Mapping[str, int], capabilities: Collection[str]) -> dict[str, Any]:
    """In OCI's form. ``known`` are the system calls that there are, by number; any other one fails with EPERM."""
    conditional = {'personality', 'socket', 'clone', 'clone3'}
    refused = {name for name, needed in CAPABILITIES_OF.items() if not {*needed} & {*capabilities}}
    newer = {name for name, number in known.items() if NEWEST_COMPARED < number < PRIVATE}
    rules = [_allow(sorted({*known} - REFUSED - refused - conditional - newer)), _no_such(sorted(newer))]
    rules += [_allow(['personality'], _argument(0, 'SCMP_CMP_EQ', value)) for value in PERSONALITIES]
    first = min(SOCKETS_REFUSED)
    rules.append(_allow(['socket'], _argument(0, 'SCMP_CMP_LT', first)))
    others = sorted({*range(first, SOCKETS_END)} - SOCKETS_REFUSED)
    rules += [_allow(['socket'], _argument(0, 'SCMP_CMP_EQ', family)) for family in others]
    if 'SYS_ADMIN' in capabilities:
        rules.append(_allow(['clone', 'clone3']))
    else:  # clone3 keeps its flags in memory, where no filter sees them; without it, libraries take clone
        rules.append(_allow(['clone'], _argument(0, 'SCMP_CMP_MASKED_EQ', NEW_NAMESPACES)))
        rules.append(_no_such(['clone3']))
    return {'defaultAction': 'SCMP_ACT_ERRNO', 'syscalls': rules}


def _allow(names: list[str], *args: dict[str, Any]) -> dict[str, Any]:
    return {'names': names, 'action': 'SCMP_ACT_ALLOW', 'args': list(args)}


def _no_such(names: list[str]) -> dict[str, Any]:
    """Programs do without them then."""
    return {'names': names, 'action': 'SCMP_ACT_ERRNO', 'errnoRet': ENOSYS}


def _argument(index: int, operation: str, value: int) -> dict[str, Any]:
    """With SCMP_CMP_MASKED_EQ, ``value`` is the mask, and what it leaves must be 0."""
    return {'index': index, 'op': operation, 'value': value, 'valueTwo': 0}
