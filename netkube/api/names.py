"""The formats of names, keys and values; each function returns Kubernetes' own messages, [] when the value is good.

k8s.io/apimachinery/pkg/util/validation and pkg/api/validate/content.
"""

from __future__ import annotations

import ipaddress
import re

_LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?'
_SUBDOMAIN = _LABEL + r'(\.' + _LABEL + ')*'
_UNDERSCORE_LABEL = '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?'
_UNDERSCORE_SUBDOMAIN = _UNDERSCORE_LABEL + r'(\.' + _UNDERSCORE_LABEL + ')*'
_LABEL_1035 = '[a-z]([-a-z0-9]*[a-z0-9])?'
_QUALIFIED = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]'
_LABEL_VALUE = f'({_QUALIFIED})?'
_CONFIG_KEY = '[-._a-zA-Z0-9]+'
_HTTP_HEADER = '[-A-Za-z0-9]+'
_PERCENT = '[0-9]+%'

_LABEL_RE = re.compile(_LABEL)
_SUBDOMAIN_RE = re.compile(_SUBDOMAIN)
_UNDERSCORE_SUBDOMAIN_RE = re.compile(_UNDERSCORE_SUBDOMAIN)
_LABEL_1035_RE = re.compile(_LABEL_1035)
_QUALIFIED_RE = re.compile(_QUALIFIED)
_CONFIG_KEY_RE = re.compile(_CONFIG_KEY)
_HTTP_HEADER_RE = re.compile(_HTTP_HEADER)
_PERCENT_RE = re.compile(_PERCENT)
_PORT_NAME_RE = re.compile('[-a-z0-9]+')

_EDGES = 'and must start and end with an alphanumeric character'
_LABEL_MESSAGE = f"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', {_EDGES}"
_SUBDOMAIN_MESSAGE = (
    f"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', {_EDGES}"
)
_UNDERSCORE_MESSAGE = (
    f"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', {_EDGES}"
)
_LABEL_1035_MESSAGE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
    'character, and end with an alphanumeric character'
)
_QUALIFIED_MESSAGE = f"must consist of alphanumeric characters, '-', '_' or '.', {_EDGES}"
_LABEL_VALUE_MESSAGE = (
    f"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', {_EDGES}"
)
_CONFIG_KEY_MESSAGE = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
_ENV_MESSAGE = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_IP_MESSAGE = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'


def max_length_message(length: int) -> str:
    return f'must be no more than {length} bytes'


def range_message(low: int, high: int) -> str:
    return f'must be between {low} and {high}, inclusive'


def regex_message(message: str, regex: str, *examples: str) -> str:
    if not examples:
        return f"{message} (regex used for validation is '{regex}')"
    shown = ' or '.join(f"'{example}', " for example in examples)
    return f"{message} (e.g. {shown}regex used for validation is '{regex}')"


def _too_long(value: str, length: int) -> list[str]:
    return [max_length_message(length)] if len(value.encode()) > length else []


def is_dns_label(value: str) -> list[str]:
    """RFC 1123 label, at most 63 bytes."""
    errors = _too_long(value, 63)
    if not _LABEL_RE.fullmatch(value):
        if _SUBDOMAIN_RE.fullmatch(value):
            errors.append('must not contain dots')
        else:
            errors.append(regex_message(_LABEL_MESSAGE, _LABEL, 'my-name', '123-abc'))
    return errors


def is_dns_subdomain(value: str) -> list[str]:
    """RFC 1123 subdomain, at most 253 bytes."""
    errors = _too_long(value, 253)
    if not _SUBDOMAIN_RE.fullmatch(value):
        errors.append(regex_message(_SUBDOMAIN_MESSAGE, _SUBDOMAIN, 'example.com'))
    return errors


def is_dns_subdomain_with_underscore(value: str) -> list[str]:
    """What a Pod's dnsConfig may search."""
    errors = _too_long(value, 253)
    if not _UNDERSCORE_SUBDOMAIN_RE.fullmatch(value):
        errors.append(regex_message(_UNDERSCORE_MESSAGE, _UNDERSCORE_SUBDOMAIN, 'example.com'))
    return errors


def is_dns_1035_label(value: str) -> list[str]:
    errors = _too_long(value, 63)
    if not _LABEL_1035_RE.fullmatch(value):
        errors.append(regex_message(_LABEL_1035_MESSAGE, _LABEL_1035, 'my-name', 'abc-123'))
    return errors


