"""Packets as an interface sees them, with the kernel's time stamps: AF_PACKET, see packet(7)."""

from __future__ import annotations

import ctypes
import select
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress

import msgspec

from netkube.network.packetfilter import INSTRUCTION, NOTHING, PacketFilter, assemble

ETH_P_ALL = 0x0003
SO_ATTACH_FILTER, SO_RCVBUFFORCE, SO_TIMESTAMPNS = 26, 33, 35  # asm-generic/socket.h
SOL_PACKET, PACKET_STATISTICS = 263, 6
TIMESPEC = struct.Struct('=qq')
STATISTICS = struct.Struct('=II')  # packets, of these dropped; the kernel starts from 0 after each look
BUFFER_BYTES = 16 << 20


class Frame(msgspec.Struct, frozen=True):
    """An Ethernet frame; ``data`` may be shorter than its ``length``. The time is in nanoseconds since 1970."""

    time: int
    interface: str
    data: bytes
    length: int


class PacketSocket:
    """Belongs to the namespace of the thread that makes it. Only what passes the filter from now on is seen."""

    def __init__(self, wanted: PacketFilter, snaplen: int) -> None:
        self._buffer = bytearray(snaplen)
        self._dropped = 0
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        try:
            self._attach(NOTHING)
            self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            with suppress(PermissionError):  # root in a container of a machine; then the usual size has to do
                self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
            self._socket.setblocking(False)
            self._drain()
            self._attach(assemble(wanted))
        except BaseException:
            self._socket.close()
            raise

    def frames(self, wake: int, deadline: float | None, now) -> Iterator[Frame | None]:  # noqa: ANN001
        """What comes, until ``wake`` can be read or the deadline (of the clock ``now``) has passed.

        None whenever there is nothing at hand, before it waits.
        """
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(wake, select.POLLIN)
        while True:
            yield from self._at_hand()
            yield None
            left = None if deadline is None else deadline - now()
            if left is not None and left <= 0:
                return
            ready = poll.poll(None if left is None else left * 1000)
            if any(file == wake for file, _ in ready):
                yield from self._at_hand()
                return

    def dropped(self) -> int:
        """How many packets there was no room for, so far."""
        self._dropped += STATISTICS.unpack(self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, STATISTICS.size))[1]
        return self._dropped

    def close(self) -> None:
        self._socket.close()

    def _attach(self, program: bytes) -> None:
        code = ctypes.create_string_buffer(program)
        count = len(program) // INSTRUCTION.size
        reference = struct.pack('@HP', count, ctypes.addressof(code))  # struct sock_fprog
        self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, reference)

    def _drain(self) -> None:
        """What came before there was a filter."""
        with suppress(BlockingIOError):
            while True:
                self._socket.recv(1)

    def _at_hand(self) -> Iterator[Frame]:
        while True:
            try:
                length, control, _, sender = self._socket.recvmsg_into([self._buffer], 64, socket.MSG_TRUNC)
            except BlockingIOError:
                return
            yield Frame(_time_of(control), sender[0], bytes(self._buffer[:length]), length)


def _time_of(control: Sequence[tuple[int, int, bytes]]) -> int:
    seconds, nanoseconds = next(
        TIMESPEC.unpack(data) for level, kind, data in control if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS)
    )
    return seconds * 1_000_000_000 + nanoseconds


def list_interfaces() -> dict[str, int]:
    """Name to index, of the calling thread's namespace."""
    return {name: index for index, name in socket.if_nameindex()}
