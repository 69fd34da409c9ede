"""What DNS needs of Services, EndpointSlices and Namespaces: frozen views, parsed once at the edge.

The resolver keeps a view for each object of the cluster, so they are small: tuples and interned strings, the ports
of all Services of a kind once, and nothing that the garbage collector has to visit.
"""

from __future__ import annotations

import functools
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from netkube.api.meta import Key, Object

SERVICE_NAME_LABEL = 'kubernetes.io/service-name'
FAMILIES = {'IPv4': socket.AF_INET, 'IPv6': socket.AF_INET6}


class Port(msgspec.Struct, frozen=True, gc=False):
    """``name`` is '' for an unnamed port, ``protocol`` is in lower case as in SRV names."""

    name: str
    protocol: str
    number: int


class ServiceView(msgspec.Struct, frozen=True, gc=False):
    """``addresses`` are the cluster IPs in canonical text; none for a headless or an ExternalName Service."""

    namespace: str
    name: str
    addresses: tuple[str, ...]
    ports: tuple[Port, ...]
    headless: bool = False
    external_name: str = ''
    publish_not_ready: bool = False


class Endpoint(msgspec.Struct, frozen=True, gc=False):
    """One address; ``given_name`` is the hostname that the EndpointSlice sets, '' without one."""

    address: str
    given_name: str
    ready: bool

    @property
    def hostname(self) -> str:
        """Its name below the Service's: what is set, or the address with dashes."""
        return self.given_name or self.address.replace('.', '-').replace(':', '-')


class SliceView(msgspec.Struct, frozen=True, gc=False):
    """An EndpointSlice of the Service ``namespace/service``."""

    namespace: str
    name: str
    service: str
    endpoints: tuple[Endpoint, ...]
    ports: tuple[Port, ...]


def canonical_address(text: str, family: int | None = None) -> str:
    """The one spelling of an IP address; ValueError if it is none (of that family)."""
    family = family or (socket.AF_INET6 if ':' in text else socket.AF_INET)
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, text))
    except OSError as error:
        raise ValueError(f'not an IP address: {text!r}') from error


def record_type_of(address: str) -> str:
    return 'AAAA' if ':' in address else 'A'


def parse_service(service: Mapping[str, Any]) -> ServiceView:
    metadata, spec = service['metadata'], service['spec']
    external = spec.get('type') == 'ExternalName'
    addresses = () if external else spec.get('clusterIPs') or (spec.get('clusterIP', ''),)
    return ServiceView(
        namespace=sys.intern(metadata['namespace']),
        name=sys.intern(metadata['name']),
        addresses=tuple(canonical_address(address) for address in addresses if address not in ('', 'None')),
        ports=_parse_ports(spec.get('ports') or ()),
        headless='None' in addresses,
        external_name=spec['externalName'].rstrip('.') if external else '',
        publish_not_ready=bool(spec.get('publishNotReadyAddresses')),
    )


def parse_slice(endpoint_slice: Mapping[str, Any]) -> SliceView | None:
    """None for an EndpointSlice that belongs to no Service, or holds names instead of addresses."""
    metadata = endpoint_slice['metadata']
    service = (metadata.get('labels') or {}).get(SERVICE_NAME_LABEL)
    family = FAMILIES.get(endpoint_slice['addressType'])
    if not service or family is None:
        return None
    return SliceView(
        namespace=sys.intern(metadata['namespace']),
        name=metadata['name'],
        service=sys.intern(service),
        endpoints=tuple(
            _parse_endpoint(endpoint, canonical_address(address, family))
            for endpoint in endpoint_slice.get('endpoints') or ()
            for address in endpoint['addresses']
        ),
        ports=_parse_ports(port for port in endpoint_slice.get('ports') or () if port.get('port')),
    )


def _parse_endpoint(endpoint: Mapping[str, Any], address: str) -> Endpoint:
    """A missing ``ready`` means ready (discovery/v1, EndpointConditions)."""
    ready = (endpoint.get('conditions') or {}).get('ready')
    return Endpoint(address, (endpoint.get('hostname') or '').lower(), ready is None or ready)


def _parse_ports(ports: Iterable[Mapping[str, Any]]) -> tuple[Port, ...]:
    return _interned(
        tuple(Port(port.get('name') or '', port.get('protocol', 'TCP').lower(), port['port']) for port in ports)
    )


@functools.lru_cache(maxsize=4096)
def _interned(ports: tuple[Port, ...]) -> tuple[Port, ...]:
    return ports


def stripped(parse: Callable[[Object], Any]) -> Callable[[Object], Object]:
    """An informer's transform: the object's identity, and ``view``: what ``parse`` made of the rest."""

    def strip(obj: Object) -> Object:
        metadata = obj['metadata']
        kept = {key: metadata[key] for key in ('namespace', 'name', 'resourceVersion') if key in metadata}
        return {'metadata': kept, 'view': parse(obj)}

    return strip


def key_of_service(view: ServiceView | SliceView) -> Key:
    """The key of the Service that a view is, or belongs to."""
    return view.namespace, view.service if isinstance(view, SliceView) else view.name
