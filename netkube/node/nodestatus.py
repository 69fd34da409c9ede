"""The Node object and its status: pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netkube.api.meta import Object, timestamp
from netkube.node.config import NodeConfig
from netkube.node.machine import DISK_AVAILABLE, MachineInfo, Pressure

KUBELET_VERSION = 'v1.37.0+netkube'
RUNTIME_VERSION = 'netkube://0.1.0'


def new_node(config: NodeConfig, info: MachineInfo) -> Object:
    labels = {'kubernetes.io/hostname': config.node_name, 'kubernetes.io/os': 'linux'}
    labels['kubernetes.io/arch'] = info.architecture
    labels |= {'beta.kubernetes.io/os': 'linux', 'beta.kubernetes.io/arch': info.architecture}
    spec = {'podCIDR': config.pod_cidrs[0], 'podCIDRs': list(config.pod_cidrs)}
    return {
        'apiVersion': 'v1', 'kind': 'Node', 'metadata': {'name': config.node_name, 'labels': labels}, 'spec': spec,
    }  # fmt: skip


def node_status(config: NodeConfig, info: MachineInfo, pressure: Pressure, old: Object, now: datetime) -> Object:
    return {
        'capacity': capacity(config, info),
        'allocatable': allocatable(config, info),
        'addresses': [
            *({'type': 'InternalIP', 'address': address} for address in config.node_addresses),
            {'type': 'Hostname', 'address': config.node_name},
        ],
        'conditions': node_conditions(pressure, old, now),
        'nodeInfo': node_info(info),
        'runtimeHandlers': [{'name': '', 'features': {'recursiveReadOnlyMounts': True, 'userNamespaces': False}}],
        'features': {'supplementalGroupsPolicy': True},
    }


def capacity(config: NodeConfig, info: MachineInfo) -> dict[str, str]:
    return {
        'cpu': str(info.cpus),
        'memory': f'{info.memory // 1024}Ki',
        'ephemeral-storage': f'{info.disk // 1024}Ki',
        'pods': str(config.max_pods),
        'hugepages-1Gi': '0',
        'hugepages-2Mi': '0',
    }


def allocatable(config: NodeConfig, info: MachineInfo) -> dict[str, str]:
    """Of the disk not what must stay free, below which there is DiskPressure."""
    return {**capacity(config, info), 'ephemeral-storage': str(int(info.disk * (1 - DISK_AVAILABLE)))}


def node_info(info: MachineInfo) -> dict[str, Any]:
    return {
        'machineID': info.machine_id,
        'systemUUID': info.system_uuid,
        'bootID': info.boot_id,
        'kernelVersion': info.kernel,
        'osImage': info.os_image,
        'containerRuntimeVersion': RUNTIME_VERSION,
        'kubeletVersion': KUBELET_VERSION,
        'kubeProxyVersion': KUBELET_VERSION,
        'operatingSystem': 'linux',
        'architecture': info.architecture,
        **({'swap': {'capacity': info.swap}} if info.swap else {}),
    }


# type: (reason and message when it is so, reason and message when it is not), in the kubelet's words
PRESSURES = {
    'MemoryPressure': (
        ('KubeletHasInsufficientMemory', 'kubelet has insufficient memory available'),
        ('KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
    ),
    'DiskPressure': (
        ('KubeletHasDiskPressure', 'kubelet has disk pressure'),
        ('KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
    ),
    'PIDPressure': (
        ('KubeletHasInsufficientPID', 'kubelet has insufficient PID available'),
        ('KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
    ),
}


# The kubelet's events when it becomes so, and when it is so no more
PRESSURE_EVENTS = {
    'MemoryPressure': ('NodeHasInsufficientMemory', 'NodeHasSufficientMemory'),
    'DiskPressure': ('NodeHasDiskPressure', 'NodeHasNoDiskPressure'),
    'PIDPressure': ('NodeHasInsufficientPID', 'NodeHasSufficientPID'),
}


def pressure_events(before: Pressure, now: Pressure) -> list[str]:
    """The reasons of what has changed."""
    was, is_now = _by_condition(before), _by_condition(now)
    return [PRESSURE_EVENTS[kind][0 if is_now[kind] else 1] for kind in PRESSURES if was[kind] != is_now[kind]]


def _by_condition(pressure: Pressure) -> dict[str, bool]:
    return {'MemoryPressure': pressure.memory, 'DiskPressure': pressure.disk, 'PIDPressure': pressure.pids}


def node_conditions(pressure: Pressure, old: Object, now: datetime) -> list[dict[str, Any]]:
    so = _by_condition(pressure)
    conditions = [_condition(kind, so[kind], *PRESSURES[kind][0 if so[kind] else 1], old, now) for kind in PRESSURES]
    return [*conditions, _condition('Ready', True, 'KubeletReady', 'kubelet is posting ready status', old, now)]


def _condition(kind: str, true: bool, reason: str, message: str, old: Object, now: datetime) -> dict[str, Any]:
    status = 'True' if true else 'False'
    before = next((c for c in old.get('conditions') or () if c['type'] == kind), None)
    transition = before['lastTransitionTime'] if before and before['status'] == status else timestamp(now)
    return {
        'type': kind, 'status': status, 'lastHeartbeatTime': timestamp(now), 'lastTransitionTime': transition,
        'reason': reason, 'message': message,
    }  # fmt: skip
