"""Who is asked about names that are not the cluster's: the ConfigMap kube-system/kube-dns.

Its shape is the one that Kubernetes' documentation has had since 1.6 ("Customizing DNS Service"): ``stubDomains`` is a
JSON object of domains and their nameservers, ``upstreamNameservers`` a JSON list of up to three for all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from netkube.api import names
from netkube.dns.exchange import Nameserver, parse_nameserver
from netkube.dns.records import Labels

NAMESPACE, NAME = 'kube-system', 'kube-dns'
STUBS, UPSTREAMS = 'stubDomains', 'upstreamNameservers'
MAX_UPSTREAMS = 3


class ConfigError(ValueError):
    """What is wrong, with the key it is under."""


class Forwarding(msgspec.Struct, frozen=True):
    """``upstreams``: instead of the machine's own nameservers, where there are any."""

    upstreams: tuple[Nameserver, ...] = ()
    stub_domains: dict[Labels, tuple[Nameserver, ...]] = {}


def parse_forwarding(data: Mapping[str, str], domain: Labels, own_addresses: frozenset[str]) -> Forwarding:
    """Of a ConfigMap's ``data``; ConfigError. ``domain`` is the cluster's, which nobody else is asked about."""
    for key in data:
        if key not in (STUBS, UPSTREAMS):
            raise ConfigError(f'{key}: not supported; there are {STUBS} and {UPSTREAMS}')
    upstreams = _decode(data, UPSTREAMS, list[str], 'a JSON list of IP addresses')
    if len(upstreams) > MAX_UPSTREAMS:
        raise ConfigError(f'{UPSTREAMS}: must have at most three entries')
    stubs = _decode(data, STUBS, dict[str, list[str]], 'a JSON object of domains, each with a list of IP addresses')
    return Forwarding(
        _nameservers(UPSTREAMS, upstreams, own_addresses),
        {
            _stub_domain(stub, domain): _nameservers(f'{STUBS}[{stub}]', servers, own_addresses, required=True)
            for stub, servers in stubs.items()
        },
    )


def _decode(data: Mapping[str, str], key: str, kind: Any, wanted: str) -> Any:
    try:
        return msgspec.json.decode(data[key], type=kind) if key in data else kind()
    except msgspec.DecodeError as error:
        raise ConfigError(f'{key}: must be {wanted}: {error}') from None


def _stub_domain(text: str, domain: Labels) -> Labels:
    labels = tuple(text.lower().rstrip('.').split('.'))
    if problems := names.is_dns_subdomain('.'.join(labels)):
        raise ConfigError(f'{STUBS}[{text}]: {problems[0]}')
    if labels[-len(domain) :] == domain:
        raise ConfigError(f'{STUBS}[{text}]: is within the cluster domain')
    return labels


def _nameservers(
    path: str, texts: list[str], own_addresses: frozenset[str], required: bool = False
) -> tuple[Nameserver, ...]:
    if required and not texts:
        raise ConfigError(f'{path}: must name at least one nameserver')
    try:
        found = tuple(map(parse_nameserver, texts))
    except ValueError as error:
        raise ConfigError(f'{path}: {error}') from None
    for nameserver in found:
        if nameserver.address in own_addresses:
            raise ConfigError(f'{path}: {nameserver.address} is the resolver itself')
    return found
