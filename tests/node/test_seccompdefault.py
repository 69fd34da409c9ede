"""RuntimeDefault is Docker's default profile: each system call, as the rendered program decides about it.

For the architectures of x86-64 and of 64-bit ARM machines, wherever the test runs: the program is interpreted here.
"""

from __future__ import annotations

import errno
import struct
from functools import cache
from pathlib import Path

import pytest

from netkube.node.seccomp import ProfileError
from netkube.node.seccompdefault import NEWEST_COMPARED, PRIVATE, default_profile
from netkube.node.seccompfilter import compile_profile, known_calls
from netkube.runtime import linux

try:
    known_calls()
except ProfileError as error:
    pytest.skip(str(error), allow_module_level=True)
import pyseccomp  # noqa: E402 - there is libseccomp

MOBY = Path(__file__).parent.parent / 'data' / 'seccomp-moby.txt'
ALLOWED, EPERM, ENOSYS = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS  # SECCOMP_RET_*
ARCHITECTURES = {  # Go's name of the machine, the library's, and AUDIT_ARCH_* of what runs there
    'x86_64': ('amd64', pyseccomp.Arch.X86_64, 0xC000003E),
    'x86': ('amd64', pyseccomp.Arch.X86_64, 0x40000003),
    'aarch64': ('arm64', pyseccomp.Arch.AARCH64, 0xC00000B7),
    'arm': ('arm64', pyseccomp.Arch.AARCH64, 0x40000028),
}
LOAD, JUMP, EQUAL, GREATER, AT_LEAST, ANY_BIT, AND, RETURN = 0x20, 0x05, 0x15, 0x25, 0x35, 0x45, 0x54, 0x06


@cache
def moby() -> dict[str, list[str]]:
    """Conditions, by name; those of arguments are names with an operator."""
    found: dict[str, list[str]] = {}
    for line in MOBY.read_text().splitlines():
        condition, _, names = line.partition(' ')
        if condition.endswith(':') and not line.startswith('#'):
            for name in names.split():
                found.setdefault(name, []).append(condition[:-1])
        elif not line.startswith('#'):
            found[condition] = names.split()
    return found


@cache
def known(machine: int) -> dict[str, int]:
    return known_calls(machine)


@cache
def program(machine: int, capabilities: tuple[str, ...]) -> list[tuple[int, int, int, int]]:
    compiled = compile_profile(default_profile(known(machine), capabilities), machine)
    return list(struct.iter_unpack('=HBBI', compiled))


def decide(machine: str, number: int, *arguments: int, capabilities: tuple[str, ...] = ()) -> int:
    _, own, token = ARCHITECTURES[machine]
    return run(program(own, capabilities), token, number, *arguments)


def run(instructions: list[tuple[int, int, int, int]], token: int, number: int, *arguments: int) -> int:
    """What the program returns (linux/filter.h, struct seccomp_data)."""
    data = struct.pack('=iIQ6Q', number, token, 0, *arguments, *[0] * (6 - len(arguments)))
    accumulator, at = 0, 0
    while True:
        code, when, otherwise, value = instructions[at]
        at += 1
        if code == RETURN:
            return value
        if code == LOAD:
            [accumulator] = struct.unpack_from('=I', data, value)
        elif code == AND:
            accumulator &= value
        elif code == JUMP:
            at += value
        else:
            holds = {
                EQUAL: accumulator == value, GREATER: accumulator > value, AT_LEAST: accumulator >= value,
                ANY_BIT: accumulator & value,
            }[code]  # fmt: skip
            at += when if holds else otherwise


@cache
def numbers(machine: str) -> dict[str, int]:
    """Of the system calls that this architecture has."""
    architecture = getattr(pyseccomp.Arch, machine.upper())
    found = {}
    for number in (*range(600), *range(PRIVATE, PRIVATE + 16)):
        try:
            name = pyseccomp.resolve_syscall(architecture, number)
        except (ValueError, OSError):
            continue
        if name:
            found[name.decode()] = number
    return found


CONDITIONAL = {'socket', 'personality', 'clone', 'clone3'}
OF_CAPABILITIES = [(), *[(name,) for name in ('SYS_ADMIN', 'DAC_READ_SEARCH', 'SYS_BOOT', 'SYS_CHROOT', 'SYS_MODULE',
                   'SYS_PACCT', 'SYS_PTRACE', 'SYS_RAWIO', 'SYS_TIME', 'SYS_TTY_CONFIG', 'SYS_NICE', 'SYSLOG', 'BPF',
                   'PERFMON')]]  # fmt: skip


