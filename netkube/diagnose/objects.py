"""The cluster's objects as a diagnosis sees them."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from netkube.api import resources
from netkube.api.meta import Object

SERVICE_NAME_LABEL = 'kubernetes.io/service-name'


class Api(Protocol):
    """How objects are read: the command line's connection."""

    def get(self, path: str, **query: Any) -> Object: ...


class ServicePort(msgspec.Struct, frozen=True):
    """``target`` is a number, or the name of a port of the Pod; ``node_port`` 0 is none."""

    name: str
    protocol: str
    port: int
    target: int | str
    node_port: int = 0

    def __str__(self) -> str:
        return f'{self.port}/{self.protocol}' + (f' ({self.name})' if self.name else '')


class Service(msgspec.Struct, frozen=True):
    namespace: str
    name: str
    type: str
    selector: dict[str, str]
    ports: tuple[ServicePort, ...] = ()
    cluster_ips: tuple[str, ...] = ()
    outer_ips: tuple[str, ...] = ()
    """externalIPs and the load balancer's."""
    external_name: str = ''

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    @property
    def label(self) -> str:
        return f'{self.namespace}/{self.name}'

    @property
    def headless(self) -> bool:
        return not self.cluster_ips and self.type != 'ExternalName'

    @property
    def kind(self) -> str:
        return 'headless' if self.headless else self.type


class ContainerPort(msgspec.Struct, frozen=True):
    name: str
    protocol: str
    port: int


class Pod(msgspec.Struct, frozen=True):
    """``why`` says why it is not ready, '' if it is; ``containers`` are ids of running ones by name."""

    namespace: str
    name: str
    uid: str
    labels: dict[str, str]
    addresses: tuple[str, ...]
    phase: str
    ready: bool
    why: str
    ports: tuple[ContainerPort, ...]
    containers: dict[str, str]

    @property
    def label(self) -> str:
        return f'{self.namespace}/{self.name}'


class Endpoint(msgspec.Struct, frozen=True):
    """One address of an EndpointSlice, and the port it has for the Service's port that was asked for (0: none)."""

    address: str
    port: int
    ready: bool
    serving: bool
    terminating: bool
    pod: str = ''


def parse_service(obj: Object) -> Service:
    spec, status = obj['spec'], obj.get('status') or {}
    ingress = (status.get('loadBalancer') or {}).get('ingress') or ()
    addresses = spec.get('clusterIPs') or [spec.get('clusterIP') or 'None']
    return Service(
        namespace=obj['metadata']['namespace'],
        name=obj['metadata']['name'],
        type=spec.get('type') or 'ClusterIP',
        selector=spec.get('selector') or {},
        ports=tuple(_parse_service_port(port) for port in spec.get('ports') or ()),
        cluster_ips=tuple(address for address in addresses if address and address != 'None'),
        outer_ips=(*(spec.get('externalIPs') or ()), *(item['ip'] for item in ingress if item.get('ip'))),
        external_name=spec.get('externalName') or '',
    )


def _parse_service_port(port: Object) -> ServicePort:
    protocol = (port.get('protocol') or 'TCP').lower()
    target = port.get('targetPort') or port['port']
    return ServicePort(port.get('name') or '', protocol, port['port'], target, port.get('nodePort') or 0)


def parse_pod(obj: Object) -> Pod:
    spec, status, metadata = obj['spec'], obj.get('status') or {}, obj['metadata']
    conditions = {condition['type']: condition for condition in status.get('conditions') or ()}
    ready = (conditions.get('Ready') or {}).get('status') == 'True' and not metadata.get('deletionTimestamp')
    # A sidecar (an init container that goes on) declares ports, too.
    sidecars = [c for c in spec.get('initContainers') or () if c.get('restartPolicy') == 'Always']
    ports = [port for container in (*spec['containers'], *sidecars) for port in container.get('ports') or ()]
    return Pod(
        namespace=metadata['namespace'],
        name=metadata['name'],
        uid=metadata['uid'],
        labels=metadata.get('labels') or {},
        addresses=tuple(item['ip'] for item in status.get('podIPs') or ()),
        phase=status.get('phase') or 'Pending',
        ready=ready,
        why='' if ready else why_not_ready(obj),
        ports=tuple(
            ContainerPort(p.get('name') or '', (p.get('protocol') or 'TCP').lower(), p['containerPort']) for p in ports
        ),
        containers={
            state['name']: state.get('containerID', '').rpartition('/')[2]
            for state in (*(status.get('containerStatuses') or ()), *(status.get('initContainerStatuses') or ()))
            if 'running' in (state.get('state') or {})
        },
    )


