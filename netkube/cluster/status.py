"""What of a cluster runs, seen from outside."""

from __future__ import annotations

import socket

import msgspec

from netkube.cluster import processes
from netkube.cluster.access import server_url
from netkube.cluster.config import ClusterConfig

ANSWER_SECONDS = 5.0


class Process(msgspec.Struct, frozen=True):
    """``pid`` is None when it does not run; ``memory_kib`` is its proportional set size."""

    role: str
    pid: int | None
    memory_kib: int


class Status(msgspec.Struct, frozen=True):
    config: ClusterConfig
    processes: tuple[Process, ...]
    dns_address: str
    server: str
    answers: bool

    @property
    def ready(self) -> bool:
        return self.answers and all(process.pid for process in self.processes)


def observe(config: ClusterConfig) -> Status:
    seen = tuple(_process(config, role) for role in processes.ROLES)
    return Status(config, seen, config.dns_vips, server_url(config), _answers(config))


def _process(config: ClusterConfig, role: str) -> Process:
    entry = processes.find(config, role)
    return Process(role, entry.pid, processes.memory_kib(entry.pid)) if entry else Process(role, None, 0)


def _answers(config: ClusterConfig) -> bool:
    """Whether the API server says that it is ready."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(str(config.api_socket))
            connection.sendall(b'GET /readyz HTTP/1.1\r\nhost: netkube\r\nconnection: close\r\n\r\n')
            return connection.recv(64).split(b' ')[1] == b'200'
        except (OSError, IndexError):
            return False
