"""Network namespaces by name, and threads that live in one.

A namespace is kept by a bind mount of its nsfs file at ``/run/netns/NAME``, iproute2's own convention, so ``ip
netns exec NAME ...`` works. Unlike ``ip netns add`` nothing else is mounted: after ``delete`` the mount table
is what it was before ``create``.

The network namespace is a property of a *thread*. What a thread opens (sockets, ``/proc/sys/net``) belongs to the
namespace it was in at that moment, and sockets stay there for good.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec('P')
T = TypeVar('T')

FOLDER = Path('/run/netns')
CURRENT = '/proc/thread-self/ns/net'

CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
MNT_DETACH = 2
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
FLAGS = struct.Struct('16sh22x')  # struct ifreq: name, flags

_libc = ctypes.CDLL(None, use_errno=True)


def setns(namespace: int) -> None:
    """Move the calling thread into the network namespace of this file descriptor. (os.setns came with 3.12.)"""
    _check(_libc.setns(namespace, CLONE_NEWNET), 'setns')


def unshare() -> None:
    """Move the calling thread into a new, empty network namespace."""
    _check(_libc.unshare(CLONE_NEWNET), 'unshare')


def path_of(name: str) -> Path:
    return FOLDER / name


def create(name: str) -> None:
    """A new network namespace with ``lo`` up, kept until ``delete``. FileExistsError if the name is taken.

    Without ``lo`` the kernel has no local routing table, and binding to an address that is not there yet
    (IP_FREEBIND) forgets the address: it takes any for a broadcast one (inet_addr_type).

    A plain file of that name, left by a crash between its creation and the mount, is taken over.
    """
    if exists(name):
        raise FileExistsError(errno.EEXIST, 'network namespace exists', str(path_of(name)))
    FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
    path_of(name).touch(mode=0o444)
    try:
        with _back_again():
            unshare()
            _raise_loopback()
            _mount(CURRENT, path_of(name))
    except OSError:
        path_of(name).unlink()
        raise


def ensure(name: str) -> None:
    """The namespace exists."""
    if not exists(name):
        create(name)


def delete(name: str) -> None:
    """The name is gone. The kernel frees the namespace, in its own time, when its last process and socket have gone."""
    path = os.fsencode(path_of(name))
    while _libc.umount2(path, MNT_DETACH) == 0:  # several mounts, if somebody stacked them
        pass
    if ctypes.get_errno() not in (errno.EINVAL, errno.ENOENT):  # not a mount (any more); absent
        _check(-1, f'unmount {path_of(name)}')
    path_of(name).unlink(missing_ok=True)


def exists(name: str) -> bool:
    """A network namespace is kept under the name (a leftover plain file does not count)."""
    try:
        return path_of(name).stat().st_dev == os.stat(CURRENT).st_dev
    except FileNotFoundError:
        return False


def list_names(prefix: str = '') -> list[str]:
    """The names that exist, leftover plain files included, so that whoever cleans up finds those too."""
    try:
        return sorted(entry.name for entry in os.scandir(FOLDER) if entry.name.startswith(prefix))
    except FileNotFoundError:
        return []


def open_namespace(name: str | None) -> int:
    """A file descriptor of the namespace, for ``setns`` and netlink; None is the calling thread's own.

    FileNotFoundError if there is none; the caller closes it.
    """
    if name is None:
        return os.open(CURRENT, os.O_RDONLY | os.O_CLOEXEC)
    if not exists(name):
        raise FileNotFoundError(errno.ENOENT, 'no such network namespace', str(path_of(name)))
    return os.open(path_of(name), os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def opened(name: str | None) -> Iterator[int]:
    """``open_namespace``, closed at the end."""
    namespace = open_namespace(name)
    try:
        yield namespace
    finally:
        os.close(namespace)


@contextmanager
def inside(namespace: int) -> Iterator[None]:
    """The calling thread is in the namespace (a file descriptor) and then back. Never ``await`` in there."""
    with _back_again():
        setns(namespace)
        yield


def socket_in(
    namespace: str | None, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM, protocol: int = 0
) -> socket.socket:
    """A non-blocking socket that lives in the namespace, for asyncio: bind or connect it from anywhere."""
    with opened(namespace) as file, inside(file):
        made = socket.socket(family, kind, protocol)
    made.setblocking(False)
    return made


class NamespaceThread:
    """One worker thread that lives in a network namespace for good; None is the one the process is in.

    It moves there when it is first used, so the namespace may be made after the object. Calls run one after
    another, in order.
    """

    def __init__(self, name: str | None) -> None:
        self.name = name
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f'netns {name or "machine"}')
        self._local = threading.local()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result or exception. FileNotFoundError if the namespace does not exist."""
        call = partial(self._call, function, *args, **kwargs)
        import asyncio  # 65 ms, which the command line does not have to pay

        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    def close(self) -> None:
        """End the thread after the calls that were made, without waiting for it; it lets go of the namespace."""
        self._executor.shutdown(wait=False)

    async def closed(self) -> None:
        """``close``, and wait for the thread's end."""
        import asyncio

        await asyncio.get_running_loop().run_in_executor(None, self._executor.shutdown)

    def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if not getattr(self._local, 'entered', self.name is None):
            with opened(self.name) as namespace:
                setns(namespace)
            self._local.entered = True
        return function(*args, **kwargs)


@contextmanager
def _back_again() -> Iterator[None]:
    with opened(None) as origin:
        try:
            yield
        finally:
            setns(origin)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as request:
        flags = FLAGS.unpack(fcntl.ioctl(request, SIOCGIFFLAGS, FLAGS.pack(b'lo', 0)))[1]
        fcntl.ioctl(request, SIOCSIFFLAGS, FLAGS.pack(b'lo', flags | IFF_UP))


def _mount(source: str, target: Path) -> None:
    _check(_libc.mount(os.fsencode(source), os.fsencode(target), None, MS_BIND, None), f'keep {target}')


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f'{what}: {os.strerror(number)}')
