"""Which sockets are open for others in a network namespace, and whose they are.

Read from ``/proc/net``, which needs no kernel module, unlike the faster inet_diag(7); see proc_net_tcp(5).
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

LISTENING = {'tcp': '0A', 'udp': '07'}  # TCP_LISTEN; TCP_CLOSE, which is what an unconnected UDP socket is in
LOCAL_ADDRESS, STATE, INODE = 1, 3, 9
ANY = ('0.0.0.0', '::')
LOOPBACK = ('127.', '::1')


class Listener(msgspec.Struct, frozen=True):
    """A socket that takes connections (TCP) or datagrams (UDP); whose, if that could be found out."""

    protocol: str
    address: str
    port: int
    process: str = ''
    pid: int = 0

    @property
    def place(self) -> str:
        return f'[{self.address}]:{self.port}' if ':' in self.address else f'{self.address}:{self.port}'

    @property
    def owner(self) -> str:
        return f'{self.process} (pid {self.pid})' if self.pid else 'a process'

    @property
    def loopback_only(self) -> bool:
        return self.address.startswith(LOOPBACK)

    def takes(self, address: str, port: int) -> bool:
        """Whether what is sent there is for this socket. An IPv6 wildcard takes IPv4 too, unless IPV6_V6ONLY is set,
        which /proc does not tell."""
        wildcard = self.address == '::' or (self.address == '0.0.0.0' and ':' not in address)
        return self.port == port and (wildcard or self.address == address)


def processes_in(netns_inode: int) -> list[int]:
    """The ids of all processes whose network namespace has this inode."""
    wanted = f'net:[{netns_inode}]'
    return [pid for pid in list_processes() if _link(f'/proc/{pid}/ns/net') == wanted]


def list_processes() -> list[int]:
    return [int(entry) for entry in os.listdir('/proc') if entry.isdigit()]


def list_listeners(protocol: str, pids: list[int]) -> list[Listener]:
    """Of the calling thread's network namespace, by port; ``pids`` are where the owners are looked for.

    Of a protocol other than TCP and UDP, none is known.
    """
    owners = _socket_owners(pids)
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        file = Path(f'/proc/thread-self/net/{protocol}{"6" if family == socket.AF_INET6 else ""}')
        for row in parse_table(file.read_text(), protocol, family) if file.exists() else ():
            listener, inode = row
            pid = owners.get(inode, 0)
            found.append(msgspec.structs.replace(listener, pid=pid, process=_command(pid) if pid else ''))
    return sorted(found, key=lambda listener: (listener.port, listener.address))


def parse_table(text: str, protocol: str, family: int) -> Iterator[tuple[Listener, int]]:
    """The listening sockets of one /proc/net table, each with its inode."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > INODE and fields[STATE] == LISTENING.get(protocol):
            address, _, port = fields[LOCAL_ADDRESS].partition(':')
            yield Listener(protocol, parse_address(address, family), int(port, 16)), int(fields[INODE])


def parse_address(text: str, family: int) -> str:
    """Words of 32 bits in the machine's byte order, in hexadecimal."""
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    return socket.inet_ntop(family, struct.pack(f'={len(words)}I', *words))


def _socket_owners(pids: list[int]) -> dict[int, int]:
    """Inode of a socket -> the process that has it open; of several, as after a fork, the first."""
    owners: dict[int, int] = {}
    for pid in sorted(pids):
        for target in _open_files(pid):
            if target.startswith('socket:['):
                owners.setdefault(int(target[8:-1]), pid)
    return owners


def _open_files(pid: int) -> list[str]:
    try:
        return [_link(f'/proc/{pid}/fd/{entry}') for entry in os.listdir(f'/proc/{pid}/fd')]
    except FileNotFoundError:
        return []  # it has ended


def _command(pid: int) -> str:
    try:
        return Path(f'/proc/{pid}/comm').read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ''


def _link(path: str) -> str:
    """Where a link of /proc leads; '' when its process has ended meanwhile, or is a kernel thread."""
    try:
        return os.readlink(path)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ''
