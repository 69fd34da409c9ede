"""emptyDir: a directory of the Pod's on disk, or with medium Memory a tmpfs of its own.

The tmpfs are mounts of the machine, found again by their paths: they outlive daemon and runtime. Source: kubernetes
pkg/volume/emptydir/empty_dir.go; KEP-1967 for their size, KEP-5502 for the mode.
"""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

from netkube.api.meta import Object
from netkube.api.quantity import parse_quantity
from netkube.node.localstorage import limit_of, pod_limit
from netkube.node.podspec import all_containers

MEMORY, HUGE_PAGES = 'Memory', 'HugePages'
ANYBODY = 0o777
SHARED_WITH_GROUP = 0o2770  # what an fsGroup adds


def refusal(source: Object) -> str:
    """Why there cannot be such a volume; '' for one that can be."""
    medium = source.get('medium') or ''
    if medium in ('', MEMORY):
        return ''
    if medium.startswith(HUGE_PAGES):
        return f'netkube has no volumes of medium {medium} yet'
    return f'unknown storage medium "{medium}"'


def make_empty_dir(source: Object, directory: Path, pod: Object) -> None:
    """Blocking. One that is there stays as it is."""
    in_memory = source.get('medium') == MEMORY
    if os.path.ismount(directory) if in_memory else directory.is_dir():
        return
    directory.mkdir(parents=True, exist_ok=in_memory)
    if in_memory:
        from netkube.runtime import linux  # few need it

        linux.mount('tmpfs', str(directory), 'tmpfs', options=f'size={memory_size(source, pod, _machine_memory())}')
    group = (pod['spec'].get('securityContext') or {}).get('fsGroup')
    if group is not None:
        os.chown(directory, -1, group)
    mode = source.get('mode')
    directory.chmod((ANYBODY if mode is None else mode) | (0 if group is None else SHARED_WITH_GROUP))


def memory_size(source: Object, pod: Object, machine: int) -> int:
    """Bytes: the least of sizeLimit, the Pod's limit of memory (if all of it is limited), and what the machine has."""
    wanted = [parse_quantity(source.get('sizeLimit') or '0'), _memory_limit(pod)]
    return int(min((size for size in wanted if size > 0), default=machine))


def _memory_limit(pod: Object) -> Decimal:
    """0 is none (ResourceConfigForPod)."""
    own = limit_of(pod['spec'], 'memory')
    is_limited = own or all(limit_of(container, 'memory') for container in all_containers(pod))
    return parse_quantity((own or pod_limit(pod, 'memory')) if is_limited else '0')


def _machine_memory() -> int:
    return os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')


def unmount_volumes(directory: Path) -> None:
    """Blocking. Every tmpfs of ours at or below this directory is gone; it may be missing."""
    from netkube.runtime import linux
    from netkube.runtime.mounts import is_below, read_mountinfo

    for mount in read_mountinfo():
        if mount.kind == 'tmpfs' and is_below(mount.path, str(directory)):
            linux.umount(mount.path, linux.MNT_DETACH)
