"""Validation of NetworkPolicies (pkg/apis/networking/validation)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import forbidden, invalid, invalid_each, not_supported, required
from netkube.api.meta import Object
from netkube.api.names import is_port_name, is_port_number
from netkube.api.validation.labels import validate_label_selector
from netkube.api.validation.values import cidr

_TYPES = ('Ingress', 'Egress')
_PROTOCOLS = ('TCP', 'UDP', 'SCTP')
_DIRECTIONS = (('ingress', 'from'), ('egress', 'to'))


def validate_networkpolicy(policy: Object) -> Iterator[FieldError]:
    yield from _validate_spec(policy.get('spec', {}), frozenset())


def validate_networkpolicy_update(new: Object, old: Object) -> Iterator[FieldError]:
    """A CIDR that the old policy has anywhere is not looked at again: earlier versions may have let it in."""
    known = frozenset(text for block in _ip_blocks(old.get('spec', {})) for text in _cidrs(block))
    yield from _validate_spec(new.get('spec', {}), known)


def _validate_spec(spec: dict[str, Any], known: frozenset[str]) -> Iterator[FieldError]:
    yield from validate_label_selector(spec.get('podSelector') or {}, 'spec.podSelector')
    for direction, peers in _DIRECTIONS:
        for index, rule in enumerate(spec.get(direction) or ()):
            path = f'spec.{direction}[{index}]'
            for number, port in enumerate(rule.get('ports') or ()):
                yield from _validate_port(port, f'{path}.ports[{number}]')
            for number, peer in enumerate(rule.get(peers) or ()):
                yield from _validate_peer(peer, f'{path}.{peers}[{number}]', known)
    yield from _validate_types(spec.get('policyTypes') or ())


def _validate_types(types: Any) -> Iterator[FieldError]:
    if len(types) > len(_TYPES):
        yield invalid('spec.policyTypes', types, 'may not specify more than two policyTypes')
        return
    for index, one in enumerate(types):
        if one not in _TYPES:
            yield not_supported(f'spec.policyTypes[{index}]', one, _TYPES)


def _validate_port(port: dict[str, Any], path: str) -> Iterator[FieldError]:
    if port.get('protocol', 'TCP') not in _PROTOCOLS:
        yield not_supported(f'{path}.protocol', port['protocol'], _PROTOCOLS)
    number, end = port.get('port'), port.get('endPort')
    if number is None and end is not None:
        yield invalid(f'{path}.endPort', end, 'may not be specified when `port` is not specified')
    elif isinstance(number, str):
        if end is not None:
            yield invalid(f'{path}.endPort', end, 'may not be specified when `port` is non-numeric')
        yield from invalid_each(f'{path}.port', number, is_port_name(number))
    elif number is not None:
        yield from invalid_each(f'{path}.port', number, is_port_number(number))
        if end is not None:
            yield from _validate_end(number, end, f'{path}.endPort')


def _validate_end(number: int, end: int, path: str) -> Iterator[FieldError]:
    if end < number:
        yield invalid(path, end, 'must be greater than or equal to `port`')
    yield from invalid_each(path, end, is_port_number(end))


def _validate_peer(peer: dict[str, Any], path: str, known: frozenset[str]) -> Iterator[FieldError]:
    selectors = [name for name in ('podSelector', 'namespaceSelector') if peer.get(name) is not None]
    for name in selectors:
        yield from validate_label_selector(peer[name], f'{path}.{name}')
    block = peer.get('ipBlock')
    if block is not None:
        yield from _validate_block(block, f'{path}.ipBlock', known)
    if not selectors and block is None:
        yield required(path, 'must specify a peer')
    elif selectors and block is not None:
        yield forbidden(path, 'may not specify both ipBlock and another peer')


def _validate_block(block: dict[str, Any], path: str, known: frozenset[str]) -> Iterator[FieldError]:
    text = block.get('cidr', '')
    if not text:
        yield required(f'{path}.cidr')
        return
    yield from () if text in known else cidr(text, f'{path}.cidr')
    whole = _network(text)
    for index, one in enumerate(block.get('except') or ()):
        here = f'{path}.except[{index}]'
        yield from () if one in known else cidr(one, here)
        part = _network(one)
        if whole is not None and part is not None and not _is_strict_subset(part, whole):
            yield invalid(here, one, 'must be a strict subset of `cidr`')


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: str) -> _Network | None:
    """Bits beyond the prefix are let pass, as in Kubernetes; None is a fault that has been told already."""
    try:
        return ipaddress.ip_network(text, strict=False) if '/' in text else None
    except ValueError:
        return None


def _is_strict_subset(part: _Network, whole: _Network) -> bool:
    return part.version == whole.version and part.prefixlen > whole.prefixlen and part.network_address in whole


def _ip_blocks(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for direction, peers in _DIRECTIONS:
        for rule in spec.get(direction) or ():
            yield from (peer['ipBlock'] for peer in rule.get(peers) or () if peer.get('ipBlock'))


def _cidrs(block: dict[str, Any]) -> tuple[str, ...]:
    return block.get('cidr', ''), *(block.get('except') or ())
