"""Environment variables out of a file that another container of the Pod has written (KEP-3721).

The file is a Pod's: it is read in a thread, its first MiB at most, and links to it stay in the volume.
"""

from __future__ import annotations

import ctypes
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from netkube.api.meta import Object

Files = Mapping[tuple[str, str], str | None]
"""Volume and path -> text; None where there is no such file, or none that can be read."""

MOST = 1 << 20  # bytes
SYS_OPENAT2, RESOLVE_IN_ROOT, SIZE_OF_HOW = 437, 0x10, 24
FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_libc = ctypes.CDLL(None, use_errno=True)

VARIABLE = re.compile(
    r"""[ \t]*(?:
        (?:\#[^\n]*)?(?:\n|\Z)                                        # a comment, or nothing
        | (?P<name>[^=\s\#][^=\s]*)=(?P<value>'[^']*'(?=[ \t]*(?:\#|\n|\Z))|(?=[ \t]|\n|\Z))[^\n]*(?:\n|\Z)
    )""",
    re.VERBOSE,
)


class EnvFileError(ValueError):
    """The text is not a list of ``NAME='value'``."""


def find_variable(text: str, key: str) -> str | None:
    """The value of the first with that name; what comes after it is not looked at.

    Values stand in single quotes, over several lines if need be; nothing in them is special. A blank after the ``=``
    is an empty value, as in a shell. Source: kubernetes pkg/kubelet/util/env.
    """
    position = 0
    while position < len(text):
        match = VARIABLE.match(text, position)
        if match is None:
            raise EnvFileError(f'invalid environment variable format at line {text.count(chr(10), 0, position) + 1}')
        if match['name'] == key:
            return match['value'].strip("'")
        position = match.end()
    return None


def references(container: Object) -> Iterator[Object]:
    for variable in container.get('env') or ():
        if reference := (variable.get('valueFrom') or {}).get('fileKeyRef'):
            yield reference


def read_files(container: Object, volumes: Mapping[str, Path]) -> Files:
    """Blocking. Those that the container's variables name; of volumes that the Pod has."""
    wanted = {(each['volumeName'], each['path']) for each in references(container)}
    return {(name, path): _read(volumes[name], path) for name, path in wanted if name in volumes}


def _read(volume: Path, path: str) -> str | None:
    try:
        file = _open_below(volume, path)
    except OSError:
        return None
    with os.fdopen(file, 'rb') as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        return opened.read(MOST).decode(errors='surrogateescape')


def _open_below(directory: Path, path: str) -> int:
    """Links lead nowhere out of the directory, even if they change meanwhile (openat2, Linux 5.6)."""
    root = os.open(directory, os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        how = b''.join(value.to_bytes(8, sys.byteorder) for value in (FLAGS, 0, RESOLVE_IN_ROOT))
        file = int(_libc.syscall(SYS_OPENAT2, root, os.fsencode(path), how, ctypes.c_size_t(SIZE_OF_HOW)))
    finally:
        os.close(root)
    if file < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    return file
