"""What the machine is and how it does: read from /proc, /sys and /etc. All functions block."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import msgspec

# The kubelet's default eviction thresholds (hard)
MEMORY_AVAILABLE = 100 * 1024**2
DISK_AVAILABLE = 0.10
PIDS_AVAILABLE = 0.05


class MachineInfo(msgspec.Struct, frozen=True):
    cpus: int
    memory: int  # bytes
    swap: int  # bytes
    disk: int  # bytes, of the file system that the cluster's state is on
    kernel: str
    os_image: str
    architecture: str  # Go's name
    machine_id: str
    system_uuid: str
    boot_id: str


class Pressure(msgspec.Struct, frozen=True):
    memory: bool
    disk: bool
    pids: bool


def read_machine_info(state_dir: Path) -> MachineInfo:
    uname = platform.uname()
    machine_id = _first_line('/etc/machine-id')
    return MachineInfo(
        cpus=len(os.sched_getaffinity(0)),
        memory=_meminfo('MemTotal'),
        swap=_meminfo('SwapTotal'),
        disk=shutil.disk_usage(_existing(state_dir)).total,
        kernel=uname.release,
        os_image=_os_image(),
        architecture={'x86_64': 'amd64', 'aarch64': 'arm64'}.get(uname.machine, uname.machine),
        machine_id=machine_id,
        system_uuid=_first_line('/sys/class/dmi/id/product_uuid') or machine_id,
        boot_id=_first_line('/proc/sys/kernel/random/boot_id'),
    )


def read_pressure(state_dir: Path) -> Pressure:
    disk = os.statvfs(_existing(state_dir))
    running = int(_first_line('/proc/loadavg').split()[3].partition('/')[2])
    most = int(_first_line('/proc/sys/kernel/pid_max'))
    return Pressure(
        memory=_meminfo('MemAvailable') < MEMORY_AVAILABLE,
        disk=disk.f_bavail < disk.f_blocks * DISK_AVAILABLE,
        pids=most - running < most * PIDS_AVAILABLE,
    )


def _existing(directory: Path) -> Path:
    """It, or the nearest above it that is there."""
    return next(path for path in (directory, *directory.parents) if path.exists())


def _first_line(path: str) -> str:
    """'' where the machine has no such file (a container has no DMI, a minimal system no machine-id)."""
    try:
        return Path(path).read_text().partition('\n')[0].strip()
    except OSError:
        return ''


def _meminfo(name: str) -> int:
    """In bytes."""
    for line in Path('/proc/meminfo').read_text().splitlines():
        key, _, value = line.partition(':')
        if key == name:
            return int(value.split()[0]) * 1024
    raise KeyError(name)


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release()['PRETTY_NAME']
    except (OSError, KeyError):
        return 'Linux'
