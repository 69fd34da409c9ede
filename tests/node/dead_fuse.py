"""A FUSE file system that was mounted, and never answers again. include/uapi/linux/fuse.h"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netkube.runtime import linux

DEVICE = Path('/dev/fuse')
HEADER_IN, HEADER_OUT = struct.Struct('=IIQQIIIHH'), struct.Struct('=IiQ')
INIT_OUT = struct.Struct('=IIIIHHIIHHI28x')  # major, minor, read ahead, flags, background, congested, write, ...
READ = 1 << 20


def is_there() -> bool:
    with open('/proc/filesystems') as kinds:
        return DEVICE.exists() and any(line.split()[-1] == 'fuse' for line in kinds)


@contextmanager
def dead_fuse(directory: Path) -> Iterator[None]:
    """It takes its INIT, which the kernel sends by itself, and nothing more. In the end who waits gets an error."""
    directory.mkdir()
    device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        options = f'fd={device},rootmode=40000,user_id=0,group_id=0,allow_other'
        linux.mount('dead', str(directory), 'fuse', linux.MS_NOSUID | linux.MS_NODEV, options)
        _, _, unique, *_ = HEADER_IN.unpack_from(os.read(device, READ))
        answer = INIT_OUT.pack(7, 31, 0, 0, 0, 0, 4096, 1, 0, 0, 0)
        os.write(device, HEADER_OUT.pack(HEADER_OUT.size + len(answer), 0, unique) + answer)
        yield
    finally:
        linux.umount(str(directory), linux.MNT_DETACH)
        os.close(device)
