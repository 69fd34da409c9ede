"""A cluster's configuration in the terms of its network's parts."""

from __future__ import annotations

from netkube.cluster.addressing import AddressPlan
from netkube.cluster.config import ClusterConfig
from netkube.cluster.machine import MachineLinkConfig
from netkube.node.network import NodeNetworkConfig


def machine_link_config(config: ClusterConfig, plan: AddressPlan) -> MachineLinkConfig:
    return MachineLinkConfig(
        cluster=config.name,
        node_netns=config.node_netns,
        machine_address=plan.machine_address,
        node_address=plan.node_address,
        pod_cidr=plan.pod_cidr,
        service_cidr=plan.service_cidr,
        record=config.machine_record,
    )


def node_network_config(config: ClusterConfig, plan: AddressPlan) -> NodeNetworkConfig:
    return NodeNetworkConfig(
        netns=config.node_netns,
        pod_cidr=plan.pod_cidr,
        service_cidr=plan.service_cidr,
        gateway=plan.gateway,
        node_address=plan.node_address,
        dns_vip=plan.dns_vip,
    )
