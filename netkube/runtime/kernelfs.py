"""What the kernel shows of itself inside a container: /proc, /sys, /dev; and its private /run and /tmp.

The tables are those of containerd (oci/mounts.go, oci/spec.go).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import NamedTuple

from netkube.runtime import linux
from netkube.runtime.rootfs import ensure_target

_SAFE = linux.MS_NOSUID | linux.MS_NOEXEC | linux.MS_NODEV


class FileSystem(NamedTuple):
    path: str
    kind: str
    flags: int
    options: str = ''


FILE_SYSTEMS = (
    FileSystem('/proc', 'proc', _SAFE),
    FileSystem('/sys', 'sysfs', _SAFE | linux.MS_RDONLY),
    FileSystem('/dev', 'tmpfs', linux.MS_NOSUID | linux.MS_STRICTATIME, 'mode=755,size=65536k'),
    FileSystem('/dev/pts', 'devpts', linux.MS_NOSUID | linux.MS_NOEXEC, 'newinstance,ptmxmode=0666,mode=0620,gid=5'),
    FileSystem('/dev/shm', 'tmpfs', _SAFE, 'mode=1777,size=65536k'),
    FileSystem('/dev/mqueue', 'mqueue', _SAFE),
    FileSystem('/run', 'tmpfs', linux.MS_NOSUID | linux.MS_STRICTATIME | linux.MS_NODEV, 'mode=755,size=65536k'),
    FileSystem('/tmp', 'tmpfs', linux.MS_NOSUID | linux.MS_NODEV, 'mode=1777'),
)
CGROUP = FileSystem(  # where the machine has a tree for us: the container sees its own part of it
    '/sys/fs/cgroup', 'cgroup2', _SAFE | linux.MS_RDONLY
)

DEVICES = (('null', 1, 3), ('zero', 1, 5), ('full', 1, 7), ('random', 1, 8), ('urandom', 1, 9), ('tty', 5, 0))
LINKS = (
    ('ptmx', 'pts/ptmx'), ('fd', '/proc/self/fd'), ('core', '/proc/kcore'),
    ('stdin', '/proc/self/fd/0'), ('stdout', '/proc/self/fd/1'), ('stderr', '/proc/self/fd/2'),
)  # fmt: skip

MASKED = (
    '/proc/acpi', '/proc/asound', '/proc/interrupts', '/proc/kcore', '/proc/keys', '/proc/latency_stats',
    '/proc/timer_list', '/proc/timer_stats', '/proc/sched_debug', '/proc/scsi', '/sys/firmware',
    '/sys/devices/virtual/powercap',
)  # fmt: skip
READ_ONLY = ('/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger')


def mount_file_systems(systems: Iterable[FileSystem]) -> None:
    for system in systems:
        if not os.path.isdir(system.path):
            ensure_target(system.path, is_directory=True)
        linux.mount(system.kind, system.path, system.kind, system.flags, system.options)
        if system.path == '/dev':
            _fill_dev()


def _fill_dev() -> None:
    for name, major, minor in DEVICES:
        os.mknod(f'/dev/{name}', stat.S_IFCHR | 0o666, os.makedev(major, minor))
    for name, target in LINKS:
        os.symlink(target, f'/dev/{name}')


class Protection(NamedTuple):
    """Of the paths that tell about, or change, the whole machine: those that this kernel has."""

    masked: tuple[str, ...]
    read_only: tuple[str, ...]


def find_protection() -> Protection:
    return Protection(tuple(filter(os.path.exists, MASKED)), tuple(filter(os.path.exists, READ_ONLY)))


def protect_kernel(protection: Protection) -> None:
    for path in protection.masked:
        cover(path)
    for path in protection.read_only:
        tree = linux.open_tree(path, recursive=True)
        linux.set_read_only(tree)
        linux.attach_tree(tree, path)
        os.close(tree)


def cover(path: str) -> None:
    """Makes a directory or file look empty, and read-only."""
    if os.path.isdir(path):
        linux.mount('tmpfs', path, 'tmpfs', linux.MS_RDONLY, 'size=4k,mode=755')
    else:
        linux.mount('/dev/null', path, flags=linux.MS_BIND)


def hide(path: str) -> None:
    """As ``cover``, but volumes can be mounted below it. What is not there needs no hiding."""
    if os.path.isdir(path):
        linux.mount('tmpfs', path, 'tmpfs', linux.MS_NOSUID | linux.MS_NODEV, 'mode=755')
    elif os.path.exists(path):
        cover(path)
