"""Validation of probes and lifecycle handlers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import forbidden, invalid, invalid_each, not_supported, required
from netkube.api.names import is_http_header_name
from netkube.api.validation.values import nonnegative_fields, port_number_or_name

_NUMBERS = ('initialDelaySeconds', 'timeoutSeconds', 'periodSeconds', 'successThreshold', 'failureThreshold')
_SCHEMES = ('HTTP', 'HTTPS')
_PROBE_HANDLERS = ('exec', 'httpGet', 'tcpSocket', 'grpc')
_LIFECYCLE_HANDLERS = ('exec', 'httpGet', 'tcpSocket', 'sleep')
_Grace = int | None


def validate_probes(container: dict[str, Any], grace: _Grace, path: str) -> Iterator[FieldError]:
    """Lifecycle hooks and probes of a container that keeps running; ``grace`` is the Pod's, in seconds."""
    if 'lifecycle' in container:
        yield from validate_lifecycle(container['lifecycle'], grace, f'{path}.lifecycle')
    if 'livenessProbe' in container:
        yield from _validate_once(container['livenessProbe'], grace, f'{path}.livenessProbe')
    if 'readinessProbe' in container:
        yield from _validate_readiness(container['readinessProbe'], grace, f'{path}.readinessProbe')
    if 'startupProbe' in container:
        yield from _validate_once(container['startupProbe'], grace, f'{path}.startupProbe')


def validate_lifecycle(lifecycle: dict[str, Any], grace: _Grace, path: str) -> Iterator[FieldError]:
    for hook in ('postStart', 'preStop'):
        if hook in lifecycle:
            yield from _validate_handler(lifecycle[hook], _LIFECYCLE_HANDLERS, grace, f'{path}.{hook}')


def _validate_once(probe: dict[str, Any], grace: _Grace, path: str) -> Iterator[FieldError]:
    """Liveness and startup: one success is enough."""
    yield from _validate_probe(probe, grace, path)
    if probe.get('successThreshold', 0) != 1:
        yield invalid(f'{path}.successThreshold', probe.get('successThreshold', 0), 'must be 1')


def _validate_readiness(probe: dict[str, Any], grace: _Grace, path: str) -> Iterator[FieldError]:
    yield from _validate_probe(probe, grace, path)
    if 'terminationGracePeriodSeconds' in probe:
        value = probe['terminationGracePeriodSeconds']
        yield invalid(f'{path}.terminationGracePeriodSeconds', value, 'must not be set for readinessProbes')


def _validate_probe(probe: dict[str, Any], grace: _Grace, path: str) -> Iterator[FieldError]:
    yield from _validate_handler(probe, _PROBE_HANDLERS, grace, path)
    yield from nonnegative_fields(probe, _NUMBERS, path)
    seconds = probe.get('terminationGracePeriodSeconds')
    if seconds is not None and seconds <= 0:
        yield invalid(f'{path}.terminationGracePeriodSeconds', seconds, 'must be greater than 0')


def _validate_handler(
    handler: dict[str, Any], kinds: tuple[str, ...], grace: _Grace, path: str
) -> Iterator[FieldError]:
    given = [kind for kind in kinds if kind in handler]
    if not given:
        yield required(path, 'must specify a handler type')
        return
    yield from _HANDLERS[given[0]](handler[given[0]], grace, f'{path}.{given[0]}')
    for kind in given[1:]:
        yield forbidden(f'{path}.{kind}', 'may not specify more than 1 handler type')


def _validate_exec(action: dict[str, Any], grace: _Grace, path: str) -> Iterator[FieldError]:
    if not action.get('command'):
        yield required(f'{path}.command')


def _validate_http_get(action: dict[str, Any], grace: _Grace, path: str) -> Iterator[FieldError]:
    if not action.get('path'):
        yield required(f'{path}.path')
    yield from port_number_or_name(action.get('port'), f'{path}.port')
    if action.get('scheme') not in _SCHEMES:
        yield not_supported(f'{path}.scheme', action.get('scheme', ''), _SCHEMES)
    for header in action.get('httpHeaders') or ():
        name = header.get('name', '')
        yield from invalid_each(f'{path}.httpHeaders', name, is_http_header_name(name))


def _validate_port(action: dict[str, Any], grace: _Grace, path: str) -> Iterator[FieldError]:
    yield from port_number_or_name(action.get('port'), f'{path}.port')


def _validate_sleep(action: dict[str, Any], grace: _Grace, path: str) -> Iterator[FieldError]:
    seconds = action.get('seconds', 0)
    if grace is not None and not 0 <= seconds <= grace:
        message = f'must be non-negative and less than terminationGracePeriodSeconds ({grace})'
        yield invalid(path, seconds, message)


_HANDLERS: dict[str, Callable[[dict[str, Any], _Grace, str], Iterator[FieldError]]] = {
    'exec': _validate_exec, 'httpGet': _validate_http_get, 'tcpSocket': _validate_port, 'grpc': _validate_port,
    'sleep': _validate_sleep,
}  # fmt: skip