def refused_by_moby(machine: str, name: str, capabilities: tuple[str, ...]) -> bool:
    holding = {'always', ARCHITECTURES[machine][0], *(f'CAP_{each}' for each in capabilities)}
    return not holding & {*moby().get(name, ())}


@pytest.mark.parametrize('machine', ARCHITECTURES)
@pytest.mark.parametrize('capabilities', OF_CAPABILITIES, ids=lambda names: ''.join(names) or 'none')
def test_every_system_call(machine: str, capabilities: tuple[str, ...]) -> None:
    different = {}
    for name, number in numbers(machine).items():
        answer = decide(machine, number, capabilities=capabilities)
        is_newer = NEWEST_COMPARED < number < PRIVATE
        if name not in CONDITIONAL:
            refused = refused_by_moby(machine, name, capabilities)
            expected = (ENOSYS if is_newer else EPERM) if refused else ALLOWED
            if answer != expected:
                different[name] = hex(answer)
    assert different == {}


def test_the_table_names_all_that_depends_on_a_capability() -> None:
    named = {condition[4:] for conditions in moby().values() for condition in conditions if condition[:4] == 'CAP_'}
    assert named == {name for names in OF_CAPABILITIES for name in names}


@pytest.mark.parametrize('machine', ARCHITECTURES)
def test_sockets_by_family(machine: str) -> None:
    number = numbers(machine)['socket']
    usable = {family for family in range(64) if decide(machine, number, family, 1, 0) == ALLOWED}
    assert usable == {*range(12), *map(int, moby()['socket<12='])}


@pytest.mark.parametrize('machine', ARCHITECTURES)
def test_personalities(machine: str) -> None:
    number, asked = numbers(machine)['personality'], {*range(16), 0x20000, 0x20008, 0x40000, 0xFFFFFFFF}
    usable = {value for value in asked if decide(machine, number, value) == ALLOWED}
    assert usable == {*map(int, moby()['personality='])}


@pytest.mark.parametrize('machine', ARCHITECTURES)
def test_new_namespaces_take_sys_admin(machine: str) -> None:
    clone, clone3 = numbers(machine)['clone'], numbers(machine)['clone3']
    [mask] = map(int, moby()['clone&='])
    for flag in (1 << bit for bit in range(32)):
        assert decide(machine, clone, flag | 17) == (EPERM if flag & mask else ALLOWED), hex(flag)
        assert decide(machine, clone, flag | 17, capabilities=('SYS_ADMIN',)) == ALLOWED
    assert decide(machine, clone3) == 0x00050000 | int(moby()['clone3!='][0])
    assert decide(machine, clone3, capabilities=('SYS_ADMIN',)) == ALLOWED


@pytest.mark.parametrize('machine', ARCHITECTURES)
def test_what_is_newer_than_the_library_does_not_exist(machine: str) -> None:
    assert decide(machine, 599) == ENOSYS


def test_another_architecture_than_the_machines_is_refused_as_a_whole() -> None:
    mips = 0x8
    for machine in (pyseccomp.Arch.X86_64, pyseccomp.Arch.AARCH64):
        assert run(program(machine, ()), mips, 0) & 0xFFFF0000 == 0  # SECCOMP_RET_KILL_THREAD


NEW_CALLS = {
    'open_tree': linux._SYS_OPEN_TREE, 'move_mount': linux._SYS_MOVE_MOUNT, 'clone3': linux._SYS_CLONE3,
    'mount_setattr': linux._SYS_MOUNT_SETATTR, 'fsopen': linux._SYS_FSOPEN, 'fsconfig': linux._SYS_FSCONFIG,
    'fsmount': linux._SYS_FSMOUNT, 'close_range': linux._SYS_CLOSE_RANGE, 'openat2': linux._SYS_OPENAT2,
}  # fmt: skip


@pytest.mark.parametrize('machine', ['x86_64', 'aarch64', 'riscv64', 'ppc64le'])
def test_the_runtimes_own_numbers_of_system_calls(machine: str) -> None:
    """As libseccomp has them for that architecture: those that are made by number."""
    architecture = getattr(pyseccomp.Arch, machine.upper())
    for name, number in {**NEW_CALLS, **linux.CALLS_OF_MACHINES[machine]}.items():
        assert pyseccomp.resolve_syscall(architecture, name) == number, name
