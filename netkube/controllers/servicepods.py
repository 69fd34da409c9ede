"""Services and the Pods that they select: who belongs together, and which ports a Pod offers.

Sources: pkg/api/v1/endpoints, k8s.io/endpointslice and pkg/controller/endpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from netkube.api.meta import Key, Object, key_of
from netkube.api.resources import PODS, SERVICES
from netkube.client.informer import Informer, Informers
from netkube.controllers.pods import addresses, is_terminal

LabelPair = tuple[str, str, str]  # (namespace, label, value)
MANAGED_HERE = ('ClusterIP', 'NodePort', 'LoadBalancer', None)  # ExternalName has no endpoints


def label_pairs(obj: Object) -> Iterable[LabelPair]:
    """Index function: where a Pod is found by one label of a selector."""
    metadata = obj['metadata']
    return [(metadata['namespace'], label, value) for label, value in (metadata.get('labels') or {}).items()]


def selector_pair(service: Object) -> Iterable[LabelPair]:
    """Index function: one label of the selector, which every Pod it selects must have."""
    if not selects(service):
        return ()
    label, value = min(service['spec']['selector'].items())
    return ((service['metadata']['namespace'], label, value),)


def selects(service: Object) -> bool:
    """Its endpoints are kept here, and not by its author."""
    spec = service['spec']
    return bool(spec.get('selector')) and spec.get('type') in MANAGED_HERE


class ServicePods:
    """Finds a Service's Pods and a Pod's Services without going through all of them."""

    def __init__(self, informers: Informers) -> None:
        self._pods: Informer = informers[PODS]
        self._pods.add_index('label-pairs', label_pairs)
        self._services: Informer = informers[SERVICES]
        self._services.add_index('selector-pair', selector_pair)

    def pods(self, service: Object) -> list[Object]:
        """By name, so that equal states give equal endpoints."""
        wanted = service['spec']['selector'].items()
        found = (pod for pair in selector_pair(service) for pod in self._pods.by_index('label-pairs', pair))
        matching = (pod for pod in found if wanted <= (pod['metadata'].get('labels') or {}).items())
        return sorted(matching, key=lambda pod: pod['metadata']['name'])

    def services(self, pod: Object) -> Iterator[Key]:
        labels = (pod['metadata'].get('labels') or {}).items()
        for pair in label_pairs(pod):
            for service in self._services.by_index('selector-pair', pair):
                if service['spec']['selector'].items() <= labels:
                    yield key_of(service)


class Port(msgspec.Struct, frozen=True, order=True):
    """A Service's port as one Pod offers it."""

    name: str
    port: int
    protocol: str
    app_protocol: str = ''

    def render(self) -> Object:
        """As EndpointSlices and Endpoints have it, with the name even where it is ''."""
        port: Object = {'name': self.name, 'port': self.port, 'protocol': self.protocol}
        return port | ({'appProtocol': self.app_protocol} if self.app_protocol else {})


def resolve_ports(service: Object, pod: Object) -> tuple[Port, ...]:
    """Target ports by number or by the name of a container's port; one that the Pod does not have is left out."""
    ports = []
    for port in service['spec'].get('ports') or ():
        protocol = port.get('protocol', 'TCP')
        number = _target(pod, port.get('targetPort', port['port']), protocol)
        if number is not None:
            ports.append(Port(port.get('name') or '', number, protocol, port.get('appProtocol') or ''))
    return tuple(ports)


def _target(pod: Object, target: int | str, protocol: str) -> int | None:
    if isinstance(target, int):
        return target
    spec = pod['spec']
    sidecars = (c for c in spec.get('initContainers') or () if c.get('restartPolicy') == 'Always')
    for container in (*spec['containers'], *sidecars):
        for port in container.get('ports') or ():
            if port.get('name') == target and port.get('protocol', 'TCP') == protocol:
                return port['containerPort']
    return None


def is_headless(service: Object) -> bool:
    return service['spec'].get('clusterIP') == 'None'


def families(service: Object) -> tuple[str, ...]:
    """IPv4, IPv6 or both, the primary one first."""
    return tuple(service['spec'].get('ipFamilies') or ('IPv4',))


def addresses_of(pod: Object, family: str) -> list[str]:
    return [address for address in addresses(pod) if (':' in address) == (family == 'IPv6')]


def has_endpoint(pod: Object) -> bool:
    """It has an address and has not ended."""
    return not is_terminal(pod) and bool(addresses(pod))


def hostname(service: Object, pod: Object) -> str:
    """The name that the Pod has below the Service's; '' without one."""
    spec, same = pod['spec'], pod['spec'].get('subdomain') == service['metadata']['name']
    return spec.get('hostname') or '' if same else ''


def target_ref(pod: Object) -> Object:
    metadata = pod['metadata']
    return {'kind': 'Pod', 'namespace': metadata['namespace'], 'name': metadata['name'], 'uid': metadata['uid']}
