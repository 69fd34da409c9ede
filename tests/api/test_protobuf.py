"""Bodies in protobuf: what they say in JSON. Real ones come from kubectl in tests/apiserver/test_clients.py."""

from __future__ import annotations

import struct

import pytest

from netkube.api.decode import decode
from netkube.api.fieldnumbers import INLINE, MESSAGES, fields_of
from netkube.api.protobuf import ProtobufError, decode_protobuf
from netkube.api.resources import LEASES, PODS, SERVED
from netkube.api.schema import also_served, definition_name, raw_definitions, reachable

ROOTS = [*map(definition_name, SERVED), *also_served()]


def varint(value: int) -> bytes:
    value %= 1 << 64
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def one(number: int, value: int | str | bytes) -> bytes:
    """A field on the wire."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def body(api_version: str, kind: str, content: bytes) -> bytes:
    type_meta = one(1, api_version) + one(2, kind)
    return b'k8s\x00' + one(1, type_meta) + one(2, content) + one(3, '') + one(4, '')


def pod(spec: bytes, metadata: bytes = b'') -> bytes:
    return body('v1', 'Pod', one(1, one(1, 'p') + metadata) + one(2, spec))


def test_what_is_part_of_the_object_around_it_in_json():
    configmap = one(1, one(1, 'settings')) + one(3, 0o400)
    probe = one(1, one(2, one(1, '/') + one(2, one(1, 1) + one(3, 'http')))) + one(2, 5)
    container = one(1, 'c') + one(8, one(2, one(1, 'cpu') + one(2, one(1, '100m')))) + one(10, probe)
    found = decode_protobuf(pod(one(1, one(1, 'v') + one(2, one(19, configmap))) + one(2, container)))
    assert found['spec']['volumes'] == [{'name': 'v', 'configMap': {'name': 'settings', 'defaultMode': 0o400}}]
    assert found['spec']['containers'][0] == {
        'name': 'c', 'resources': {'requests': {'cpu': '100m'}},
        'livenessProbe': {'httpGet': {'path': '/', 'port': 'http'}, 'initialDelaySeconds': 5},
    }  # fmt: skip


def test_zero_values_are_as_absent_as_in_json():
    empty = one(2, '') + one(5, '') + one(7, 0) + one(8, b'')
    found = decode(PODS, decode_protobuf(pod(one(4, 0), empty)))
    assert found == {
        'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'p'}, 'spec': {'terminationGracePeriodSeconds': 0},
    }  # fmt: skip


def test_maps_lists_numbers_and_bytes():
    labels = one(11, one(1, 'a') + one(2, 'b')) + one(11, one(1, 'c') + one(2, ''))
    assert decode_protobuf(pod(b'', labels))['metadata']['labels'] == {'a': 'b', 'c': ''}
    security = one(14, one(4, 1) + one(4, 2) + one(2, -1))
    assert decode_protobuf(pod(security))['spec']['securityContext'] == {'supplementalGroups': [1, 2], 'runAsUser': -1}
    secret = decode_protobuf(body('v1', 'Secret', one(2, one(1, 'k') + one(2, b'\xff\x00'))))
    assert secret['data'] == {'k': '/wA='}


def test_times():
    created = one(8, one(1, 1_000_000_000) + one(2, 0))
    assert decode_protobuf(pod(b'', created))['metadata']['creationTimestamp'] == '2001-09-09T01:46:40Z'
    lease = one(2, one(4, one(1, 1_000_000_000) + one(2, 5000)))
    renewed = decode(LEASES, decode_protobuf(body('coordination.k8s.io/v1', 'Lease', lease)))
    assert renewed['spec'] == {'renewTime': '2001-09-09T01:46:40.000005Z'}


def test_delete_options_come_with_the_version_of_what_is_deleted():
    found = decode_protobuf(body('apps/v1', 'DeleteOptions', one(1, 0) + one(4, 'Foreground')))
    assert (found['gracePeriodSeconds'], found['propagationPolicy']) == (0, 'Foreground')


@pytest.mark.parametrize(
    'data, message',
    [
        (b'{}', 'provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]'),
        (pod(b'')[:-3] + b'\x12\x7f', 'unexpected EOF'),
        (b'k8s\x00\xff', 'unexpected EOF'),
        (b'k8s\x00' + b'\xff' * 11, 'proto: integer overflow'),
        (b'k8s\x00\x0b', 'proto: illegal wireType 3'),
        (body('v1', 'Nothing', b''), 'no kind "Nothing" is registered for version "v1"'),
        (pod(one(999, 'x')), 'field 999 of core.v1.PodSpec is not known'),
        (pod(one(3, 1)), 'proto: wrong wireType = 0'),
        (pod(one(4, 'x')), 'proto: wrong wireType = 2'),
        (pod(one(3, b'\xff')), 'proto: a string contains invalid UTF-8'),
        (pod(b'', one(8, one(1, 1 << 60))), 'proto: a time is out of range'),
    ],
)
def test_faults(data, message):
    with pytest.raises(ProtobufError) as error:
        decode_protobuf(data)
    assert str(error.value) == message


def test_fields_of_fixed_size_are_skipped_when_empty_only():
    assert decode_protobuf(pod(varint(999 << 3 | 5)[:0]))['spec'] == {}
    with pytest.raises(ProtobufError, match='field 999 of core.v1.PodSpec'):
        decode_protobuf(pod(varint(999 << 3 | 1) + struct.pack('<d', 1.5)))


def test_the_numbers_belong_to_fields_of_the_definitions():
    known = {'.'.join(name.split('.')[-3:]): raw.properties for name, raw in reachable(ROOTS, raw_definitions())}
    for message in MESSAGES - set(INLINE.values()):
        assert set(fields_of(message).values()) <= {*(known[message] or {}), *INLINE}, message
