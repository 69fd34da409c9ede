"""What the API server asks of a node's agent: logs and streams of its containers, and connections to them.

Kubernetes does this over the kubelet's HTTPS port; here the composition root hands the API server an object.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

STDOUT, STDERR = 1, 2

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def words_of(error: OSError) -> str:
    """The cause as Go says it, ``connection refused``: uvloop's own words have the address, too."""
    if isinstance(error, TimeoutError) and not error.errno:
        return 'i/o timeout'
    return os.strerror(error.errno).lower() if error.errno else str(error)


class LogOptions(msgspec.Struct, frozen=True):
    """``v1.PodLogOptions`` without the container."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since_seconds: int | None = None
    since_time: str = ''
    tail_lines: int | None = None
    limit_bytes: int | None = None


class ExecSession(Protocol):
    """One running command in a container."""

    async def write_stdin(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...

    async def resize(self, width: int, height: int) -> None:
        """Columns and rows of the terminal; without a terminal it does nothing."""
        ...

    async def read(self) -> tuple[int, bytes] | None:
        """The next output: (STDOUT or STDERR, bytes); None when both have ended."""
        ...

    async def exit_code(self) -> int:
        """Waits for the end; 128 + N for a process that signal N ended."""
        ...

    async def close(self) -> None:
        """Ends the session, and the command with it if it still runs."""
        ...


class Kubelet(Protocol):
    """A node's agent, as the API server sees it. Absent Pods and containers raise ApiError."""

    def logs(self, namespace: str, pod: str, container: str, options: LogOptions) -> AsyncIterator[bytes]: ...

    async def exec(
        self,
        namespace: str,
        pod: str,
        container: str,
        argv: list[str],
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        tty: bool = False,
    ) -> ExecSession: ...

    async def attach(
        self, namespace: str, pod: str, container: str, *, stdin: bool = False, stdout: bool = True, stderr: bool = True
    ) -> ExecSession:
        """The streams of the container's own process, from now on; closing the session leaves it running."""
        ...

    async def port_forward(self, namespace: str, pod: str, port: int) -> Connection:
        """A connection to the Pod's own loopback. ApiError, or OSError when nobody listens."""
        ...

    async def connect(self, address: str, port: int) -> Connection:
        """A connection from the Node, by IP address. OSError."""
        ...
