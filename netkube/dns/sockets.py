"""The listening sockets, inside the Node's network namespace; the process itself lives outside of it."""

from __future__ import annotations

import socket

from netkube.network.namespaces import socket_in

IP_FREEBIND = 15  # linux/in.h: bind before the address is there
SO_RCVBUFFORCE = 33  # asm/socket.h: root may exceed net.core.rmem_max
RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024  # a burst that comes while answers are being built
BACKLOG = 256


def open_sockets(netns: str | None, address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """UDP and TCP, non-blocking, in the namespace of that name; None is the one the process is in."""
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    udp, tcp = socket_in(netns, family, socket.SOCK_DGRAM), socket_in(netns, family, socket.SOCK_STREAM)
    udp.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for sock in (udp, tcp):
        sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        sock.bind((address, port))
    tcp.listen(BACKLOG)
    return udp, tcp
