"""Checks of single values that many kinds share."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import invalid, invalid_each, not_supported, required
from netkube.api.names import is_dns_label, is_dns_subdomain, is_ip, is_port_name, is_port_number

NOT_NEGATIVE = 'must be greater than or equal to 0'
PROTOCOLS = ('SCTP', 'TCP', 'UDP')
_FILE_MODE = 'must be a number between 0 and 0777 (octal), both inclusive'
_SPECIAL_ADDRESSES = (
    ('is_unspecified', 'may not be unspecified (0.0.0.0 or ::)'),
    ('is_loopback', 'may not be in the loopback range (127.0.0.0/8, ::1/128)'),
)

LINK_LOCAL_MULTICAST_V4 = ipaddress.ip_network('224.0.0.0/24')
LINK_LOCAL_MULTICAST_V6 = ipaddress.ip_network('ff02::/16')


def nonnegative(value: int, path: str) -> list[FieldError]:
    return [invalid(path, value, NOT_NEGATIVE)] if value < 0 else []


def nonnegative_fields(obj: dict[str, Any], names: Sequence[str], path: str) -> Iterator[FieldError]:
    for name in names:
        yield from nonnegative(obj.get(name) or 0, f'{path}.{name}')


def one_of(value: Any, supported: Sequence[str], path: str) -> list[FieldError]:
    """An enumerated field that must be set."""
    if not value:
        return [required(path)]
    return [] if value in supported else [not_supported(path, value, supported)]


def dns_label(value: str, path: str) -> list[FieldError]:
    return invalid_each(path, value, is_dns_label(value))


def dns_subdomain(value: str, path: str) -> list[FieldError]:
    return invalid_each(path, value, is_dns_subdomain(value))


def ip_address(value: str, path: str) -> list[FieldError]:
    return invalid_each(path, value, is_ip(value))


def cidr(value: str, path: str) -> list[FieldError]:
    try:
        if '/' in value:
            ipaddress.ip_interface(value)
            return []
    except ValueError:
        pass  # reported below, like a value without a prefix length
    return [invalid(path, value, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)')]


def non_special_ip(value: str, path: str) -> Iterator[FieldError]:
    """Addresses an endpoint or an external IP may not have (ValidateNonSpecialIP)."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        yield invalid(path, value, 'must be a valid IP address')
        return
    for attribute, message in _SPECIAL_ADDRESSES:
        if getattr(address, attribute):
            yield invalid(path, value, message)
    if address.is_link_local:
        yield invalid(path, value, 'may not be in the link-local range (169.254.0.0/16, fe80::/10)')
    if address in LINK_LOCAL_MULTICAST_V4 or address in LINK_LOCAL_MULTICAST_V6:
        yield invalid(path, value, 'may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)')


def port_number_or_name(value: int | str | None, path: str) -> list[FieldError]:
    if isinstance(value, str):
        return invalid_each(path, value, is_port_name(value))
    return invalid_each(path, value or 0, is_port_number(value or 0))


def file_mode(value: int | None, path: str) -> list[FieldError]:
    return [] if value is None or 0 <= value <= 0o777 else [invalid(path, value, _FILE_MODE)]


def path_without_backsteps(value: str, path: str) -> list[FieldError]:
    return [invalid(path, value, "must not contain '..'")] if '..' in value.split('/') else []


def descending_path(value: str, path: str) -> list[FieldError]:
    """A relative path that stays below its directory."""
    errors = [invalid(path, value, 'must be a relative path')] if value.startswith('/') else []
    return errors + path_without_backsteps(value, path)


def unreserved_path(value: str, path: str) -> list[FieldError]:
    """The same, for a file the kubelet writes: names that begin with '..' are its own."""
    errors = descending_path(value, path)
    if value.startswith('..') and not value.startswith('../') and value != '..':
        errors.append(invalid(path, value, "must not start with '..'"))
    return errors
