"""The Node's network, with network policies in force before a Pod is on it.

What a CNI plugin that enforces policies does: the kubelet's call to plug a Pod returns when its rules are there, and
no process of the Pod has started yet.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from netkube.networkpolicy.agent import NetworkPolicyAgent
from netkube.node.network import NodeNetwork, NodeNetworkConfig


class PolicedNetwork(NodeNetwork):
    def __init__(self, config: NodeNetworkConfig, policies: NetworkPolicyAgent) -> None:
        super().__init__(config)
        self._policies = policies

    async def plug(self, pod_uid: str, netns: str, address: IPv4Address) -> None:
        """OSError, too, when there are policies that are not in force."""
        await self._policies.expect(pod_uid, [str(address)])
        await super().plug(pod_uid, netns, address)