def why_not_ready(pod: Object) -> str:
    """What its status says, in a few words; the readiness probe's own words are in an Event."""
    status = pod.get('status') or {}
    if pod['metadata'].get('deletionTimestamp'):
        return 'it is being deleted'
    for container in (*(status.get('initContainerStatuses') or ()), *(status.get('containerStatuses') or ())):
        state = container.get('state') or {}
        if waiting := state.get('waiting'):
            return f'container {container["name"]} waits: {_reason(waiting)}'
        if (ended := state.get('terminated')) and ended.get('exitCode'):
            return f'container {container["name"]} has ended with exit code {ended["exitCode"]}'
    if status.get('phase') != 'Running':
        return f'it is {status.get("phase") or "Pending"}{_unscheduled(status)}'
    for condition in status.get('conditions') or ():
        if condition['type'] == 'Ready' and condition['status'] != 'True':
            return condition.get('message') or condition.get('reason') or 'its condition Ready is not True'
    return 'it has no condition Ready'


def _reason(waiting: Object) -> str:
    return ': '.join(waiting[key] for key in ('reason', 'message') if waiting.get(key)) or 'no reason given'


def _unscheduled(status: Object) -> str:
    for condition in status.get('conditions') or ():
        if condition['type'] == 'PodScheduled' and condition['status'] != 'True':
            return f': {condition.get("message") or condition.get("reason") or "not scheduled"}'
    return ''


def parse_endpoints(slices: list[Object], wanted: ServicePort | None) -> list[Endpoint]:
    """Of all EndpointSlices of one Service, sorted. Absent conditions mean ready (discovery/v1)."""
    found: dict[tuple[str, int], Endpoint] = {}
    for endpoint_slice in slices:
        number = next((port['port'] for port in endpoint_slice.get('ports') or () if _is_port(port, wanted)), 0)
        for item in endpoint_slice.get('endpoints') or ():
            conditions, target = item.get('conditions') or {}, item.get('targetRef') or {}
            ready = conditions.get('ready') is not False
            for address in item['addresses'] if endpoint_slice['addressType'] != 'FQDN' else ():
                found[address, number] = Endpoint(
                    address, number, ready, conditions.get('serving', ready), bool(conditions.get('terminating')),
                    target.get('name', '') if target.get('kind') == 'Pod' else '',
                )  # fmt: skip
    return sorted(found.values(), key=lambda endpoint: (endpoint.pod, endpoint.address))


def _is_port(port: Object, wanted: ServicePort | None) -> bool:
    if wanted is None or not port.get('port'):
        return False
    return (port.get('name') or '', (port.get('protocol') or 'TCP').lower()) == (wanted.name, wanted.protocol)


class Cluster:
    """The objects as they are now, each collection read once. ``domain`` is the cluster's."""

    def __init__(self, api: Api, domain: str) -> None:
        self._api, self.domain = api, domain
        self._services: list[Service] | None = None

    def services(self) -> list[Service]:
        if self._services is None:
            items = self._api.get(resources.SERVICES.path())['items']
            self._services = sorted(map(parse_service, items), key=lambda service: service.key)
        return self._services

    def find_service(self, namespace: str, name: str) -> Service | None:
        return next((service for service in self.services() if service.key == (namespace, name)), None)

    def pods(self, namespace: str | None) -> list[Pod]:
        """Of one Namespace; None: of all."""
        return [parse_pod(item) for item in self._api.get(resources.PODS.path(namespace))['items']]

    def find_pod_at(self, address: str) -> Pod | None:
        """The Pod that has this address now."""
        found = self._api.get(resources.PODS.path(), fieldSelector=f'status.podIP={address}')['items']
        pods = [parse_pod(item) for item in found] or self.pods(None)  # the selector knows a Pod's first address only
        return next((pod for pod in pods if address in pod.addresses and pod.phase in ('Running', 'Pending')), None)

    def endpoint_slices(self, service: Service) -> list[Object]:
        path = resources.ENDPOINTSLICES.path(service.namespace)
        return self._api.get(path, labelSelector=f'{SERVICE_NAME_LABEL}={service.name}')['items']

    def node_addresses(self) -> list[str]:
        nodes = self._api.get(resources.NODES.path())['items']
        return [item['address'] for node in nodes for item in node['status'].get('addresses') or ()]

    def service_cidrs(self) -> list[str]:
        """Of all ServiceCIDRs: more of them may come while the cluster runs."""
        found = self._api.get(resources.SERVICECIDRS.path())['items']
        return [cidr for one in found for cidr in one['spec'].get('cidrs') or ()]

    def last_probe_failure(self, pod: Pod) -> str:
        """The newest word of a probe that failed; '' if none did."""
        selector = f'involvedObject.name={pod.name},involvedObject.uid={pod.uid},reason=Unhealthy'
        events = self._api.get(resources.EVENTS.path(pod.namespace), fieldSelector=selector)['items']
        events = [event for event in events if 'Readiness' in event.get('message', '')] or events
        return max(events, key=lambda event: event.get('lastTimestamp') or '')['message'] if events else ''
