"""The cluster daemon: ``python -m netkube.cluster.daemon FILE --progress-fd N``.

Start-up is imports, so the order is: the Node's namespace (a system call), then the processes that import for
themselves on the other core, and only then what this process needs. Pods, their network and DNS outlive it: it
finds them again when it starts, and SIGTERM ends nothing but itself.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import resource
import sys
from collections.abc import Iterator, Sequence

from netkube.apiserver.certificates import ensure_certificates, serving_names
from netkube.cluster import processes
from netkube.cluster.addressing import AddressPlan
from netkube.cluster.config import ClusterConfig, load
from netkube.cluster.progress import Progress
from netkube.cluster.start import FAILED
from netkube.network import namespaces
from netkube.runtime.teardown import teardown


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog='python -m netkube.cluster.daemon')
    parser.add_argument('file', help="the cluster's cluster.json")
    parser.add_argument('--progress-fd', type=int)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format='%(asctime)s %(levelname)s %(name)s: %(message)s')
    config = load('', os.path.dirname(os.path.abspath(options.file)))
    if config is None:
        sys.exit(f'{options.file} does not exist')
    progress = Progress(options.progress_fd)
    progress.say('starting the runtime and the resolver')
    namespaces.ensure(config.node_netns)
    ensure_runtime(config)
    dns_ready = ensure_dns(config)
    making_certificates = fork_certificates(config)
    _raise_file_limit()
    progress.say('starting the API server')

    import uvloop

    from netkube.cluster.controlplane import run
    from netkube.runtime.cri import RuntimeUnavailable

    if os.waitpid(making_certificates, 0)[1]:
        sys.exit('the certificates could not be made')
    gc.freeze()  # what was imported stays: no need to look at it again at each collection
    try:
        uvloop.run(run(config, progress, dns_ready))
    except* RuntimeUnavailable:
        # Without the runtime its Pods are gone, too. Starting is also how to recover from anything: so start again.
        logging.getLogger(__name__).warning('the runtime has ended; starting over')
        os.execv(sys.executable, [sys.executable, '-E', '-s', '-m', 'netkube.cluster.daemon', options.file])
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


def ensure_runtime(config: ClusterConfig) -> None:
    """The parent of all Pod processes; one that runs is kept, with its Pods."""
    if processes.find(config, processes.RUNTIME):
        return
    if config.containers.exists():  # the last one was killed: what is left of its Pods would be in the way
        teardown(config.cgroup, str(config.containers), config.pod_netns_prefix)
    config.runtime_socket.unlink(missing_ok=True)
    options = {'socket': config.runtime_socket, 'root': config.containers, 'cgroup': config.cgroup}
    arguments = [word for name, value in options.items() for word in (f'--{name}', str(value))]
    processes.spawn(config, processes.RUNTIME, 'netkube.runtime.server', arguments)


def ensure_dns(config: ClusterConfig) -> int | None:
    """The resolver; a descriptor that becomes readable when it answers, None if it ran already."""
    if processes.find(config, processes.DNS):
        return None
    plan = AddressPlan.of(config.pod_cidr, config.service_cidr)
    reader, writer = os.pipe()
    options = {
        'api-socket': config.api_socket, 'netns': config.node_netns, 'listen': plan.dns_vip,
        'cluster-domain': config.domain, 'ready-fd': writer,
    }  # fmt: skip
    arguments = [word for name, value in options.items() for word in (f'--{name}', str(value))]
    processes.spawn(config, processes.DNS, 'netkube.dns', arguments, pass_fds=[writer])
    os.close(writer)
    return reader


def fork_certificates(config: ClusterConfig) -> int:
    """Make what is missing of the cluster's certificates, in a child: what that imports (12 MB) goes with it."""
    plan = AddressPlan.of(config.pod_cidr, config.service_cidr)
    pid = os.fork()
    if pid == 0:
        try:
            ensure_certificates(
                config.pki, serving_names(str(plan.kubernetes_vip), config.domain, [str(plan.node_address)])
            )
            os._exit(0)
        except BaseException:
            logging.getLogger(__name__).exception('certificates')
            os._exit(1)
    return pid


def _raise_file_limit() -> None:
    """A watch, a log and a probe are a descriptor each: allow as many as the machine does."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == '__main__':
    main(sys.argv[1:])
