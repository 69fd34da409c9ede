"""A cluster's configuration in the terms of its network's parts."""

from __future__ import annotations

from netkube.cluster.addressing import AddressPlans
from netkube.cluster.config import ClusterConfig
from netkube.cluster.machine import MachineLinkConfig
from netkube.node.network import NodeNetworkConfig


def machine_link_config(config: ClusterConfig, plans: AddressPlans) -> MachineLinkConfig:
    return MachineLinkConfig(config.name, config.node_netns, plans, config.machine_record)


def node_network_config(config: ClusterConfig, plans: AddressPlans) -> NodeNetworkConfig:
    return NodeNetworkConfig(config.node_netns, plans)
