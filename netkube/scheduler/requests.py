"""What a Pod asks a Node for: resources and host ports."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from netkube.api.meta import Object
from netkube.api.podresources import Amounts, pod_requests

HostPort = tuple[str, str, int]  # (address, protocol, port); 0.0.0.0 is every address

# What a container without a request counts for in scores, so that such Pods spread, too.
DEFAULT_CPU, DEFAULT_MEMORY = 100, 200 * 1024 * 1024


class Demand(msgspec.Struct, frozen=True):
    """``score_*``: with the defaults for containers that request nothing."""

    requests: Amounts
    host_ports: frozenset[HostPort]
    score_cpu: int
    score_memory: int


def parse_demand(pod: Object) -> Demand:
    return Demand(
        pod_requests(pod, {}),
        frozenset(_host_ports(pod)),
        pod_requests(pod, {'cpu': DEFAULT_CPU})['cpu'],
        pod_requests(pod, {'memory': DEFAULT_MEMORY})['memory'],
    )


def _host_ports(pod: Object) -> Iterable[HostPort]:
    sidecars = (c for c in pod['spec'].get('initContainers') or () if c.get('restartPolicy') == 'Always')
    for container in (*pod['spec']['containers'], *sidecars):
        for port in container.get('ports') or ():
            if port.get('hostPort'):
                yield port.get('hostIP') or '0.0.0.0', port.get('protocol', 'TCP'), port['hostPort']
