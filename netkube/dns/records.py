"""The resource records of one Service.

The rows are those of the Kubernetes DNS-Based Service Discovery specification 1.1.0, sections 2.3 to 2.5, and
the two that CoreDNS adds to it: SRV records of all ports at the Service's own name, and endpoint names below
Services that have a cluster IP.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from netkube.dns.objects import Endpoint, Port, ServiceView, SliceView, record_type_of


class Record(NamedTuple):
    """``data`` as in a zone file: one address, one absolute name, or (priority, weight, port, target)."""

    type: str
    data: tuple[str | int, ...]


Labels = tuple[str, ...]
Rows = dict[Labels, tuple[Record, ...]]  # by the labels in front of the Service's name; no records: only a node


def address_record(address: str) -> Record:
    return Record(record_type_of(address), (address,))


def service_records(service: ServiceView, slices: Iterable[SliceView], origin: str) -> Rows:
    """All names at and below a Service whose own name is ``origin`` (absolute, with its trailing dot)."""
    if service.external_name:
        return {(): (Record('CNAME', (f'{service.external_name}.',)),)}
    ready = list(_ready_endpoints(service, slices))
    rows: defaultdict[Labels, list[Record]] = defaultdict(list)
    for endpoint, _ in ready:
        rows[(endpoint.hostname,)].append(address_record(endpoint.address))
    if service.headless:
        rows[()].extend(address_record(endpoint.address) for endpoint, _ in ready)
        targets = [(port, f'{endpoint.hostname}.{origin}') for endpoint, ports in ready for port in ports]
    else:
        rows[()].extend(address_record(address) for address in service.addresses)
        targets = [(port, origin) for port in service.ports]
    for labels, records in _srv_records(targets).items():
        rows[labels].extend(records)
    if not rows[()]:
        return {(): ()} if not service.headless else {}
    return {labels: tuple(dict.fromkeys(records)) for labels, records in rows.items()}


def _ready_endpoints(service: ServiceView, slices: Iterable[SliceView]) -> Iterator[tuple[Endpoint, tuple[Port, ...]]]:
    for endpoint_slice in slices:
        for endpoint in endpoint_slice.endpoints:
            if endpoint.ready or service.publish_not_ready:
                yield endpoint, endpoint_slice.ports


def _srv_records(targets: list[tuple[Port, str]]) -> Rows:
    """By owner: ``_port._protocol`` for each named port, and all of them at the Service itself."""
    found: defaultdict[Labels, dict[tuple[int, str], None]] = defaultdict(dict)
    for port, target in targets:
        found[()][port.number, target] = None
        if port.name:
            found[f'_{port.name}', f'_{port.protocol}'][port.number, target] = None
    rows = {
        labels: tuple(Record('SRV', (0, max(1, 100 // len(owned)), number, target)) for number, target in owned)
        for labels, owned in found.items()
    }
    return {labels[1:]: () for labels in rows if labels} | rows


def pointer_records(service: ServiceView, slices: Iterable[SliceView], address: str, origin: str) -> list[Record]:
    """PTR of a cluster IP, or of an endpoint of a headless Service."""
    if address in service.addresses:
        return [Record('PTR', (origin,))]
    if not service.headless:
        return []
    names = [f'{e.hostname}.{origin}' for e, _ in _ready_endpoints(service, slices) if e.address == address]
    return [Record('PTR', (name,)) for name in dict.fromkeys(names)]
