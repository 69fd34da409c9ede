"""Which devices a container may use, whatever nodes it makes: the list of runc, enforced by cgroup.

One list holds for the whole cluster, so an ordinary container costs nothing: in the v2 tree a BPF program is attached
to the cluster's cgroup, once; in the v1 tree the runtime server itself lives in a cgroup with the list, and its
children are born there. A privileged container has its own program, or moves out.

Source: runc libcontainer/specconv (AllowedDevices), Linux Documentation/admin-guide/cgroup-v1/devices.rst, and
linux/bpf.h (struct bpf_cgroup_dev_ctx).
"""

from __future__ import annotations

import os
from typing import NamedTuple

from netkube.runtime import bpf, cgroup

BPF, V1 = 'bpf', 'v1'
_BLOCK, _CHARACTER = 1, 2  # BPF_DEVCG_DEV_*
_MAKE, _READ, _WRITE = 1, 2, 4  # BPF_DEVCG_ACC_*
_ANY = -1


class DeviceRule(NamedTuple):
    major: int
    minor: int  # or _ANY


# Character devices that may be read and written. Any node, of a block device too, may be made.
ALLOWED = (
    DeviceRule(1, 3), DeviceRule(1, 5), DeviceRule(1, 7), DeviceRule(1, 8), DeviceRule(1, 9),  # null zero full *random
    DeviceRule(5, 0), DeviceRule(5, 1), DeviceRule(5, 2), DeviceRule(136, _ANY),  # tty, console, ptmx, pts/*
    DeviceRule(10, 200),  # net/tun
)  # fmt: skip


def render_v1(rules: tuple[DeviceRule, ...]) -> list[str]:
    """Lines for ``devices.allow``, after everything has been denied."""
    usable = [f'c {rule.major}:{"*" if rule.minor == _ANY else rule.minor} rwm' for rule in rules]
    return ['c *:* m', 'b *:* m', *usable]


def assemble(rules: tuple[DeviceRule, ...]) -> bytes:
    """A program that answers 1 (do it) or 0 (EPERM); asked with ``access << 16 | type``, major and minor."""
    context, kind, access, major, minor, result = 1, 2, 3, 4, 5, 0
    allow = [bpf.instruction(bpf.MOVE, result, value=1), bpf.instruction(bpf.EXIT)]
    program = [
        bpf.instruction(bpf.LOAD_WORD, kind, context, 0),
        bpf.instruction(bpf.LOAD_WORD, access, context, 0),
        bpf.instruction(bpf.LOAD_WORD, major, context, 4),
        bpf.instruction(bpf.LOAD_WORD, minor, context, 8),
        bpf.instruction(bpf.AND, kind, value=0xFFFF),
        bpf.instruction(bpf.SHIFT_RIGHT, access, value=16),
        bpf.instruction(bpf.JUMP_NOT_EQUAL, access, offset=len(allow), value=_MAKE),
        *allow,
        bpf.instruction(bpf.JUMP_EQUAL, kind, offset=2, value=_CHARACTER),
        bpf.instruction(bpf.MOVE, result, value=0),
        bpf.instruction(bpf.EXIT),
    ]
    for rule in rules:
        body = [bpf.instruction(bpf.JUMP_NOT_EQUAL, minor, offset=len(allow), value=rule.minor), *allow]
        if rule.minor == _ANY:
            body = allow
        program += [bpf.instruction(bpf.JUMP_NOT_EQUAL, major, offset=len(body), value=rule.major), *body]
    return b''.join([*program, bpf.instruction(bpf.MOVE, result, value=0), bpf.instruction(bpf.EXIT)])


ALLOW_ALL = bpf.instruction(bpf.MOVE, 0, value=1) + bpf.instruction(bpf.EXIT)


class DeviceControl(NamedTuple):
    """How the list is enforced: ``kind`` is BPF, V1, or '' where neither is possible and nothing is."""

    kind: str = ''
    unrestricted: int = -1  # the program of a privileged container
    listed: str = ''  # v1: the cgroup with the list
    home: str = ''  # and the one that we come from

    def free(self, path: str) -> None:
        """Before a privileged container's first process starts in this cgroup of the v2 tree."""
        if self.kind == BPF:
            bpf.attach_device_program(self.unrestricted, path)

    def leave(self) -> None:
        """In a process of a privileged container, which has one thread."""
        if self.kind == V1:
            cgroup.write(f'{self.home}/tasks', '0')


def control_devices(name: str, path: str) -> DeviceControl:
    """For the containers to come of the calling process.

    ``path`` is the cluster's cgroup in the v2 tree or '', ``name`` that below each v1 tree.
    """
    try:
        return _by_program(path) if path else _by_v1(name)
    except OSError:
        return _by_v1(name) if path else DeviceControl()


def _by_program(path: str) -> DeviceControl:
    listed = bpf.load_device_program(assemble(ALLOWED))
    try:
        unrestricted = bpf.load_device_program(ALLOW_ALL)
        bpf.attach_device_program(listed, path)
    finally:
        os.close(listed)  # the cgroup keeps it
    return DeviceControl(BPF, unrestricted)


def _by_v1(name: str) -> DeviceControl:
    """Moves the calling process. A device that the machine forbids us (a container's machine) stays forbidden."""
    tree = _find_v1()
    if tree is None:
        return DeviceControl()
    directory = cgroup.create(tree.root, name)
    if not directory:
        return DeviceControl()
    cgroup.write(f'{directory}/devices.deny', 'a')
    for line in render_v1(ALLOWED):
        try:
            cgroup.write(f'{directory}/devices.allow', line)
        except PermissionError:
            continue
    cgroup.write(f'{directory}/tasks', '0')
    return DeviceControl(V1, listed=directory, home=tree.own)


class _Tree(NamedTuple):
    root: str  # where the controller is mounted
    own: str  # the directory of the calling process' cgroup


def _find_v1() -> _Tree | None:
    with open('/proc/self/cgroup') as file:
        paths = dict(line.rstrip().split(':', 2)[1:] for line in file)
    with open('/proc/self/mountinfo') as table:
        for line in table:
            left, _, right = line.partition(' - ')
            kind, _, options = right.split()[:3]
            fields = left.split(' ')
            if kind == 'cgroup' and 'devices' in options.split(','):
                path = next(path for names, path in paths.items() if 'devices' in names.split(','))
                return _Tree(fields[4], os.path.normpath(f'{fields[4]}/{os.path.relpath(path, fields[3])}'))
    return None
