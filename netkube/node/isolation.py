"""Which namespaces a Pod asks for: its own, or those of the Node and the machine. Pure.

``hostNetwork`` is the Node's network namespace, where kube-proxy's rules and the Node's address are; ``hostPID`` and
``hostIPC`` are the machine's, as the Node has no processes of its own.
"""

from __future__ import annotations

from netkube.api.families import Address
from netkube.api.meta import Object
from netkube.node.dnsconfig import pod_hostname
from netkube.runtime.cri import CONTAINER, DEFAULT_SYSCTLS, NODE, POD, NamespaceOption

# kubernetes pkg/kubelet/sysctl/namespace.go
IPC_SYSCTLS = ('kernel.sem', 'kernel.shm', 'kernel.msg', 'fs.mqueue.')


class SysctlForbidden(Exception):
    """The message is kubelet's."""


def is_on_node_network(pod: Object) -> bool:
    return pod['spec'].get('hostNetwork') is True


def namespace_option(pod: Object) -> NamespaceOption:
    spec = pod['spec']
    process_ids = POD if spec.get('shareProcessNamespace') else CONTAINER
    return NamespaceOption(
        network=NODE if is_on_node_network(pod) else POD,
        pid=NODE if spec.get('hostPID') else process_ids,
        ipc=NODE if spec.get('hostIPC') else POD,
    )


def seen_hostname(pod: Object, domain: str, node_name: str) -> str:
    """What the containers see; with the Node's network, the Node's name."""
    return node_name if is_on_node_network(pod) else pod_hostname(pod, domain).hostname


def is_network_sysctl(name: str) -> bool:
    """It belongs to a network namespace, so a Pod can have its own."""
    return name.replace('/', '.').startswith('net.')


def is_ipc_sysctl(name: str) -> bool:
    """It belongs to an IPC namespace."""
    return name.replace('/', '.').startswith(IPC_SYSCTLS)


def sandbox_sysctls(pod: Object, addresses: tuple[Address, ...]) -> dict[str, str]:
    """SysctlForbidden for one that would be the Node's or the machine's."""
    spec = pod['spec']
    wanted = {each['name']: each['value'] for each in (spec.get('securityContext') or {}).get('sysctls') or ()}
    for name in wanted:
        if is_network_sysctl(name) and is_on_node_network(pod):
            raise SysctlForbidden(f'forbidden sysctl: "{name}" not allowed with host net enabled')
        if is_ipc_sysctl(name) and spec.get('hostIPC'):
            raise SysctlForbidden(f'forbidden sysctl: "{name}" not allowed with host ipc enabled')
    own = {name: value for name, value in wanted.items() if is_network_sysctl(name) or is_ipc_sysctl(name)}
    return own if is_on_node_network(pod) else {**DEFAULT_SYSCTLS, **_ipv6(addresses), **own}


def _ipv6(addresses: tuple[Address, ...]) -> dict[str, str]:
    """A Pod without an IPv6 address has no IPv6 at all."""
    return {'net.ipv6.conf.all.disable_ipv6': '0' if any(address.version == 6 for address in addresses) else '1'}
