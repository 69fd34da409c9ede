"""A capture file, as tcpdump writes it and Wireshark opens it.

Source: draft-ietf-opsawg-pcap, "PCAP Capture File Format"; with nanoseconds.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from netkube.network.packets import Frame

MAGIC_NANOSECONDS = 0xA1B23C4D
VERSION = 2, 4
LINKTYPE_ETHERNET = 1
FILE_HEADER = struct.Struct('=IHHIIII')  # magic, version, two reserved, snaplen, link type
RECORD_HEADER = struct.Struct('=IIII')  # seconds, nanoseconds, captured, original length
BILLION = 1_000_000_000


class PcapWriter:
    """The file's header is written at once, so an empty capture is a good file, too."""

    def __init__(self, file: BinaryIO, snaplen: int) -> None:
        self._file = file
        file.write(FILE_HEADER.pack(MAGIC_NANOSECONDS, *VERSION, 0, 0, snaplen, LINKTYPE_ETHERNET))
        file.flush()

    def write(self, frame: Frame) -> None:
        header = RECORD_HEADER.pack(frame.time // BILLION, frame.time % BILLION, len(frame.data), frame.length)
        self._file.write(header + frame.data)

    def flush(self) -> None:
        self._file.flush()
