"""Formats of names, and Kubernetes' words for what is wrong with one."""

from __future__ import annotations

import pytest

from netkube.api import names


@pytest.mark.parametrize('check, good', [
    (names.is_dns_label, 'a-1'), (names.is_dns_subdomain, 'a.b-c.d'), (names.is_dns_1035_label, 'a1'),
    (names.is_qualified_name, 'example.com/My_Name.1'), (names.is_label_value, ''), (names.is_label_value, 'A_b.c'),
    (names.is_config_key, 'key.NAME_-1'), (names.is_env_name, 'my.env-NAME 1'), (names.is_port_name, 'http-1'),
    (names.is_ip, '10.0.0.1'), (names.is_ip, 'fd00::1'), (names.is_percent, '25%'), (names.is_http_header_name, 'X-A'),
])  # fmt: skip
def test_good_names(check, good):
    assert check(good) == []


@pytest.mark.parametrize('check, bad, messages', [
    (names.is_dns_label, 'a.b', ['must not contain dots']),
    (names.is_dns_label, 'a' * 64, ['must be no more than 63 bytes']),
    (names.is_config_key, '..x', ["must not start with '..'"]),
    (names.is_env_name, 'a=b',
     ["a valid environment variable name must consist only of printable ASCII characters other than '='"]),
    (names.is_port_name, '1--2', ['must contain at least one letter (a-z)', 'must not contain consecutive hyphens']),
    (names.is_port_number, 0, ['must be between 1 and 65535, inclusive']),
    (names.is_ip, '10.0.0', ['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)']),
    (names.is_qualified_name, '/a', ['prefix part must be non-empty']),
    (names.is_dns_1035_label, '1a', [
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
        "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation "
        "is '[a-z]([-a-z0-9]*[a-z0-9])?')"]),
])  # fmt: skip
def test_messages(check, bad, messages):
    assert check(bad) == messages


def test_a_newline_at_the_end_is_not_overlooked():
    assert names.is_dns_label('a\n')
