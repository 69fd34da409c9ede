"""hostPath: a file or directory of the machine, which has to be what ``type`` says.

Its file system may be any, also one that does not answer. Source: kubernetes pkg/volume/hostpath.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from netkube.api.meta import Object
from netkube.client.kubelet import words_of
from netkube.node.hostfiles import HostFiles, NotAnswering


class NotAsWanted(Exception):
    """The path is not of its type; the message says what it is not."""


def host_paths(pod: Object) -> list[Object]:
    return [volume for volume in pod['spec'].get('volumes') or () if 'hostPath' in volume]


async def check_host_paths(pod: Object, files: HostFiles) -> str:
    """Each is there, made where its type says so; or else why not, as the kubelet says it."""
    for volume in host_paths(pod):
        try:
            await files.run(volume['hostPath']['path'], lambda volume=volume: _check(volume))  # type: ignore[misc]
        except OSError as error:
            why = f'{error.filename or volume["hostPath"]["path"]}: {words_of(error)}'
        except (NotAnswering, NotAsWanted) as error:
            why = str(error)
        else:
            continue
        return f'MountVolume.SetUp failed for volume "{volume["name"]}" : {why}'
    return ''


def _check(volume: Object) -> None:
    path, wanted = Path(volume['hostPath']['path']), volume['hostPath'].get('type') or ''
    if wanted == 'DirectoryOrCreate':
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
    elif wanted == 'FileOrCreate' and not path.exists():
        path.touch(mode=0o644)
    elif wanted == '' and not path.exists():
        path.mkdir(mode=0o755, parents=True)  # as container runtimes do for the source of a bind mount
    else:
        words, test = TYPES.get(wanted, ('', os.path.exists))
        if not test(path):
            raise NotAsWanted(f'hostPath type check failed: {path} is not a {words}')


def _is_mode(test: Any) -> Any:
    return lambda path: os.path.exists(path) and test(os.stat(path).st_mode)


TYPES: dict[str, tuple[str, Any]] = {
    'Directory': ('directory', os.path.isdir),
    'DirectoryOrCreate': ('directory', os.path.isdir),
    'File': ('file', os.path.isfile),
    'FileOrCreate': ('file', os.path.isfile),
    'Socket': ('socket file', _is_mode(stat.S_ISSOCK)),
    'CharDevice': ('character device', _is_mode(stat.S_ISCHR)),
    'BlockDevice': ('block device', _is_mode(stat.S_ISBLK)),
}
