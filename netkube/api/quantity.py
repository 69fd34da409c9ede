"""Quantities: ``500m``, ``1Gi``, ``1e3`` as exact numbers, and their canonical text.

k8s.io/apimachinery/pkg/api/resource.
"""

from __future__ import annotations

import re
from decimal import ROUND_UP, Decimal

_PATTERN = re.compile(
    r'(?P<sign>[+-]?)(?P<number>\d+(?:\.\d*)?|\.\d+)(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+|)', re.ASCII
)
_BINARY = {'Ki': 1, 'Mi': 2, 'Gi': 3, 'Ti': 4, 'Pi': 5, 'Ei': 6}
_DECIMAL = {'n': -9, 'u': -6, 'm': -3, '': 0, 'k': 3, 'M': 6, 'G': 9, 'T': 12, 'P': 15, 'E': 18}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_NANO = Decimal('1e-9')
_MAX = Decimal(2**63 - 1)
FORMAT_MESSAGE = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


class QuantityError(ValueError):
    """The text is no quantity; the message is Kubernetes'."""


def parse_quantity(text: str | int | float) -> Decimal:
    """The exact value, rounded up to nano and capped at 2**63-1 as Kubernetes does. QuantityError on bad syntax."""
    found = _match(text)
    return _value(found)


def _match(text: str | int | float) -> re.Match[str]:
    found = _PATTERN.fullmatch(str(text))
    if not found:
        raise QuantityError(FORMAT_MESSAGE)
    return found


def _value(found: re.Match[str]) -> Decimal:
    suffix = found['suffix']
    value = Decimal(found['number'])
    if suffix in _BINARY:
        value *= 1024 ** _BINARY[suffix]
    elif suffix in _DECIMAL:
        value = value.scaleb(_DECIMAL[suffix])
    else:
        value = value.scaleb(int(suffix[1:]))
    if value != value.quantize(_NANO, rounding=ROUND_UP) if value.adjusted() < 19 else False:
        value = value.quantize(_NANO, rounding=ROUND_UP)
    value = min(value, _MAX)
    return -value if found['sign'] == '-' else value


def canonical_quantity(text: str | int | float) -> str:
    """The text Kubernetes stores: no fraction, the largest suffix that keeps the value exact, the form kept."""
    found = _match(text)
    value, suffix = _value(found), found['suffix']
    if value == 0:
        return '0'
    if suffix in _BINARY:
        return _binary_text(value)
    if suffix[:1] in ('e', 'E') and suffix != 'E':
        return _exponent_text(value)
    return _decimal_text(value)


def _binary_text(value: Decimal) -> str:
    """Below 1024 and for fractions the decimal form is used."""
    if abs(value) < 1024 or value != value.to_integral_value():
        return _decimal_text(value)
    number, power = int(value), 0
    while number % 1024 == 0 and power < 6:
        number //= 1024
        power += 1
    return f'{number}{next((suffix for suffix, p in _BINARY.items() if p == power), "")}'


def _scaled(value: Decimal) -> tuple[int, int]:
    """(number, exponent) with the exponent a multiple of 3 between -9 and 18, as large as stays exact."""
    exponent = 18
    while exponent > -9 and value != value.scaleb(-exponent).to_integral_value().scaleb(exponent):
        exponent -= 3
    return int(value.scaleb(-exponent)), exponent


def _decimal_text(value: Decimal) -> str:
    number, exponent = _scaled(value)
    return f'{number}{_DECIMAL_SUFFIX[exponent]}'


def _exponent_text(value: Decimal) -> str:
    number, exponent = _scaled(value)
    return f'{number}e{exponent}' if exponent else str(number)
