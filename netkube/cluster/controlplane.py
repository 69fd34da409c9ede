"""The composition root: every component made, handed what it needs, and run in one event loop.

All wiring is here and nowhere else. A component that ends ends the daemon; Pods, their network and DNS go on
without it until it is started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import logging
import os
import signal
import socket
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any

from netkube.api.errors import ApiError
from netkube.api.families import socket_family
from netkube.api.meta import Object
from netkube.api.resources import NODES
from netkube.apiserver.bootstrap import ensure_kubernetes_service, ensure_service_cidr
from netkube.apiserver.certificates import Pki, server_context
from netkube.apiserver.registry import Registry
from netkube.apiserver.server import ApiServer
from netkube.apiserver.storage import RARELY_READ
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.client.kubelet import Kubelet
from netkube.cluster import processes
from netkube.cluster.addressing import AddressPlans
from netkube.cluster.bootstrap import ensure_dns_service
from netkube.cluster.children import Children, ensure_dns, reap_certificates
from netkube.cluster.config import STATE_ROOT, ClusterConfig
from netkube.cluster.machine import MachineLink
from netkube.cluster.networks import machine_link_config, node_network_config
from netkube.cluster.policed import PolicedNetwork
from netkube.cluster.progress import READY, Progress
from netkube.cluster.serviceranges import ServiceRanges
from netkube.controllers import CONTROLLERS
from netkube.controllers.loadbalancer import LoadBalancerController
from netkube.controllers.rootca import RootCAController
from netkube.controllers.serviceaccounttoken import ServiceAccountTokenController
from netkube.network import namespaces
from netkube.networkpolicy.agent import NetworkPolicyAgent
from netkube.node.agent import NodeAgent
from netkube.node.config import NodeConfig
from netkube.proxy.proxy import ServiceProxy, networks_of
from netkube.runtime.client import RuntimeClient
from netkube.runtime.cri import RuntimeUnavailable
from netkube.scheduler.scheduler import Scheduler
from netkube.store.store import Store

RESOLV_CONF = Path('/etc/resolv.conf')
# Where systemd-resolved runs, /etc/resolv.conf names its stub on 127.0.0.53, which a Pod cannot reach.
SYSTEMD_RESOLV_CONF = Path('/run/systemd/resolve/resolv.conf')

API_PORT_IN_CLUSTER = 6443
CONNECT_SECONDS = 0.005  # between two tries to reach a runtime that is starting

log = logging.getLogger(__name__)

HIDDEN = (  # patterns; --hide adds to them
    '/etc/shadow', '/etc/shadow-', '/etc/gshadow', '/etc/gshadow-', '/root/.ssh', '/root/.gnupg', '/etc/ssh/ssh_host_*',
)  # fmt: skip


def node_config(config: ClusterConfig, plans: AddressPlans) -> NodeConfig:
    return NodeConfig(
        node_name=config.node_name,
        cluster_name=config.name,
        cluster_domain=config.domain,
        plans=plans,
        state_dir=config.state,
        memory_dir=config.run_dir / 'volumes',
        netns_of=lambda uid: f'{config.pod_netns_prefix}{uid}',
        pod_pids_limit=config.pod_pids_limit,
        hide=hidden_paths(config),
        machine_resolv_conf=SYSTEMD_RESOLV_CONF if SYSTEMD_RESOLV_CONF.exists() else RESOLV_CONF,
    )


def hidden_paths(config: ClusterConfig) -> tuple[str, ...]:
    """With what belongs to netkube: the states of all clusters, and where people keep an administrator's kubeconfig.

    Those of people who come later, and other clusters' state folders elsewhere, are known from the next start on.
    """
    kubeconfigs = (f'{home}/.kube' for home in ('/root', *glob.glob('/home/*')))
    states = (os.path.realpath(path) for path in glob.glob(f'{STATE_ROOT}/*'))
    own = (str(STATE_ROOT), config.state_dir, str(config.run_dir))
    return (*_existing((*HIDDEN, *config.hide)), *kubeconfigs, *own, *(path for path in states if path not in own))


def _existing(patterns: Iterable[str]) -> list[str]:
    """The paths of this machine that they mean: at the daemon's start."""
    return sorted({path for pattern in patterns for path in glob.glob(pattern)})


async def run(config: ClusterConfig, progress: Progress, children: Children) -> None:
    """The whole cluster, until SIGTERM; an exception of any component ends it."""
    main = asyncio.current_task()
    assert main is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, main.cancel)
    try:
        await ControlPlane(config).run(progress, children)
    except asyncio.CancelledError:
        log.info('stopped; Pods, their network and DNS go on')


