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
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def path_of(name: str) -> str:
    return f'{DIRECTORY}/{name}'


def create(name: str, sysctls: Mapping[str, str]) -> None:
    """A namespace of this name with ``lo`` up. FileExistsError when the name is taken."""
    os.makedirs(DIRECTORY, exist_ok=True)
    os.close(os.open(path_of(name), os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444))
    own = os.open('/proc/self/ns/net', os.O_RDONLY | os.O_CLOEXEC)
    try:
        linux.unshare(linux.CLONE_NEWNET)
        write_sysctls(sysctls)
        _raise_loopback()
        linux.mount('/proc/self/ns/net', path_of(name), flags=linux.MS_BIND)
    except OSError:
        os.unlink(path_of(name))
        raise
    finally:
        linux.setns(own, linux.CLONE_NEWNET)
        os.close(own)


def delete(name: str) -> None:
    """Unpins it; it ends with the last process in it. One that is gone already is no error."""
    try:
        linux.umount(path_of(name), linux.MNT_DETACH)
    except OSError as error:
        if error.errno not in (linux.EINVAL, linux.ENOENT):  # EINVAL: the file is there, but nothing mounted on it
            raise
    if os.path.exists(path_of(name)):
        os.unlink(path_of(name))


def write_sysctls(sysctls: Mapping[str, str]) -> None:
    """In the namespaces that we are in."""
    for name, value in sysctls.items():
        try:
            with open('/proc/sys/' + name.replace('.', '/'), 'w') as file:
                file.write(value)
        except FileNotFoundError:
            if name not in DEFAULT_SYSCTLS:  # those are for the modules that happen to be loaded
                raise


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as request:
        answer = fcntl.ioctl(request, _SIOCGIFFLAGS, struct.pack('16sh22x', b'lo', 0))
        flags = struct.unpack('16sh22x', answer)[1] | _IFF_UP
        fcntl.ioctl(request, _SIOCSIFFLAGS, struct.pack('16sh22x', b'lo', flags))
