"""bpf(2), as far as a device filter needs it: instructions, loading a program, attaching it to a cgroup.

Numbers and layouts from linux/bpf.h; the instruction set is that of Linux Documentation/bpf/standardization.
"""

from __future__ import annotations

import ctypes
import os
import struct

from netkube.runtime import linux

_PROG_LOAD, _PROG_ATTACH = 5, 8
_PROG_TYPE_CGROUP_DEVICE, _CGROUP_DEVICE = 15, 6  # the latter is where on a cgroup it is attached
_ALLOW_OVERRIDE = 1
_LICENSE = b'Apache-2.0'  # it calls nothing that the kernel lets only GPL programs call

LOAD_WORD, MOVE, AND, SHIFT_RIGHT, EXIT = 0x61, 0xB7, 0x54, 0x74, 0x95
JUMP_EQUAL, JUMP_NOT_EQUAL, JUMP = 0x15, 0x55, 0x05

def instruction(code: int, to: int = 0, of: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """struct bpf_insn of a little-endian machine; ``to`` and ``of`` are registers."""
    return struct.pack('<BBhi', code, of << 4 | to, offset, value)


def load_device_program(instructions: bytes) -> int:
    """The descriptor of a program that is asked whether a device may be used. OSError when the kernel refuses it."""
    code = ctypes.create_string_buffer(instructions, len(instructions))
    license = ctypes.create_string_buffer(_LICENSE)
    count = len(instructions) // 8
    head = struct.pack('=IIQQ', _PROG_TYPE_CGROUP_DEVICE, count, ctypes.addressof(code), ctypes.addressof(license))
    return _call(_PROG_LOAD, head + bytes(24) + b'netkube_devices\0')


def attach_device_program(program: int, cgroup: str) -> None:
    """To this cgroup and all below that have none of their own; it goes with the cgroup, or when another is attached.

    BPF_F_ALLOW_OVERRIDE is what lets one below have its own *instead*. Programs above that were attached with
    BPF_F_ALLOW_MULTI (systemd's) are asked, too, and each of them must agree.
    """
    directory = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _call(_PROG_ATTACH, struct.pack('=IIII', directory, program, _CGROUP_DEVICE, _ALLOW_OVERRIDE))
    finally:
        os.close(directory)


def _call(command: int, attributes: bytes) -> int:
    return linux.call('bpf', command, attributes, ctypes.c_uint(len(attributes)))
