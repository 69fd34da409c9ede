"""What is mounted on the machine, and which of it a container's root is made of.

A container's mount namespace is a copy of a *template*: a namespace of the server's own that holds the machine's
real file systems and nothing else. A copy of the machine's own table instead would cost every start 2 us per
mount, and each Pod adds one (its network namespace below /run/netns).
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from netkube.runtime import linux

# Kinds without a block device that hold people's files all the same; those with one are in /proc/filesystems.
_SHARES = frozenset(
    {'zfs', 'overlay', 'virtiofs', '9p', 'vboxsf', 'nfs', 'nfs4', 'cifs', 'smb3', 'ceph', 'bcachefs', 'fuse.sshfs'}
)
_CHANGED = select.POLLPRI | select.POLLERR


class MountPoint(NamedTuple):
    """A line of /proc/self/mountinfo, proc_pid_mountinfo(5)."""

    id: int
    parent: int
    path: str
    kind: str
    read_only: bool  # the whole file system, not just this mount
    peers: str = ''  # 'shared:N' and 'master:N', of mount_namespaces(7)


class Layer(NamedTuple):
    """A file system of the machine that a container sees at the same path."""

    path: str
    writable: bool  # into an upper layer of the container's own; otherwise it is seen as it is, read-only


def parse_mountinfo(text: str) -> list[MountPoint]:
    return [_parse_line(line) for line in text.splitlines() if ' - nsfs ' not in line]


def read_mountinfo() -> list[MountPoint]:
    with open('/proc/self/mountinfo', errors='surrogateescape') as file:
        return parse_mountinfo(file.read())


def _parse_line(line: str) -> MountPoint:
    left, _, right = line.partition(' - ')
    fields, kinds = left.split(' '), right.split(' ')
    path = fields[4].encode().decode('unicode_escape').encode('latin-1').decode('utf-8', 'surrogateescape')
    peers = ' '.join(fields[6:])
    return MountPoint(int(fields[0]), int(fields[1]), path, kinds[0], 'ro' in kinds[-1].split(','), peers)


def is_below(path: str, directory: str) -> bool:
    return path != directory and path.startswith(directory.rstrip('/') + '/')


def visible_mounts(
    mounts: Iterable[MountPoint], wanted: Callable[[MountPoint], bool] = lambda mount: True
) -> list[MountPoint]:
    """Those wanted that a path leads to: no other is mounted over them, or over a directory above them."""
    mounts = list(mounts)
    by_id = {mount.id: mount for mount in mounts}
    by_parent: dict[int, list[MountPoint]] = {}
    for mount in mounts:
        by_parent.setdefault(mount.parent, []).append(mount)

    def is_shadowed(mount: MountPoint) -> bool:
        return any(is_below(mount.path, sibling.path) for sibling in by_parent[mount.parent])

    def ancestry(mount: MountPoint | None) -> Iterator[MountPoint]:
        while mount is not None:
            yield mount
            mount = by_id.get(mount.parent)

    def is_visible(mount: MountPoint) -> bool:
        covered = any(child.path == mount.path for child in by_parent.get(mount.id, ()))
        return not covered and not any(map(is_shadowed, ancestry(mount)))

    return [mount for mount in mounts if wanted(mount) and is_visible(mount)]


def real_mounts(mounts: Iterable[MountPoint], kinds: frozenset[str]) -> list[MountPoint]:
    """By path. The root is one, whatever it is."""
    return sorted(visible_mounts(mounts, lambda m: m.kind in kinds or m.path == '/'), key=lambda m: m.path)


def plan_layers(mounts: Iterable[MountPoint], kinds: frozenset[str]) -> list[Layer]:
    """The root first, then every real file system below it, parents before children."""
    below = [Layer(mount.path, not mount.read_only) for mount in real_mounts(mounts, kinds) if mount.path != '/']
    return [Layer('/', True), *below]


def is_on(path: str, mount: MountPoint) -> bool:
    return path == mount.path or is_below(path, mount.path)


class NotShared(OSError):
    """A mount whose file system does not take part in propagation; the message is the kubelet's user's."""


def require_propagation(mounts: Iterable[MountPoint], path: str, *, both_ways: bool) -> None:
    """NotShared, in containerd's words, when nothing that is mounted below ``path`` would get across."""
    path = os.path.realpath(path)
    mount = max(visible_mounts(mounts, lambda m: is_on(path, m)), key=lambda m: len(m.path))
    if 'shared:' in mount.peers or ('master:' in mount.peers and not both_ways):
        return
    kinds = 'a shared' if both_ways else 'a shared or slave'
    raise NotShared(f'path "{path}" is mounted on "{mount.path}" but it is not {kinds} mount')


def real_kinds() -> frozenset[str]:
    with open('/proc/filesystems') as file:
        return _SHARES | {line.strip() for line in file if not line.startswith('nodev')}


class Template(NamedTuple):
    """``namespace`` is a descriptor of the mount namespace to copy."""

    namespace: int
    layers: list[Layer]


class MachineMounts:
    """Keeps the template up to date with the machine's mount table. ``root`` is the runtime's own directory."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._table = os.open('/proc/self/mountinfo', os.O_RDONLY | os.O_CLOEXEC)
        self._own = os.open('/proc/self/ns/mnt', os.O_RDONLY | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._table, select.POLLPRI)
        self._template: Template | None = None
        self._made_of: list[MountPoint] = []

    def template(self) -> Template:
        """Made again when anyone but us has mounted or unmounted something that matters to it."""
        self._forget_if_outdated()
        if self._template is None:
            self._template = self._make()
        return self._template

    def change(self, action: Callable[[], None]) -> None:
        """Runs an action that mounts or unmounts something that no template needs."""
        self._forget_if_outdated()
        try:
            action()
        finally:
            self._has_changed()

    def _has_changed(self) -> bool:
        """Since it was last asked."""
        return any(events & _CHANGED for _, events in self._poll.poll(0))

    def _forget_if_outdated(self) -> None:
        """To read the table costs microseconds a mount, to make a template anew tens of milliseconds."""
        if self._has_changed() and self._template is not None and self._needed(read_mountinfo()) != self._made_of:
            os.close(self._template.namespace)
            self._template = None

    def _needed(self, mounts: list[MountPoint]) -> list[MountPoint]:
        """The mounts of the layers, and the one that the runtime's own directory is on."""
        home = max(visible_mounts(mounts, lambda mount: is_on(self._root, mount)), key=lambda mount: len(mount.path))
        return [home, *real_mounts(mounts, real_kinds())]

    def _make(self) -> Template:
        mounts = read_mountinfo()
        layers = plan_layers(mounts, real_kinds())
        self._made_of = self._needed(mounts)
        linux.unshare(linux.CLONE_NEWNS)
        try:
            namespace = os.open('/proc/self/ns/mnt', os.O_RDONLY | os.O_CLOEXEC)
            linux.mount('', '/', flags=linux.MS_REC | linux.MS_PRIVATE)
            _prune(mounts, {mount.path for mount in self._made_of})
            return Template(namespace, layers)
        finally:
            linux.setns(self._own, linux.CLONE_NEWNS)


def _prune(mounts: list[MountPoint], kept: set[str]) -> None:
    """Unmounts all that is not kept and has nothing kept below it, deepest first."""
    for mount in sorted(mounts, key=lambda mount: len(mount.path), reverse=True):
        if mount.path not in kept and not any(is_below(path, mount.path) for path in kept):
            try:
                linux.umount(mount.path, linux.MNT_DETACH)
            except OSError:
                continue  # no path leads to it; it goes with its parent, or costs a microsecond per start
