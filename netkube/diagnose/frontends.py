"""Which Service, and which of its frontends, an address and port are. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from netkube.diagnose.destination import place
from netkube.diagnose.finding import Finding, listed
from netkube.diagnose.objects import Service, ServicePort

STEP = 'service'


class Frontend(msgspec.Struct, frozen=True):
    """``how`` the address leads to the Service; ``port`` is None when the Service has no such port.

    Without a Service, ``how`` says what is at the address.
    """

    how: str
    address: str
    number: int
    protocol: str
    service: Service | None = None
    port: ServicePort | None = None

    @property
    def headless(self) -> bool:
        return self.service is not None and self.service.headless


NOWHERE = {  # what an address may be that nobody has: who it is for
    'unused address of the Service range': 'Service',
    "unused address of the load balancers' range": 'Service',
    'unused address of the Pod range': 'Pod',
}


def find_frontend(
    services: Iterable[Service],
    address: str,
    number: int,
    protocol: str,
    node_addresses: Collection[str],
    named: Service | None = None,
) -> Frontend | None:
    """``named`` is the Service by whose name the address was found. None: no Service has it."""
    for service in services:
        for how, addresses in (('cluster IP', service.cluster_ips), ('external address', service.outer_ips)):
            if address in addresses:
                port = _find_port(service, number, protocol)
                return Frontend(how, address, number, protocol, service, port)
    if address in node_addresses:
        for service in services:
            for port in service.ports:
                if (port.node_port, port.protocol) == (number, protocol):
                    return Frontend('node port', address, number, protocol, service, port)
    if named is not None and named.headless:
        return Frontend('headless', address, number, protocol, named, None)
    return None


def _find_port(service: Service, number: int, protocol: str) -> ServicePort | None:
    return next((port for port in service.ports if (port.port, port.protocol) == (number, protocol)), None)


def find_service(frontend: Frontend) -> Finding:
    service, at = frontend.service, place(frontend.address, frontend.number)
    facts = {'address': frontend.address, 'port': frontend.number, 'protocol': frontend.protocol, 'how': frontend.how}
    if service is None:
        if frontend.how in NOWHERE:
            who = NOWHERE[frontend.how]
            advice = f'no {who} has the address {frontend.address}: it is unused, or of one that was deleted'
            return Finding(STEP, False, f'{frontend.address} is an {frontend.how}', (), advice, facts)
        return Finding(STEP, None, f'no Service: {frontend.address} is {frontend.how}', facts=facts)
    facts |= {'service': service.label, 'type': service.kind}
    if frontend.headless:
        text = f'{service.label} is headless: its name leads straight to Pods, and the port is not translated'
        return Finding(STEP, None, text, _target_hint(frontend), facts=facts)
    if frontend.port is None:
        return _no_such_port(frontend, service, facts)
    text = f'{service.label} ({service.type}): {at}/{frontend.protocol} is its {frontend.how}'
    details = (f'port {frontend.port} leads to port {frontend.port.target} of its Pods',)
    return Finding(STEP, True, text, details, facts={**facts, 'targetPort': frontend.port.target})


def _target_hint(frontend: Frontend) -> tuple[str, ...]:
    assert frontend.service is not None
    for port in frontend.service.ports:
        if port.port == frontend.number and port.target not in (port.port, frontend.number):
            return (f'port {port} means port {port.target} of the Pods, which is the one to connect to',)
    return ()


def _no_such_port(frontend: Frontend, service: Service, facts: dict) -> Finding:
    ports = listed([str(port) for port in service.ports]) or 'none'
    text = f'{service.label} ({service.type}) has no port {frontend.number}/{frontend.protocol}; it has {ports}'
    by_target = next((port for port in service.ports if port.target == frontend.number), None)
    meant = f': {frontend.number} is the port of its Pods, clients use {by_target.port}' if by_target else ''
    advice = f'Service {service.label} has no port {frontend.number}/{frontend.protocol}{meant or f", but {ports}"}'
    return Finding(STEP, False, text, (), advice, facts)
