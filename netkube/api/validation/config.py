"""Validation of ConfigMaps and Secrets."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import forbidden, invalid, invalid_each, required, too_long
from netkube.api.meta import Object
from netkube.api.names import is_config_key
from netkube.api.validation.metadata import validate_immutable

_MAX_BYTES = 1024 * 1024
_FROZEN = 'field is immutable when `immutable` is set'
_SERVICE_ACCOUNT = 'kubernetes.io/service-account.name'
_DOCKER_KEYS = {'kubernetes.io/dockercfg': '.dockercfg', 'kubernetes.io/dockerconfigjson': '.dockerconfigjson'}
_REQUIRED_KEYS = {'kubernetes.io/ssh-auth': ('ssh-privatekey',), 'kubernetes.io/tls': ('tls.crt', 'tls.key')}


def validate_configmap(configmap: Object) -> Iterator[FieldError]:
    data, binary = configmap.get('data') or {}, configmap.get('binaryData') or {}
    for key in sorted(data):
        yield from invalid_each(f'data[{key}]', key, is_config_key(key))
        if key in binary:
            yield invalid(f'data[{key}]', key, 'duplicate of key present in binaryData')
    for key in sorted(binary):
        yield from invalid_each(f'binaryData[{key}]', key, is_config_key(key))
    if sum(len(value.encode()) for value in data.values()) + _decoded_bytes(binary) > _MAX_BYTES:
        yield too_long('', _MAX_BYTES)


def _decoded_bytes(data: dict[str, str]) -> int:
    return sum(len(base64.b64decode(value)) for value in data.values())


def validate_configmap_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from _validate_frozen(new, old, ('data', 'binaryData'))
    yield from validate_configmap(new)


def _validate_frozen(new: Object, old: Object, names: Sequence[str]) -> Iterator[FieldError]:
    if not old.get('immutable'):
        return
    if not new.get('immutable'):
        yield forbidden('immutable', _FROZEN)
    for name in names:
        if (new.get(name) or {}) != (old.get(name) or {}):
            yield forbidden(name, _FROZEN)


def validate_secret(secret: Object) -> Iterator[FieldError]:
    data = secret.get('data') or {}
    for key in sorted(data):
        yield from invalid_each(f'data[{key}]', key, is_config_key(key))
    if _decoded_bytes(data) > _MAX_BYTES:
        yield too_long('data', _MAX_BYTES)
    yield from _validate_type(secret.get('type', ''), data, secret['metadata'])


def _validate_type(kind: str, data: dict[str, str], metadata: dict[str, Any]) -> Iterator[FieldError]:
    if kind == 'kubernetes.io/service-account-token':
        if not (metadata.get('annotations') or {}).get(_SERVICE_ACCOUNT):
            yield required(f'metadata.annotations[{_SERVICE_ACCOUNT}]')
    elif kind == 'kubernetes.io/basic-auth':
        if 'username' not in data and 'password' not in data:
            yield required('data[username]')
            yield required('data[password]')
    elif kind in _DOCKER_KEYS:
        yield from _validate_json(data, _DOCKER_KEYS[kind])
    for key in _REQUIRED_KEYS.get(kind, ()):
        if key not in data or (key == 'ssh-privatekey' and not data[key]):
            yield required(f'data[{key}]')


def _validate_json(data: dict[str, str], key: str) -> Iterator[FieldError]:
    if key not in data:
        yield required(f'data[{key}]')
        return
    try:
        json.loads(base64.b64decode(data[key]))
    except ValueError as error:
        yield invalid(f'data[{key}]', '<secret contents redacted>', str(error))


def validate_secret_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_immutable(new.get('type', ''), old.get('type', ''), 'type')
    yield from _validate_frozen(new, old, ('data',))
    yield from validate_secret(new)
