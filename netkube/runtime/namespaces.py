"""What the containers of a Pod share beside the network: IPC and UTS namespaces, and /dev/shm.

The namespaces have no names: they are kept by the server's descriptors and by the processes in them, so nothing of
them outlives both. Our process is single-threaded, and makes them by entering new ones and going back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from netkube.runtime import kernelfs, linux, netns, rootfs
from netkube.runtime.cri import POD, SandboxConfig


class Namespaces(NamedTuple):
    """Descriptors; -1 stands for the machine's own."""

    ipc: int
    uts: int

    def close(self) -> None:
        for fd in self:
            if fd >= 0:
                os.close(fd)


class NamespaceMaker:
    """Of Pods' namespaces."""

    def __init__(self) -> None:
        self._own = Namespaces(_open('ipc'), _open('uts'))
        self._sysctls = netns.Sysctls()

    def make(self, config: SandboxConfig) -> Namespaces:
        """With its network namespace, if that is its own. Nothing is left when the kernel refuses (OSError)."""
        wanted = config.namespaces
        linux.unshare(linux.CLONE_NEWUTS | (linux.CLONE_NEWIPC if wanted.ipc == POD else 0))
        try:
            if config.hostname:
                linux.sethostname(config.hostname)
            if wanted.network == POD:
                netns.create(config.netns, config.sysctls, self._sysctls)
            else:
                self._sysctls.write(config.sysctls)
            return Namespaces(_open('ipc') if wanted.ipc == POD else -1, _open('uts'))
        finally:
            linux.setns(self._own.ipc, linux.CLONE_NEWIPC)
            linux.setns(self._own.uts, linux.CLONE_NEWUTS)


def _open(kind: str) -> int:
    return os.open(f'/proc/self/ns/{kind}', os.O_RDONLY | os.O_CLOEXEC)


class SharedMemory:
    """The /dev/shm of every Pod, each a tmpfs, in a mount namespace of ours that holds nothing else.

    Any namespace with more in it would have more to copy at the start of each container.
    """

    def __init__(self, place: str) -> None:
        """``place`` is any directory."""
        self._own = _open('mnt')
        linux.unshare(linux.CLONE_NEWNS)
        try:
            self.namespace = _open('mnt')
            linux.mount('', '/', flags=linux.MS_REC | linux.MS_PRIVATE)
            linux.mount('tmpfs', place, 'tmpfs', 0, 'mode=700')
            rootfs.enter_root(place)
        finally:
            linux.setns(self._own, linux.CLONE_NEWNS)

    def create(self, id: str) -> None:
        with self._entered():
            os.mkdir(f'/{id}')
            memory = kernelfs.SHARED_MEMORY
            linux.mount(memory.kind, f'/{id}', memory.kind, memory.flags, memory.options)

    def delete(self, id: str) -> None:
        with self._entered():
            linux.umount(f'/{id}', linux.MNT_DETACH)
            os.rmdir(f'/{id}')

    @contextmanager
    def _entered(self) -> Iterator[None]:
        linux.setns(self.namespace, linux.CLONE_NEWNS)
        try:
            yield
        finally:
            linux.setns(self._own, linux.CLONE_NEWNS)


def open_shared_memory(store: int, name: str) -> int:
    """For a child: a detached copy of what is to be its /dev/shm, the machine's if ``name`` is ''.

    It may be in the namespace ``store`` afterwards.
    """
    if not name:
        return linux.open_tree(kernelfs.SHM, recursive=False)
    linux.setns(store, linux.CLONE_NEWNS)
    return linux.open_tree(f'/{name}', recursive=False)
