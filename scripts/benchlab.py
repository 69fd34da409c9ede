"""What every measurement of ``scripts/bench`` needs: a cluster of its own, the command line, a row of the table."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

NETKUBE = [sys.executable, '-E', '-s', '-m', 'netkube.cli.main', '--cluster', 'bench']
API_SOCKET = '/run/netkube/bench/api.sock'
RUNS = 3


@dataclass(frozen=True)
class Row:
    what: str
    measured: str
    wanted: str
    peer: str = ''


def netkube(*words: str, stdin: str = '') -> str:
    done = subprocess.run([*NETKUBE, *words], input=stdin, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f'netkube {" ".join(words)}: {done.stderr}{done.stdout}')
    return done.stdout


def seconds(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


@contextlib.contextmanager
def cluster() -> Iterator[None]:
    netkube('up')
    try:
        yield
    finally:
        netkube('down', '--purge')


def ratio_of(ours: list[float], theirs: list[float]) -> float:
    """Pair by pair, so that a machine whose speed drifts does not matter."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
