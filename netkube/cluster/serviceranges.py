"""The ranges of ServiceCIDRs in the routes of Node and machine and in the proxy's rules, so that each is as the first.

Pods need no route of their own: all they send goes to the Node. A range that would take packets away from somebody
else (from Pods, or from a network of the machine) gets no route, and its ServiceCIDR an Event that says so: its
addresses work for Pods, which is as far as the API server can promise, and not from there.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network

from netkube.api.families import Network, family_of
from netkube.api.meta import Object
from netkube.api.resources import SERVICECIDRS
from netkube.client.controller import Controller
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.cluster.addressing import AddressPlans
from netkube.cluster.machine import MachineLink
from netkube.node.network import NodeNetwork
from netkube.proxy.proxy import ServiceProxy, networks_of

ALL = ('', 'all')


class ServiceRanges:
    """``machine`` is None for a cluster without host access."""

    component = 'service-ranges'

    def __init__(
        self,
        informers: Informers,
        recorder: EventRecorder,
        plans: AddressPlans,
        node: NodeNetwork,
        machine: MachineLink | None,
        proxy: ServiceProxy,
    ) -> None:
        self._recorder, self._plans, self._node, self._machine = recorder, plans, node, machine
        self._proxy, self._served = proxy, {plan.service_cidr for plan in plans}
        self._cidrs = informers[SERVICECIDRS]
        self._controller = Controller('serviceranges', informers, self._sync, expected=(OSError,))
        self._controller.watch(SERVICECIDRS, lambda _: [ALL])

    async def run(self) -> None:
        await self._controller.run()

    async def _sync(self, _: object) -> None:
        """One that is being deleted still has addresses that are in use."""
        wanted = {network: obj for obj in self._cidrs.list() for network in self._networks(obj)}
        for network in [network for network in wanted if self._is_of_pods(network)]:
            self._refuse(wanted.pop(network), f'no route to {network}: it overlaps the range of Pods')
        await self._node.route_services(wanted)
        self._serve(wanted)
        if self._machine is not None:
            for network, why in (await self._machine.route_services(wanted)).items():
                self._refuse(wanted[network], why)

    def _serve(self, ranges: Iterable[Network]) -> None:
        wanted = {plan.service_cidr for plan in self._plans} | set(ranges)
        if wanted != self._served:
            self._served = wanted
            balanced = (str(plan.load_balancer_cidr) for plan in self._plans)
            self._proxy.serve(networks_of(sorted(map(str, wanted)), balanced))

    def _networks(self, obj: Object) -> list[Network]:
        """Of the cluster's families."""
        families = [plan.family for plan in self._plans]
        networks = map(ip_network, obj['spec'].get('cidrs') or ())
        return [network for network in networks if family_of(network) in families]

    def _is_of_pods(self, network: Network) -> bool:
        return any(network.version == plan.pod_cidr.version and network.overlaps(plan.pod_cidr) for plan in self._plans)

    def _refuse(self, obj: Object, why: str) -> None:
        self._recorder.event(obj, 'Warning', 'NotRouted', why)
