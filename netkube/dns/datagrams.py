"""Datagrams many at a time: recvmmsg(2) and sendmmsg(2), which Python's socket module does not have.

Two system calls for up to ``size`` queries instead of two for each: a third more answers a second. The memory is laid
out once; an answer is written over its query, behind the id, which stays, and goes back to where that came from.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct

PLACE = 4096  # bytes for each datagram: a longer query is cut, and then refused as malformed
SOCKADDR = 28  # struct sockaddr_in6, the longer one
IPV4, IPV6 = struct.Struct('!2xH4s'), struct.Struct('!2xHI16s')  # sockaddr: port, flow, address
SCOPE = struct.Struct('=24xI')  # sockaddr_in6: the interface, in the byte order of the machine

_libc = ctypes.CDLL(None, use_errno=True)
for call, timeout in ((_libc.recvmmsg, (ctypes.c_void_p,)), (_libc.sendmmsg, ())):
    call.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, *timeout)


class _Vector(ctypes.Structure):
    """struct iovec"""

    _fields_ = (('base', ctypes.c_void_p), ('length', ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct mmsghdr, with its struct msghdr"""

    _fields_ = (
        ('name', ctypes.c_void_p),
        ('name_length', ctypes.c_uint32),
        ('vectors', ctypes.c_void_p),
        ('vector_count', ctypes.c_size_t),
        ('control', ctypes.c_void_p),
        ('control_length', ctypes.c_size_t),
        ('flags', ctypes.c_int),
        ('padding', ctypes.c_int),  # struct msghdr ends here, at a multiple of eight
        ('length', ctypes.c_uint32),
    )


MESSAGE, VECTOR = ctypes.sizeof(_Message), ctypes.sizeof(_Vector)


def _address_of(memory: bytearray) -> int:
    """Where it is, and stays: nothing may change its length."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


class Batch:
    """The places for the datagrams of one non-blocking UDP socket, numbered from 0.

    ``places`` is their memory, PLACE bytes each; ``lengths`` tells of each query how long it is, ``answer_lengths`` is
    told of each answer. The memory must not be swapped for other memory: the kernel has its address.
    """

    def __init__(self, sock: socket.socket, size: int) -> None:
        self._socket, self._size = sock, size
        self._name_length = 16 if sock.family == socket.AF_INET else SOCKADDR
        self._places, self._names = bytearray(size * PLACE), bytearray(size * SOCKADDR)
        self.places = memoryview(self._places)
        self._queries, self.lengths, _ = self._lay_out()
        self._answers, _, self.answer_lengths = self._lay_out()

    def _lay_out(self) -> tuple[int, memoryview, memoryview]:
        """An array of messages: its address, the bytes in each that were received, and that are to be sent."""
        places, names = _address_of(self._places), _address_of(self._names)
        memory = bytearray(self._size * (MESSAGE + VECTOR))  # first all messages, then all vectors
        messages = (_Message * self._size).from_buffer(memory)
        vectors = (_Vector * self._size).from_buffer(memory, self._size * MESSAGE)
        for i in range(self._size):
            vectors[i] = _Vector(places + i * PLACE, PLACE)
            messages[i] = _Message(names + i * SOCKADDR, self._name_length, ctypes.addressof(vectors[i]), 1)
        received = memoryview(memory)[: self._size * MESSAGE].cast('I')[_Message.length.offset // 4 :: MESSAGE // 4]
        to_send = memoryview(memory)[self._size * MESSAGE :].cast('P')[1::2]
        return ctypes.addressof(messages), received, to_send

    def receive(self) -> int:
        """How many places hold a query now; 0 when none has come. OSError."""
        count = _libc.recvmmsg(self._socket.fileno(), self._queries, self._size, socket.MSG_DONTWAIT, None)
        if count >= 0:
            return count
        if ctypes.get_errno() in (errno.EAGAIN, errno.EINTR):
            return 0
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def answer(self, first: int, end: int) -> None:
        """Send what is in the places from ``first`` to before ``end``. What the kernel has no room for is lost."""
        if first < end:
            _libc.sendmmsg(self._socket.fileno(), self._answers + first * MESSAGE, end - first, socket.MSG_DONTWAIT)

    def client(self, place: int) -> tuple[str, int] | tuple[str, int, int, int]:
        """Whom the query in that place came from, as ``socket.sendto`` takes it."""
        name = bytes(self._names[place * SOCKADDR : (place + 1) * SOCKADDR])
        if self._socket.family == socket.AF_INET:
            port, address = IPV4.unpack_from(name)
            return socket.inet_ntop(socket.AF_INET, address), port
        port, flow, address = IPV6.unpack_from(name)
        return socket.inet_ntop(socket.AF_INET6, address), port, flow, SCOPE.unpack_from(name)[0]
