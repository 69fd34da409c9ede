"""A Pod's policies are in force before it is plugged, and a new daemon knows who is plugged."""

from __future__ import annotations

import json
from collections.abc import Iterable
from ipaddress import IPv4Address
from typing import Any, cast

import pytest

from netkube.cluster.policed import PolicedNetwork, plugged
from netkube.networkpolicy.agent import NetworkPolicyAgent
from netkube.node.network import NodeNetwork
from netkube.testing import Cluster
from netkube.testing.objects import pod


class Policies:
    def __init__(self, told: list[Any]) -> None:
        self.told = told

    def announce(self, pod_uid: str, addresses: Iterable[str]) -> None:
        self.told.append(('announced', pod_uid, *addresses))

    async def expect(self, pod_uid: str, addresses: Iterable[str]) -> None:
        self.told.append(('in force', pod_uid, *addresses))


async def test_policies_come_first_and_a_new_daemon_knows_who_is_plugged(
    shop: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.apply(pod('one'))
    one = shop.get('pod', 'one')
    uid, addresses = one['metadata']['uid'], tuple(each['ip'] for each in one['status']['podIPs'])
    netns = json.loads(shop('status', '-o', 'json'))['nodeNetworkNamespace']
    assert plugged(netns)[uid] == addresses

    told: list[Any] = []

    async def start(network: NodeNetwork) -> None:
        told.append('started')

    async def plug(network: NodeNetwork, pod_uid: str, netns: str, *addresses: IPv4Address) -> None:
        told.append('plugged')

    monkeypatch.setattr(NodeNetwork, 'start', start)
    monkeypatch.setattr(NodeNetwork, 'plug', plug)
    config = cast(Any, type('Config', (), {'netns': netns, 'plans': ()}))
    network = PolicedNetwork(config, cast(NetworkPolicyAgent, Policies(told)))
    await network.start()
    await network.plug('two', 'pod-two', IPv4Address('10.244.0.9'))

    assert told == ['started', ('announced', uid, *addresses), ('in force', 'two', '10.244.0.9'), 'plugged']
