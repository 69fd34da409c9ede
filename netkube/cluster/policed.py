"""The Node's network, with network policies in force before a Pod is on it.

What a CNI plugin that enforces policies does: the kubelet's call to plug a Pod returns when its rules are there, and
no process of the Pod has started yet.
"""

from __future__ import annotations

import asyncio

from netkube.api.families import Address
from netkube.network.links import list_links
from netkube.network.namespaces import opened
from netkube.network.netlink import netlink_in
from netkube.networkpolicy.agent import NetworkPolicyAgent
from netkube.node.network import PORT_PREFIX, NodeNetwork, NodeNetworkConfig


class PolicedNetwork(NodeNetwork):
    def __init__(self, config: NodeNetworkConfig, policies: NetworkPolicyAgent) -> None:
        super().__init__(config)
        self._policies = policies

    async def start(self) -> None:
        """Pods that are plugged already are known from the beginning: a killed daemon may not have reported them."""
        await super().start()
        for pod_uid, addresses in (await asyncio.to_thread(plugged, self.config.netns)).items():
            self._policies.announce(pod_uid, addresses)

    async def plug(self, pod_uid: str, netns: str, *addresses: Address) -> None:
        """OSError, too, when there are policies that are not in force."""
        await self._policies.expect(pod_uid, map(str, addresses))
        await super().plug(pod_uid, netns, *addresses)


def plugged(netns: str) -> dict[str, tuple[str, ...]]:
    """The Pods that have a port, by uid, with their addresses: what ``NodeNetwork`` notes at each port."""
    with opened(netns) as file, netlink_in(file) as netlink:
        notes = [link.alias.split() for link in list_links(netlink) if link.name.startswith(PORT_PREFIX) and link.alias]
    return {pod_uid: tuple(addresses) for pod_uid, *addresses in notes}
