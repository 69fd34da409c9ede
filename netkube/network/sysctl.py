"""Kernel settings below ``net`` of the calling thread's network namespace.

A name is a path below ``/proc/sys``, with slashes (an interface's name may hold a dot): ``net/ipv4/ip_forward``.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path('/proc/sys')


def read(name: str) -> str:
    """FileNotFoundError if this kernel (or this namespace) does not have the setting."""
    return (FOLDER / name).read_text().strip()


def write(name: str, value: int | str) -> None:
    """FileNotFoundError as for ``read``."""
    with open(FOLDER / name, 'r+') as file:  # r+: never try to create
        file.write(str(value))


def ensure(name: str, value: int | str) -> None:
    """As ``write``, but what is so already is not written: IPv6's forwarding visits every link each time."""
    if read(name) != str(value):
        write(name, value)


def ensure_if_present(name: str, value: int | str) -> None:
    """For a setting that only matters where it exists: IPv6 may be compiled out, a module not loaded."""
    if (FOLDER / name).exists():
        ensure(name, value)
