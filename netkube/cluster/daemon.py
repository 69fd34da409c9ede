"""The cluster daemon: ``python -m netkube.cluster.daemon FILE [PROGRESS_FD]``.

Start-up is imports, so the order is: the Node's namespace (a system call), then the processes that import for
themselves on the other core, and only then what this process needs. Pods, their network and DNS outlive it: it
finds them again when it starts, and SIGTERM ends nothing but itself.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress

from netkube.cluster.children import Children, ensure_dns, ensure_runtime, fork_certificates
from netkube.cluster.config import load
from netkube.cluster.progress import FAILED, Progress
from netkube.network import namespaces

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
MALLOC = ((M_ARENA_MAX, 1), (M_TRIM_THRESHOLD, 256 << 10), (M_MMAP_THRESHOLD, 256 << 10))


def main(file: str, progress_fd: str = '') -> None:
    """``file`` is the cluster's cluster.json. Not argparse: it would be 10 ms of each start."""
    gc.disable()  # until all is imported: what a start makes is there to stay
    logging.basicConfig(level=logging.INFO, format='%(asctime)s %(levelname)s %(name)s: %(message)s')
    logging.getLogger('uvicorn').setLevel(logging.WARNING)  # it would say each WebSocket
    config = load('', os.path.dirname(os.path.abspath(file)))
    if config is None:
        sys.exit(f'{file} does not exist')
    progress = Progress(int(progress_fd) if progress_fd else None)
    progress.say('starting the runtime and the resolver')
    namespaces.ensure(config.node_netns)
    ensure_runtime(config)
    children = Children(ensure_dns(config), fork_certificates(config))
    _raise_file_limit()
    _give_memory_back()
    progress.say('starting the API server')

    import uvloop

    from netkube.cluster.controlplane import run
    from netkube.runtime.cri import RuntimeUnavailable

    gc.freeze()  # no need to look at it again at each collection
    gc.enable()
    try:
        uvloop.run(run(config, progress, children))
    except* RuntimeUnavailable:
        # Without the runtime its Pods are gone, too. Starting is also how to recover from anything: so start again.
        logging.getLogger(__name__).warning('the runtime has ended; starting over')
        os.execv(sys.executable, [sys.executable, '-E', '-s', '-m', 'netkube.cluster.daemon', file])
    except* Exception as failures:
        progress.end(FAILED + '; '.join(_words(failures)))
        raise


def _words(failures: BaseExceptionGroup[BaseException]) -> Iterator[str]:
    """What each failure says, on one line."""
    for failure in failures.exceptions:
        if isinstance(failure, BaseExceptionGroup):
            yield from _words(failure)
        else:
            yield ' '.join((str(failure) or type(failure).__name__).split())


def _raise_file_limit() -> None:
    """A watch, a log and a probe are a descriptor each: allow as many as the machine does."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _give_memory_back() -> None:
    """What a burst of Pods took goes back to the machine: glibc would keep a heap for each thread, and raise by itself
    the sizes from which it gives anything back. mallopt(3)
    """
    with suppress(AttributeError):  # another C library
        for parameter, value in MALLOC:
            ctypes.CDLL(None).mallopt(parameter, value)


if __name__ == '__main__':
    main(*sys.argv[1:])