def is_qualified_name(value: str) -> list[str]:
    """A label key, an annotation key, a finalizer: [subdomain/]name."""
    parts = value.split('/')
    message = regex_message(_QUALIFIED_MESSAGE, _QUALIFIED, 'MyName', 'my.name', '123-abc')
    if len(parts) > 2:
        return [f"a qualified name {message} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    errors: list[str] = []
    if len(parts) == 2:
        prefix = parts[0]
        faults = is_dns_subdomain(prefix) if prefix else ['must be non-empty']
        errors += ['prefix part ' + fault for fault in faults]
    name = parts[-1]
    if not name:
        errors.append('name part must be non-empty')
    elif len(name.encode()) > 63:
        errors.append('name part ' + max_length_message(63))
    if not _QUALIFIED_RE.fullmatch(name):
        errors.append('name part ' + message)
    return errors


def is_label_value(value: str) -> list[str]:
    errors = _too_long(value, 63)
    if value and not _QUALIFIED_RE.fullmatch(value):
        errors.append(regex_message(_LABEL_VALUE_MESSAGE, _LABEL_VALUE, 'MyValue', 'my_value', '12345'))
    return errors


def is_config_key(value: str) -> list[str]:
    """A key of a ConfigMap or a Secret."""
    errors = _too_long(value, 253)
    if not _CONFIG_KEY_RE.fullmatch(value):
        errors.append(regex_message(_CONFIG_KEY_MESSAGE, _CONFIG_KEY, 'key.name', 'KEY_NAME', 'key-name'))
    if value in ('.', '..'):
        errors.append(f"must not be '{value}'")
    elif value.startswith('..'):
        errors.append("must not start with '..'")
    return errors


def is_env_name(value: str) -> list[str]:
    if not value:
        return ['environment variable name must be non-empty']
    return [] if all(' ' <= c <= '~' and c != '=' for c in value) else [_ENV_MESSAGE]


def is_port_number(value: int) -> list[str]:
    return [] if 1 <= value <= 65535 else [range_message(1, 65535)]


def is_port_name(value: str) -> list[str]:
    """An IANA service name, as far as Kubernetes asks."""
    errors = _too_long(value, 15)
    if not _PORT_NAME_RE.fullmatch(value):
        errors.append('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)')
    if not re.search('[a-z]', value):
        errors.append('must contain at least one letter (a-z)')
    if '--' in value:
        errors.append('must not contain consecutive hyphens')
    if value.startswith('-') or value.endswith('-'):
        errors.append('must not begin or end with a hyphen')
    return errors


def is_http_header_name(value: str) -> list[str]:
    if _HTTP_HEADER_RE.fullmatch(value):
        return []
    message = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [regex_message(message, _HTTP_HEADER, 'X-Header-Name')]


def is_percent(value: str) -> list[str]:
    if _PERCENT_RE.fullmatch(value):
        return []
    message = "a valid percent string must be a numeric string followed by an ending '%'"
    return [regex_message(message, _PERCENT, '1%', '93%')]


def is_ip(value: str) -> list[str]:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return [_IP_MESSAGE]
    return [_IP_MESSAGE] if '%' in value else []


def is_ipv4(value: str) -> list[str]:
    return [] if not is_ip(value) and ':' not in value else ['must be a valid IPv4 address']


def is_ipv6(value: str) -> list[str]:
    return [] if not is_ip(value) and ':' in value else ['must be a valid IPv6 address']


def is_user_id(value: int) -> list[str]:
    """User and group ids."""
    return [] if 0 <= value <= 2147483647 else [range_message(0, 2147483647)]


def is_path_segment(value: str) -> list[str]:
    """What may stand between two slashes of a URL (k8s.io/apimachinery pkg/api/validation/path)."""
    if value in ('.', '..'):
        return [f"may not be '{value}'"]
    return [f"may not contain '{character}'" for character in '/%' if character in value]


def without_trailing_dash(prefix: str) -> str:
    """What a generateName is checked as: it may end in '-', because a suffix follows (maskTrailingDash)."""
    return prefix[:-1] + 'a' if len(prefix) > 1 and prefix.endswith('-') else prefix