class ControlPlane:
    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._plans = plans = config.plans
        self._registry = Registry(
            Store(config.database, shelved=RARELY_READ), service_cidr=config.service_cidr,
            issuer=f'https://kubernetes.default.svc.{config.domain}', signing_key=Pki(config.pki).signing_key,
        )  # fmt: skip
        self._server = ApiServer(self._registry, self._kubelet_of)
        self._informers = Informers(self._registry)
        self._machine = MachineLink(machine_link_config(config, plans))
        self._recorders: list[EventRecorder] = []
        self._policies = NetworkPolicyAgent(
            self._informers,
            config.node_netns,
            self._recorder('network-policy', config.node_name),
            resolvers=[str(plan.dns_vip) for plan in plans],
        )
        self._network = PolicedNetwork(node_network_config(config, plans), self._policies)
        self._runtime = RuntimeClient(str(config.runtime_socket))
        self._agent = NodeAgent(
            self._registry,
            self._informers,
            self._runtime,
            self._network,
            node_config(config, plans),
            self._recorder('kubelet', config.node_name),
        )
        self._proxy = ServiceProxy(
            self._informers,
            config.node_netns,
            networks_of([str(plan.service_cidr) for plan in plans], [str(plan.load_balancer_cidr) for plan in plans]),
            self._recorder('kube-proxy', config.node_name),
            node_name=config.node_name,
        )

    async def run(self, progress: Progress, children: Children) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._server.run(), name='API server')
            await self._server.serve_unix(self._config.api_socket)
            progress.say('starting the network')
            await self._network.start()
            await self._connect_runtime()
            await (self._machine.ensure() if self._config.host_access else self._machine.remove())
            await asyncio.to_thread(reap_certificates, children.certificates)
            await self._listen()
            primary = self._plans[0]
            await ensure_service_cidr(self._registry, [str(plan.service_cidr) for plan in self._plans])
            await ensure_kubernetes_service(
                self._registry, str(primary.kubernetes_vip), str(primary.node_address), API_PORT_IN_CLUSTER
            )
            await ensure_dns_service(self._registry, [str(plan.dns_vip) for plan in self._plans])
            progress.say('starting controllers, Node, proxy and DNS')
            for name, component in self._components().items():
                tasks.create_task(component, name=name)
            await self._ready(children.dns_ready)
            progress.end(READY)

    def _components(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What runs for ever, by name. The informers come last: each component has asked for its own by then."""
        controllers = [make(self._informers, self._recorder(make.component)) for make in CONTROLLERS]
        ca = Pki(self._config.pki).ca.certificate.read_text()
        controllers.append(RootCAController(self._informers, self._recorder(RootCAController.component), ca=ca))
        recorder = self._recorder(ServiceAccountTokenController.component)
        sign = self._registry.tokens.legacy
        controllers.append(ServiceAccountTokenController(self._informers, recorder, ca=ca, sign=sign))
        balancers = self._recorder(LoadBalancerController.component)
        ranges = [plan.load_balancer_cidr for plan in self._plans]
        controllers.append(LoadBalancerController(self._informers, balancers, ranges))
        scheduler = Scheduler(self._informers, self._recorder('default-scheduler'))
        components: dict[str, Coroutine[Any, Any, None]] = {
            'Node': self._agent.run(),
            'network': self._network.run(),
            'service ranges': self._service_ranges().run(),
            'proxy': self._proxy.run(),
            'network policies': self._policies.run(),
            'scheduler': scheduler.run(),
            **{controller.component: controller.run() for controller in controllers},
            'resolver': self._keep_dns(),
            'informers': self._informers.run(),
        }
        events = {f'events of {n}': recorder.run() for n, recorder in enumerate(self._recorders)}
        return components | events

    def _service_ranges(self) -> ServiceRanges:
        machine = self._machine if self._config.host_access else None
        recorder = self._recorder(ServiceRanges.component)
        return ServiceRanges(self._informers, recorder, self._plans, self._network, machine, self._proxy)

    async def _listen(self) -> None:
        """TLS for everyone with a certificate: on this machine's loopback, and for Pods at the Node's addresses."""
        context = server_context(Pki(self._config.pki))
        loopback = socket.create_server(('127.0.0.1', self._config.api_port), backlog=1024)
        await self._server.serve_tls(loopback, context)
        for plan in self._plans:
            family = socket_family(plan.node_address)
            node = namespaces.socket_in(self._config.node_netns, family, socket.SOCK_STREAM)
            node.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            node.bind((str(plan.node_address), API_PORT_IN_CLUSTER))
            node.listen(1024)
            await self._server.serve_tls(node, context)

    async def _ready(self, dns_ready: int | None) -> None:
        """The rules are in the kernel, the Node takes Pods, the resolver answers."""
        await self._proxy.synced.wait()
        await self._policies.synced.wait()
        await self._node_is_ready()
        if dns_ready is not None:
            await _readable(dns_ready)

    async def _node_is_ready(self) -> None:
        ready = asyncio.Event()

        def look(_: Object | None, node: Object | None) -> None:
            conditions = (node or {}).get('status', {}).get('conditions', ())
            if any(c['type'] == 'Ready' and c['status'] == 'True' for c in conditions):
                ready.set()

        self._informers[NODES].subscribe(look)
        await ready.wait()

    async def _connect_runtime(self) -> None:
        """The runtime was started a moment ago, or long before: wait until it listens, while it lives."""
        while True:
            try:
                await self._runtime.connect()
                return
            except RuntimeUnavailable:
                if not processes.find(self._config, processes.RUNTIME):
                    raise
                await asyncio.sleep(CONNECT_SECONDS)

    async def _keep_dns(self) -> None:
        """Start the resolver again each time it ends."""
        while True:
            entry = processes.find(self._config, processes.DNS)
            if entry is not None:
                await _ended(entry.pid)
                log.warning('the resolver has ended; starting it again')
            ready = ensure_dns(self._config)
            if ready is not None:
                await _readable(ready)

    def _recorder(self, component: str, host: str = '') -> EventRecorder:
        recorder = EventRecorder(self._registry, component, host)
        self._recorders.append(recorder)
        return recorder

    def _kubelet_of(self, node: str) -> Kubelet:
        if node != self._config.node_name:
            raise ApiError(503, 'ServiceUnavailable', f'no agent of node {node} is connected')
        return self._agent.serving


async def _readable(descriptor: int) -> None:
    """Wait until there is something to read, or the other end is closed; then close."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _ended(pid: int) -> None:
    """Wait for the end of a process, ours or adopted."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    await _readable(descriptor)
    with contextlib.suppress(ChildProcessError):  # it was started by an earlier daemon
        os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - it does not wait
