"""What the daemon starts beside itself: the runtime, the resolver, and at a first start who makes the certificates."""

from __future__ import annotations

import logging
import os

import msgspec

from netkube.cluster import processes
from netkube.cluster.config import ClusterConfig
from netkube.runtime.teardown import teardown


class Children(msgspec.Struct, frozen=True):
    """What a start waits for: a descriptor (see ``ensure_dns``), and the pid of ``fork_certificates``."""

    dns_ready: int | None
    certificates: int


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
    reader, writer = os.pipe()
    options = {
        'api-socket': config.api_socket, 'netns': config.node_netns, 'listen': config.dns_vips,
        'cluster-domain': config.domain, 'ready-fd': writer,
    }  # fmt: skip
    arguments = [word for name, value in options.items() for word in (f'--{name}', str(value))]
    processes.spawn(config, processes.DNS, 'netkube.dns', arguments, pass_fds=[writer])
    os.close(writer)
    return reader


def fork_certificates(config: ClusterConfig) -> int:
    """Make what is missing of the cluster's certificates, in a child: what that imports (12 MB) goes with it."""
    plans = config.plans
    pid = os.fork()
    if pid == 0:
        try:
            from netkube.apiserver.certificates import ensure_certificates, serving_names

            vip, *others = (str(plan.kubernetes_vip) for plan in plans)
            others += (str(plan.node_address) for plan in plans)
            ensure_certificates(config.pki, serving_names(vip, config.domain, others))
            os._exit(0)
        except BaseException:
            logging.getLogger(__name__).exception('certificates')
            os._exit(1)
    return pid


def reap_certificates(pid: int) -> None:
    """Wait for ``fork_certificates``. ChildProcessError when it failed."""
    if os.waitpid(pid, 0)[1]:
        raise ChildProcessError('the certificates could not be made')
