"""The newest kernel of this machine's distribution, with its modules: downloaded and unpacked, never installed."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

METAPACKAGES = {'debian': 'linux-image-amd64', 'ubuntu': 'linux-image-generic'}
PART = re.compile(r'linux-(image|modules|modules-extra)-\d\S*')  # Ubuntu has its modules in packages of their own
PATIENCE = 300  # seconds, of apt for one server


class NoKernel(Exception):
    """It cannot be had; the text says why."""


class Kernel(NamedTuple):
    """``root`` holds boot/ and lib/modules/, as the machine's root would."""

    release: str
    root: Path

    @property
    def image(self) -> Path:
        return self.root / f'boot/vmlinuz-{self.release}'


def find_kernel(cache: Path) -> Kernel:
    """From the cache, which keeps one; downloaded when the distribution has a newer one. NoKernel."""
    metapackage = metapackage_of(platform.freedesktop_os_release())
    folder = folder_of(parts_of(metapackage))
    if folder is None or not (cache / folder).is_dir():
        try:
            folder = download(metapackage, cache)
        except NoKernel as error:
            older = sorted(path.name for path in cache.glob('linux-image-*'))
            if not older:
                raise
            folder = older[-1]
            print(f'test-vm: {error}; using {folder}, which was here before', file=sys.stderr)
    return Kernel(folder.removeprefix('linux-image-').split('_')[0], cache / folder)


def metapackage_of(system: dict[str, str]) -> str:
    """By /etc/os-release."""
    names = [system['ID'], *system.get('ID_LIKE', '').split()]
    for name in names:
        if name in METAPACKAGES:
            return METAPACKAGES[name]
    raise NoKernel(f'it knows the kernels of {" and ".join(METAPACKAGES)}, and this is {names[0]}')


def parts_of(metapackage: str) -> dict[str, str]:
    """Package -> the name of its file, with the version, as far as the package lists tell; the image comes first."""
    listed = output('apt-cache', 'depends', '--recurse', '--important', metapackage)
    packages = sorted(set(filter(PART.fullmatch, listed.split())))
    if not packages:
        return {}
    files = [line.split()[1] for line in output('apt-get', 'download', '--print-uris', *packages).splitlines()]
    return {file.split('_')[0]: file for file in files}


def folder_of(parts: dict[str, str]) -> str | None:
    return min(parts.values()).rpartition('_')[0] if parts else None


def download(metapackage: str, cache: Path) -> str:
    """The name of the folder it is in then, below ``cache``."""
    print('test-vm: downloading the kernel of the distribution', file=sys.stderr)
    patient = ('-o', f'Acquire::http::Timeout={PATIENCE}', '-o', 'Acquire::Retries=3', '-o', 'APT::Sandbox::User=root')
    apt('apt-get', 'update', '-qq', *patient)
    parts = parts_of(metapackage)
    folder = folder_of(parts)
    if not folder:
        raise NoKernel(f'the package lists of this machine have no {metapackage}')
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix='new-') as scratch:
        apt('apt-get', 'download', '-qq', *patient, *parts, cwd=scratch)
        root = Path(scratch) / 'root'
        for package in sorted(Path(scratch).glob('*.deb')):
            run('dpkg-deb', '-x', str(package), str(root))
        join_modules(root)
        run('depmod', '-b', str(root), folder.removeprefix('linux-image-').split('_')[0])
        for older in cache.glob('linux-image-*'):
            shutil.rmtree(older)
        root.chmod(0o755)
        root.rename(cache / folder)
    return folder


def join_modules(root: Path) -> None:
    """Packages have lib/modules or usr/lib/modules, and kmod looks in one of them: both lead to the same."""
    paths = root / 'lib/modules', root / 'usr/lib/modules'
    (there,) = (path for path in paths if path.is_dir())
    (missing,) = (path for path in paths if path != there)
    missing.parent.mkdir(parents=True, exist_ok=True)
    missing.symlink_to(Path('../' * (len(missing.relative_to(root).parts) - 1)) / there.relative_to(root))


def apt(*command: str, cwd: str | None = None) -> None:
    try:
        run(*command, cwd=cwd)
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ['it does not say why']
        raise NoKernel(f'{" ".join(command[:2])} fails: {lines[-1]}') from error


def run(*command: str, cwd: str | None = None) -> None:
    subprocess.run(command, cwd=cwd, check=True, text=True, capture_output=True)


def output(*command: str) -> str:
    """'' when it fails: the package lists may not be there yet."""
    return subprocess.run(command, text=True, capture_output=True).stdout
