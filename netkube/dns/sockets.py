"""The listening sockets, inside the Node's network namespace; the process itself lives outside of it."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import msgspec

from netkube.dns.probes import HEALTH_PORT, METRICS_PORT, READY_PORT
from netkube.network.namespaces import socket_in

# linux/in.h, linux/in6.h: bind before the address is there
FREEBIND = {socket.AF_INET: (socket.IPPROTO_IP, 15), socket.AF_INET6: (socket.IPPROTO_IPV6, 78)}
SO_RCVBUFFORCE = 33  # asm/socket.h: root may exceed net.core.rmem_max
RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024  # a burst that comes while answers are being built
BACKLOG = 256


class Sockets(msgspec.Struct, frozen=True):
    """``udp`` and ``tcp`` take queries, ``probes`` HTTP; one for each address and port, non-blocking."""

    udp: list[socket.socket]
    tcp: list[socket.socket]
    probes: list[socket.socket]

    def close(self) -> None:
        for sock in (*self.udp, *self.tcp, *self.probes):
            sock.close()


def open_sockets(netns: str | None, addresses: Sequence[str], port: int) -> Sockets:
    """In the namespace of that name; None is the one the process is in."""
    probes = (HEALTH_PORT, READY_PORT, METRICS_PORT)
    return Sockets(
        [_open_udp(netns, address, port) for address in addresses],
        [_listen(netns, address, port) for address in addresses],
        [_listen(netns, address, number) for address in addresses for number in probes],
    )


def _open_udp(netns: str | None, address: str, port: int) -> socket.socket:
    sock = _bound(netns, socket.SOCK_DGRAM, address, port)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    return sock


def _listen(netns: str | None, address: str, port: int) -> socket.socket:
    sock = _bound(netns, socket.SOCK_STREAM, address, port)
    sock.listen(BACKLOG)
    return sock


def _bound(netns: str | None, kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    sock = socket_in(netns, family, kind)
    sock.setsockopt(*FREEBIND[family], 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    return sock
