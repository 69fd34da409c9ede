"""Files of a volume that change all at once, as readers see them.

The files are in a directory with a name of its own, ``..data`` is a link to it, and each file's visible name
a link through ``..data``: one rename of ``..data`` changes them all. Source: kubernetes
pkg/volume/util/atomic_writer.go.
"""

from __future__ import annotations

import os
import shutil
import tempfile
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
    """Make the volume hold exactly the payload; False if it did. ``group`` owns the files and may read them."""
    directory.mkdir(parents=True, exist_ok=True)
    current = directory / DATA
    if current.exists() and _read(current) == {path: file.content for path, file in payload.items()}:
        return False
    old = directory / os.readlink(current) if current.is_symlink() else None
    fresh = Path(tempfile.mkdtemp(prefix=now.strftime('..%Y_%m_%d_%H_%M_%S.'), dir=directory))
    fresh.chmod(0o755)
    for path, file in payload.items():
        _write(fresh / path, file, group)
    (directory / NEW_DATA).unlink(missing_ok=True)
    (directory / NEW_DATA).symlink_to(fresh.name)
    (directory / NEW_DATA).rename(current)
    _show(directory, {path.partition('/')[0] for path in payload})
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
    return True


def _read(directory: Path) -> dict[str, bytes]:
    files = (path for path in Path(directory.resolve()).rglob('*') if path.is_file())
    return {str(path.relative_to(directory.resolve())): path.read_bytes() for path in files}


def _write(path: Path, file: File, group: int | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.content)
    if group is not None or file.uid >= 0:
        os.chown(path, file.uid, -1 if group is None else group)
    path.chmod(file.mode | (0o440 if group is not None else 0))


def _show(directory: Path, names: set[str]) -> None:
    """A link for each name, and none for what is gone."""
    for entry in list(os.scandir(directory)):
        if entry.is_symlink() and not entry.name.startswith('..') and entry.name not in names:
            os.unlink(entry.path)
    for name in names:
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f'{DATA}/{name}')
