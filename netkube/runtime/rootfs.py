"""A container's root: the machine's file systems below private upper layers."""

from __future__ import annotations

import os

from netkube.runtime import linux
from netkube.runtime.mounts import Layer, is_below


def mount_root(layers: list[Layer], hidden: tuple[str, ...], directory: str, target: str) -> None:
    """Mounts all layers at ``target``, with upper layers in ``directory``. The umask has to be 0.

    Where that directory's file system cannot hold upper layers (it is itself an overlay, as in a Docker
    container), they are kept in memory.
    """
    root, *others = layers
    os.chdir(directory)
    try:
        _mount_overlay(root.path, target, 0)
    except OSError:
        linux.mount('tmpfs', directory, 'tmpfs', linux.MS_NOSUID, 'mode=700')
        os.chdir(directory)
        _mount_overlay(root.path, target, 0)
    for number, layer in enumerate(others, 1):
        if not any(layer.path == path or is_below(layer.path, path) for path in hidden):
            _mount_layer(layer, target + layer.path, number)


def _mount_layer(layer: Layer, target: str, number: int) -> None:
    is_directory = os.path.isdir(layer.path)
    ensure_target(target, is_directory)
    if not (layer.writable and is_directory):
        return _mount_read_only(layer.path, target)
    try:
        _mount_overlay(layer.path, target, number)
    except OSError:  # a kind that cannot be a lower layer, such as vfat: seen as it is
        _mount_read_only(layer.path, target)


def _mount_overlay(lower: str, target: str, number: int) -> None:
    """With upper layer and work directory in the current one.

    Relative paths in the options, so that no character of a path needs to be escaped there. ``volatile`` (Linux
    5.10), because nothing in a layer that goes with its container is worth waiting for the disk, least of all the
    sync of the whole file system that unmounting would do.
    """
    like = os.stat(lower)
    upper, work = f'upper{number}', f'work{number}'
    os.mkdir(upper, like.st_mode & 0o7777)  # the root of an overlay looks like its upper layer
    os.mkdir(work, 0o700)
    if (like.st_uid, like.st_gid) != (0, 0):
        os.chown(upper, like.st_uid, like.st_gid)
    options = f'lowerdir={_escape(lower)},upperdir={upper},workdir={work},index=off,volatile'
    linux.mount('overlay', target, 'overlay', 0, options)


def _escape(lower: str) -> str:
    """A backslash keeps overlayfs from splitting at a colon, mount(2) from splitting at a comma."""
    return ''.join('\\' + character if character in '\\:,' else character for character in lower)


def _mount_read_only(source: str, target: str) -> None:
    tree = linux.open_tree(source, recursive=False)
    linux.set_attributes(tree, read_only=True)
    linux.attach_tree(tree, target)
    os.close(tree)


def ensure_target(path: str, is_directory: bool) -> None:
    """Makes what is missing of the place to mount on."""
    if is_directory:
        os.makedirs(path, exist_ok=True)
    elif not os.path.lexists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))


def enter_root(target: str) -> None:
    """Makes ``target`` the root, and forgets the old one (pivot_root(2), "pivot_root(".", ".")")."""
    os.chdir(target)
    linux.pivot_root('.', '.')
    linux.umount('.', linux.MNT_DETACH)
    os.chdir('/')
