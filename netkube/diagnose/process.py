"""Who listens at the other end. Pure; ``network/listeners`` reads the sockets."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from netkube.diagnose.destination import place
from netkube.diagnose.finding import Finding, listed
from netkube.diagnose.objects import Service, ServicePort
from netkube.network.listeners import ANY, Listener

STEP = 'process'


class End(msgspec.Struct, frozen=True):
    """Where the packet went: ``whose`` says whose namespace that is."""

    whose: str
    address: str
    port: int
    protocol: str
    listeners: tuple[Listener, ...]
    local: bool = False
    """The client is in the same namespace, so 127.0.0.1 will do."""


def find_process(end: End, service: Service | None, port: ServicePort | None) -> Finding:
    """``port`` is the Service's that was translated; a headless Service translates none."""
    facts = {
        'whose': end.whose, 'address': end.address, 'port': end.port,
        'listeners': [msgspec.structs.asdict(listener) for listener in end.listeners],
    }  # fmt: skip
    if taking := [listener for listener in end.listeners if listener.takes(end.address, end.port)]:
        return Finding(STEP, True, f'{taking[0].owner} of {end.whose} listens on {taking[0].place}', facts=facts)
    others = [listener for listener in end.listeners if not listener.loopback_only]
    same_port = [listener for listener in end.listeners if listener.port == end.port]
    at = place(end.address, end.port)
    text = f'nothing in {end.whose} listens on {at}'
    details = (f'it listens on: {listed([f"{one.place} {one.process}" for one in end.listeners]) or "nothing"}',)
    if same_port and all(listener.loopback_only for listener in same_port):
        return Finding(STEP, False, *_loopback(end, same_port[0]), facts=facts)
    if same_port:
        own = same_port[0]
        advice = (
            f'{own.owner} of {end.whose} listens on {own.place} only, not on {at}: let it listen on {_wildcard(end)}'
        )
        return Finding(STEP, False, text, details, advice, facts)
    return Finding(STEP, False, text, details, _wrong_port(end, others, service, port), facts)


def _loopback(end: End, listener: Listener) -> tuple[str, tuple[str, ...], str]:
    text = f'{listener.owner} of {end.whose} listens on {listener.place} only'
    advice = f'{text}, which nobody outside of that Pod can reach: let it listen on {_wildcard(end)}'
    return text, (), advice


def _wildcard(end: End) -> str:
    return ANY[':' in end.address]


def _wrong_port(end: End, others: Sequence[Listener], service: Service | None, port: ServicePort | None) -> str:
    advice = f'no process in {end.whose} listens on port {end.port}/{end.protocol}'
    if not others:
        started = ': see netkube logs whether it has started' if end.whose.startswith('Pod') else ''
        return f'{advice}, nor on any other that can be reached{started}'
    ports = listed(list(dict.fromkeys(f'{one.port} ({one.process or "a process"})' for one in others)))
    if service and port:
        mend = f'set targetPort of Service {service.label} to {others[0].port}'
        return f'{advice}, but on {ports}: {mend}, if that is the one meant'
    meant = next((one.target for one in service.ports if one.port == end.port), None) if service else None
    if service and any(one.port == meant for one in others):
        return f'{advice}: {service.label} is headless, so its port is not translated; connect to port {meant}'
    return f'{advice}, but on {ports}'
