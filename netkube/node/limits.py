"""The cgroup values of a Pod and its containers, and how soon the kernel may kill them for want of memory. Pure.

Source: kubernetes pkg/kubelet/cm (ResourceConfigForPod), pkg/kubelet/kuberuntime (calculateLinuxResources),
pkg/kubelet/qos (GetContainerOOMScoreAdjust); KEP-2837 for resources of the Pod itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from netkube.api.meta import Object
from netkube.api.podresources import aggregate, parse_amount, pod_limits, pod_requests
from netkube.api.qos import qos_class
from netkube.node.podspec import all_containers, init_containers, is_sidecar, main_containers
from netkube.runtime.cri import MIN_SHARES, LinuxContainerResources

CPU_PERIOD, MIN_QUOTA = 100_000, 1000  # microseconds
SHARES_PER_CPU, MAX_SHARES = 1024, 262_144
NODE_CRITICAL = 2_000_001_000  # the priority of system-node-critical
GUARANTEED_SCORE, BEST_EFFORT_SCORE = -997, 1000
LEAST_BURSTABLE, MOST_BURSTABLE = 1000 + GUARANTEED_SCORE, BEST_EFFORT_SCORE - 1


def shares_of(milli_cpu: int) -> int:
    """MilliCPUToShares."""
    return min(max(milli_cpu * SHARES_PER_CPU // 1000, MIN_SHARES), MAX_SHARES)


def quota_of(milli_cpu: int) -> int:
    """MilliCPUToQuota: no less than 1 ms in every 100; 0 is no limit."""
    return max(MIN_QUOTA, milli_cpu * CPU_PERIOD // 1000) if milli_cpu else 0


def pod_resources(pod: Object) -> LinuxContainerResources:
    """Of all containers together: a limit only where each container, or the Pod itself, has one."""
    if _qos(pod) == 'BestEffort':
        return LinuxContainerResources(cpu_shares=MIN_SHARES)
    limits = pod_limits(pod)
    return LinuxContainerResources(
        cpu_quota=quota_of(limits['cpu']) if _is_limited(pod, 'cpu') else 0,
        memory_limit=limits['memory'] if _is_limited(pod, 'memory') else 0,
        cpu_shares=shares_of(pod_requests(pod, {}).get('cpu', 0)),
    )


def container_resources(pod: Object, container: Object, memory: int) -> LinuxContainerResources:
    """``memory`` is the Node's, in bytes."""
    score = oom_score_adj(pod, container, memory)
    limits = {**_of(pod['spec'], 'limits'), **_of(container, 'limits')}
    says = 'cpu' in ((container.get('resources') or {}).get('requests') or {})
    return LinuxContainerResources(
        cpu_quota=quota_of(limits.get('cpu', 0)),
        memory_limit=limits.get('memory', 0),
        cpu_shares=shares_of((_of(container, 'requests') if says else limits).get('cpu', 0)),
        oom_score_adj=score,
    )


def oom_score_adj(pod: Object, container: Object, memory: int) -> int:
    """The more of the Node's memory a Burstable container has requested, the later it is killed."""
    if (pod['spec'].get('priority') or 0) >= NODE_CRITICAL:
        return GUARANTEED_SCORE
    match _qos(pod):
        case 'Guaranteed':
            return GUARANTEED_SCORE
        case 'BestEffort':
            return BEST_EFFORT_SCORE
    share = _share_of_rest(pod)
    request = _memory_request(container)
    if is_sidecar(container):  # killed no sooner than those it serves
        request = max(request, min(map(_memory_request, main_containers(pod))))
    score = 1000 - 1000 * (request + share) // memory
    return min(max(score, LEAST_BURSTABLE), MOST_BURSTABLE)


def _share_of_rest(pod: Object) -> int:
    """What the Pod requests beyond its containers' requests is for all of them alike."""
    requested = _of(pod['spec'], 'requests').get('memory', 0)
    if not requested:
        return 0
    rest = requested - aggregate(pod, 'requests', {}).get('memory', 0)
    return rest // (len(main_containers(pod)) + len(init_containers(pod)))


def _qos(pod: Object) -> str:
    return (pod.get('status') or {}).get('qosClass') or qos_class(pod['spec'])


def _is_limited(pod: Object, name: str) -> bool:
    return bool(_of(pod['spec'], 'limits').get(name)) or all(_limits_of_each(pod, name))


def _limits_of_each(pod: Object, name: str) -> Iterator[int]:
    return (_of(container, 'limits').get(name, 0) for container in all_containers(pod))


def _memory_request(container: Object) -> int:
    return _of(container, 'requests').get('memory', 0)


def _of(holder: Mapping[str, Any], kind: str) -> dict[str, int]:
    """Of cpu and memory, those that are not zero."""
    amounts = (holder.get('resources') or {}).get(kind) or {}
    parsed = {name: parse_amount(name, amounts[name]) for name in ('cpu', 'memory') if name in amounts}
    return {name: amount for name, amount in parsed.items() if amount}
