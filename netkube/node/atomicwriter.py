"""Files of a volume that change all at once, as readers see them.

The files are in a directory with a name of its own, ``..data`` is a link to it, and each file's visible name
a link through ``..data``: one rename of ``..data`` changes them all. Source: kubernetes
pkg/volume/util/atomic_writer.go.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

DATA, NEW_DATA = '..data', '..data_tmp'


class File(NamedTuple):
    content: bytes
    mode: int
    uid: int = -1  # -1 is root


Payload = Mapping[str, File]  # by path inside the volume: relative, without '..'


def write_payload(directory: Path, payload: Payload, now: datetime, *, group: int | None = None) -> bool:
    """Make the volume hold exactly the payload; False if it did. ``group`` owns the files and may read them.

    Every Pod has such a volume, hence plain system calls.
    """
    root = str(directory)
    os.makedirs(root, exist_ok=True)
    current = f'{root}/{DATA}'
    old = os.readlink(current) if os.path.islink(current) else ''
    if old and _read(f'{root}/{old}') == {path: file.content for path, file in payload.items()}:
        return False
    fresh = _make_fresh(root, now)
    try:
        for path, file in payload.items():
            if '/' in path:
                os.makedirs(os.path.dirname(f'{root}/{fresh}/{path}'), exist_ok=True)
            _write(f'{root}/{fresh}/{path}', file, group)
    except OSError:  # a full disk, which must not be filled with one try after the other
        shutil.rmtree(f'{root}/{fresh}', ignore_errors=True)
        raise
    _replace_link(fresh, current, f'{root}/{NEW_DATA}')
    _show(root, {path.partition('/')[0] for path in payload})
    if old:
        shutil.rmtree(f'{root}/{old}', ignore_errors=True)
    return True


def _replace_link(target: str, link: str, beside: str) -> None:
    try:
        os.symlink(target, beside)
    except FileExistsError:  # a daemon was killed here
        os.unlink(beside)
        os.symlink(target, beside)
    os.rename(beside, link)


def _make_fresh(root: str, now: datetime) -> str:
    """A new directory in ``root``; its name."""
    prefix = now.strftime('..%Y_%m_%d_%H_%M_%S')
    while True:
        name = f'{prefix}.{random.randrange(1 << 32)}'
        with contextlib.suppress(FileExistsError):
            os.mkdir(f'{root}/{name}')
            os.chmod(f'{root}/{name}', 0o755)
            return name


def _read(directory: str) -> dict[str, bytes]:
    files = (path for path in Path(directory).rglob('*') if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def _write(path: str, file: File, group: int | None) -> None:
    """Nobody else may read it before it is theirs."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, 'wb', buffering=0) as opened:
        opened.write(file.content)
        if group is not None or file.uid >= 0:
            os.fchown(descriptor, file.uid, -1 if group is None else group)
        os.fchmod(descriptor, file.mode | (0o440 if group is not None else 0))


def _show(root: str, names: set[str]) -> None:
    """A link for each name, and none for what is gone."""
    links = {entry.name for entry in os.scandir(root) if entry.is_symlink() and not entry.name.startswith('..')}
    for name in links - names:
        os.unlink(f'{root}/{name}')
    for name in names - links:
        os.symlink(f'{DATA}/{name}', f'{root}/{name}')
