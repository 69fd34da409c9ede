"""A sandbox's network namespace, pinned by a bind mount at /run/netns/NAME as ip-netns(8) does.

Our process is single-threaded, so it makes a namespace by entering a new one and going back.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Mapping

from netkube.runtime import linux
from netkube.runtime.cri import DEFAULT_SYSCTLS

DIRECTORY = '/run/netns'
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_SHARED_BY = 8  # namespaces use one procfs


def path_of(name: str) -> str:
    return f'{DIRECTORY}/{name}'


def create(name: str, sysctls: Mapping[str, str], writer: Sysctls) -> None:
    """A namespace of this name with ``lo`` up. FileExistsError when the name is taken."""
    _create_file(path_of(name))
    own = os.open('/proc/self/ns/net', os.O_RDONLY | os.O_CLOEXEC)
    try:
        linux.unshare(linux.CLONE_NEWNET)
        _await_routing_lock()
        writer.write(sysctls)
        _set_loopback(_IFF_UP)
        linux.mount('/proc/self/ns/net', path_of(name), flags=linux.MS_BIND)
    except OSError:
        os.unlink(path_of(name))
        raise
    finally:
        linux.setns(own, linux.CLONE_NEWNET)
        os.close(own)


def _create_file(path: str) -> None:
    flags = os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        os.close(os.open(path, flags, 0o444))
    except FileNotFoundError:
        os.makedirs(DIRECTORY, exist_ok=True)
        os.close(os.open(path, flags, 0o444))


def delete(name: str) -> None:
    """Unpins it; it ends with the last process in it. One that is gone already is no error."""
    try:
        linux.umount(path_of(name), linux.MNT_DETACH)
    except OSError as error:
        if error.errno not in (linux.EINVAL, linux.ENOENT):  # EINVAL: the file is there, but nothing mounted on it
            raise
    try:
        os.unlink(path_of(name))
    except FileNotFoundError:
        return


class Sysctls:
    """Writes those of the namespaces that we are in.

    Through a procfs of its own: in a shared one the kernel's dentry cache chains up the files of all namespaces. With
    1,000 of them their look-up would take 1.8 ms instead of 0.2. A new one is made for every few namespaces, since that
    takes 0.2 ms, too.
    """

    def __init__(self) -> None:
        self._proc, self._uses = -1, 0

    def write(self, sysctls: Mapping[str, str]) -> None:
        proc = self._file_system()
        for name, value in sysctls.items():
            try:
                _write(f'sys/{name.replace(".", "/")}', value, proc)
            except FileNotFoundError:
                if name not in DEFAULT_SYSCTLS:  # those are for the modules that happen to be loaded
                    raise

    def _file_system(self) -> int:
        if self._uses % _SHARED_BY == 0:
            new = linux.new_file_system('proc')
            if self._proc >= 0:
                os.close(self._proc)
            self._proc = new
        self._uses += 1
        return self._proc


def _write(path: str, text: str, directory: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def _await_routing_lock() -> None:
    """Sleeps until nobody has the kernel's RTNL lock: changing nothing about ``lo`` takes it.

    Writing disable_ipv6 only tries to take it, and tries again, up to 1 ms of processor time while others' links are
    made (Linux addrconf_disable_ipv6, restart_syscall).
    """
    _set_loopback(0)


def _set_loopback(flags: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as request:
        fcntl.ioctl(request, _SIOCSIFFLAGS, struct.pack('16sh22x', b'lo', flags))
