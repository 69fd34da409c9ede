"""What the user wants to reach: a URL or host:port."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from netkube.diagnose.finding import TraceError

SCHEMES = {  # scheme -> protocol, port
    'http': ('tcp', 80),
    'https': ('tcp', 443),
    'tcp': ('tcp', 0),
    'udp': ('udp', 0),
    'sctp': ('sctp', 0),
}


class Destination(msgspec.Struct, frozen=True):
    """``scheme`` is http or https when a request is to be made, else the protocol; ``text`` is what the user wrote."""

    text: str
    protocol: str
    host: str
    port: int
    scheme: str
    path: str = '/'

    @property
    def place(self) -> str:
        return place(self.host, self.port)


def place(host: str, port: int) -> str:
    return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'


def is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def parse_destination(text: str, protocol: str = '') -> Destination:
    """TraceError when it is none; ``protocol`` is the one asked for apart, '' if none was."""
    if not text:
        raise TraceError('name what to reach: a URL, or host:port')
    with_scheme = text if '://' in text else f'{protocol or "tcp"}://{text}'
    try:
        parts = urlsplit(with_scheme)
        host, port = parts.hostname or '', parts.port
    except ValueError as error:
        raise TraceError(f'cannot read "{text}": {str(error)[:1].lower()}{str(error)[1:]}') from error
    if parts.scheme not in SCHEMES:
        raise TraceError(f'cannot reach "{text}": the scheme must be one of {", ".join(SCHEMES)}')
    own_protocol, default_port = SCHEMES[parts.scheme]
    if protocol and protocol != own_protocol:
        raise TraceError(f'"{text}" is {own_protocol}, not {protocol}')
    if not host:
        raise TraceError(f'cannot read "{text}": it has no host')
    if port == 0 or (port is None and not default_port):
        raise TraceError(f'"{text}" needs a port from 1 to 65535: {host}:80, for example')
    path = (parts.path or '/') + (f'?{parts.query}' if parts.query else '')
    return Destination(text, own_protocol, host, port or default_port, parts.scheme, path)
