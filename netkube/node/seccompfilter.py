"""From a profile in OCI's form (runtime-spec, config-linux.md, "Seccomp") to a program for the kernel, by libseccomp.

Imported late: only Pods that ask for a profile need the library.
"""

from __future__ import annotations

import errno
import struct
import tempfile
from typing import Any

from netkube.node.seccomp import ProfileError

NEWEST = 600  # no architecture has a system call of this number yet
ARM_PRIVATE = 0xF0000  # except ARM: __ARM_NR_BASE
UNKNOWN = -1  # __NR_SCMP_ERROR
X32_BIT = 0x40000000
LOAD, AND, JUMP_AT_LEAST, JUMP_ABOVE, RETURN = 0x20, 0x54, 0x35, 0x25, 0x06  # of struct sock_filter, linux/filter.h
ERRNO = 0x00050000  # SECCOMP_RET_ERRNO


def _library() -> Any:
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError) as error:
        need = 'seccomp profiles need libseccomp (Debian: libseccomp2), which cannot be loaded'
        raise ProfileError(f'{need}: {error}') from None
    return pyseccomp


def _architectures(library: Any, own: Any) -> list[Any]:
    """Of a machine, and those whose programs it can run, too."""
    arch = library.Arch
    return [own, *{arch.X86_64: (arch.X86, arch.X32), arch.AARCH64: (arch.ARM,)}.get(own, ())]


def known_calls(machine: Any = None) -> dict[str, int]:
    """The system calls that the library knows, of every architecture whose programs run here, with their numbers.

    ``machine`` is the library's name of another architecture than this machine's.
    """
    library = _library()
    found: dict[str, int] = {}
    for architecture in _architectures(library, machine or library.system_arch())[:2]:  # x32 has those of x86-64
        for number in (*range(NEWEST), *range(ARM_PRIVATE, ARM_PRIVATE + 16)):
            try:
                name = library.resolve_syscall(architecture, number)
            except (ValueError, OSError):
                continue
            if name:
                found.setdefault(name.decode() if isinstance(name, bytes) else name, number)
    return found


def compile_profile(profile: dict[str, Any], machine: Any = None) -> bytes:
    """An array of struct sock_filter. ProfileError names what cannot be understood. ``machine``: as ``known_calls``.

    A system call that is newer than the library fails with ENOSYS, so that programs do without it: as runc has it.
    """
    library = _library()
    default = _action(library, profile.get('defaultAction', ''), profile.get('defaultErrnoRet'))
    filter = library.SyscallFilter(defaction=default)
    if library.get_api() >= 4:
        filter.set_attr(library.Attr.CTL_OPTIMIZE, 2)  # a binary tree instead of a list
    own = machine or library.system_arch()
    if own != library.system_arch():
        filter.add_arch(own)
        filter.remove_arch(library.system_arch())
    for architecture in _named_architectures(library, profile, own):
        filter.add_arch(architecture)
    for rule in profile.get('syscalls') or ():
        _add(library, filter, rule, default)
    with tempfile.TemporaryFile() as file:
        filter.export_bpf(file)
        file.seek(0)
        program = file.read()
    return program if default == library.ALLOW else _without_newer(_newest(own)) + program


def _newest(machine: Any) -> int:
    return max(number for number in known_calls(machine).values() if number < ARM_PRIVATE)


def _named_architectures(library: Any, profile: dict[str, Any], own: Any) -> list[Any]:
    """Beside ``own``, the machine's; all that it can run, where the profile does not say."""
    named = profile.get('architectures')
    if named is None:
        return _architectures(library, own)[1:]
    wanted = [getattr(library.Arch, name.removeprefix('SCMP_ARCH_'), None) for name in named]
    return [each for each in wanted if each is not None and each != own]


def _add(library: Any, filter: Any, rule: dict[str, Any], default: Any) -> None:
    action = _action(library, rule.get('action', ''), rule.get('errnoRet'))
    if action == default:
        return  # which the library refuses to hear twice
    arguments = [_comparison(library, each) for each in rule.get('args') or ()]
    several_of_one = len({each['index'] for each in rule.get('args') or ()}) < len(arguments)
    for name in rule.get('names') or ():
        if library.resolve_syscall(library.system_arch(), name) == UNKNOWN:
            continue
        try:  # of one argument, several comparisons are alternatives: as runc has it
            for each in [[one] for one in arguments] if several_of_one else [arguments]:
                filter.add_rule(action, name, *each)
        except OSError as error:
            if error.errno != errno.EDOM:  # not of this architecture
                raise ProfileError(f'seccomp rule for {name}: {error.strerror}') from None


def _comparison(library: Any, argument: dict[str, Any]) -> Any:
    operation = getattr(library, argument.get('op', '').removeprefix('SCMP_CMP_'), None)
    if operation is None or not argument.get('op', '').startswith('SCMP_CMP_'):
        raise ProfileError(f'unknown seccomp operator "{argument.get("op", "")}"')
    return library.Arg(argument['index'], operation, argument.get('value', 0), argument.get('valueTwo', 0))


def _action(library: Any, name: str, number: int | None) -> Any:
    actions = {
        'SCMP_ACT_ALLOW': library.ALLOW,
        'SCMP_ACT_ERRNO': library.ERRNO(errno.EPERM if number is None else number),
        'SCMP_ACT_KILL': library.KILL_THREAD,
        'SCMP_ACT_KILL_THREAD': library.KILL_THREAD,
        'SCMP_ACT_KILL_PROCESS': library.KILL_PROCESS,
        'SCMP_ACT_LOG': library.LOG,
        'SCMP_ACT_TRAP': library.TRAP,
        'SCMP_ACT_TRACE': library.TRACE(errno.EPERM if number is None else number),
    }
    if name not in actions:
        raise ProfileError(f'unknown seccomp action "{name}"')
    return actions[name]


def _without_newer(newest: int) -> bytes:
    """A beginning for a program: ENOSYS for what is above ``newest``, but not for ARM's private calls."""
    instructions = (
        (LOAD, 0, 0, 0),  # seccomp_data.nr
        (AND, 0, 0, 0xFFFFFFFF & ~X32_BIT),
        (JUMP_AT_LEAST, 2, 0, ARM_PRIVATE),
        (JUMP_ABOVE, 0, 1, newest),
        (RETURN, 0, 0, ERRNO | errno.ENOSYS),
    )
    return b''.join(struct.pack('=HBBI', *instruction) for instruction in instructions)


