"""Quantities: value and canonical text."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netkube.api.quantity import QuantityError, canonical_quantity, parse_quantity


@pytest.mark.parametrize('text, value, canonical', [
    ('0', 0, '0'), ('1', 1, '1'), ('1000m', 1, '1'), ('0.5', '0.5', '500m'), ('100m', '0.1', '100m'),
    ('1.5Gi', 1610612736, '1536Mi'),
    ('1024Ki', 1048576, '1Mi'), ('1000k', 10**6, '1M'), ('1e3', 1000, '1e3'), ('12e6', 12 * 10**6, '12e6'),
    ('-5', -5, '-5'), ('1000', 1000, '1k'), ('0.1n', '0.000000001', '1n'), ('1E', 10**18, '1E'), ('1023', 1023, '1023'),
    ('.5', '0.5', '500m'), ('1.', 1, '1'), ('100Ei', 2**63 - 1, '9223372036854775807'), (2, 2, '2'),
])  # fmt: skip
def test_value_and_canonical_text(text, value, canonical):
    assert parse_quantity(text) == Decimal(value)
    assert canonical_quantity(text) == canonical


@pytest.mark.parametrize('text', ['', 'x', '1x', '1 Gi', '--1', '1ki', '1.2.3', '1e'])
def test_refuses(text):
    with pytest.raises(QuantityError, match='quantities must match the regular expression'):
        parse_quantity(text)


@given(st.integers(-10**12, 10**12), st.sampled_from(['', 'm', 'k', 'M', 'Ki', 'Mi', 'Gi']))
def test_canonical_text_keeps_the_value_and_is_stable(number, suffix):
    text = f'{number}{suffix}'
    canonical = canonical_quantity(text)
    assert parse_quantity(canonical) == parse_quantity(text)
    assert canonical_quantity(canonical) == canonical
