"""Validation of Namespaces, Nodes, Leases and Events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import duplicate, forbidden, invalid, invalid_each, not_supported, required
from netkube.api.meta import Object
from netkube.api.names import is_dns_subdomain, is_label_value, is_qualified_name
from netkube.api.validation.labels import validate_label_name
from netkube.api.validation.metadata import validate_finalizer_name
from netkube.api.validation.quantities import validate_quantity
from netkube.api.validation.scheduling import TAINT_EFFECTS
from netkube.api.validation.values import cidr, ip_address


def validate_namespace(namespace: Object) -> Iterator[FieldError]:
    for finalizer in namespace.get('spec', {}).get('finalizers') or ():
        yield from validate_finalizer_name(finalizer, 'spec.finalizers')


def validate_namespace_finalize(namespace: Object) -> list[FieldError]:
    """An update of the finalize subresource."""
    return list(validate_namespace(namespace))


def validate_namespace_status(new: Object, old: Object) -> Iterator[FieldError]:
    phase = new.get('status', {}).get('phase', '')
    if 'deletionTimestamp' not in new['metadata']:
        if phase != 'Active':
            yield invalid('status.Phase', phase, "may only be 'Active' if `deletionTimestamp` is empty")
    elif phase != 'Terminating':
        yield invalid('status.Phase', phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")


def validate_node(node: Object) -> Iterator[FieldError]:
    spec = node.get('spec', {})
    yield from _validate_taints(spec.get('taints') or [], 'spec.taints')
    yield from validate_node_status(node, node)
    for index, one in enumerate(spec.get('podCIDRs') or ()):
        yield from cidr(one, f'spec.podCIDRs[{index}]')


def _validate_taints(taints: list[dict[str, Any]], path: str) -> Iterator[FieldError]:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        here, effect = f'{path}[{index}]', taint.get('effect', '')
        yield from validate_label_name(taint.get('key', ''), f'{here}.key')
        errors = is_label_value(taint.get('value', ''))
        if errors:
            yield invalid(f'{here}.value', taint.get('value', ''), ';'.join(errors))
        if not effect:
            yield required(f'{here}.effect')
        elif effect not in TAINT_EFFECTS:
            yield not_supported(f'{here}.effect', effect, TAINT_EFFECTS)
        if (taint.get('key', ''), effect) in seen:
            yield duplicate(here, taint)
        seen.add((taint.get('key', ''), effect))


def validate_node_update(new: Object, old: Object) -> Iterator[FieldError]:
    spec, before = new.get('spec', {}), old.get('spec', {})
    yield from _validate_taints(spec.get('taints') or [], 'spec.taints')
    if before.get('podCIDRs') and spec.get('podCIDRs') != before['podCIDRs']:
        yield forbidden('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid')
    if before.get('providerID') and spec.get('providerID') != before['providerID']:
        yield forbidden('spec.providerID', 'node updates may not change providerID except from "" to valid')


def validate_node_status(new: Object, old: Object) -> Iterator[FieldError]:
    status = new.get('status', {})
    for kind in ('capacity', 'allocatable'):
        for name, quantity in (status.get(kind) or {}).items():
            yield from validate_quantity(name, quantity, f'status.{kind}[{name}]')
    seen: set[tuple[str, str]] = set()
    for index, address in enumerate(status.get('addresses') or ()):
        key = (address.get('type', ''), address.get('address', ''))
        if key in seen:
            yield duplicate(f'status.addresses[{index}]', address)
        seen.add(key)
        if key[0] in ('InternalIP', 'ExternalIP'):
            yield from ip_address(key[1], f'status.addresses[{index}].address')


def validate_lease(lease: Object) -> Iterator[FieldError]:
    spec = lease.get('spec') or {}
    duration, transitions = spec.get('leaseDurationSeconds'), spec.get('leaseTransitions')
    if duration is not None and duration <= 0:
        yield invalid('spec.leaseDurationSeconds', duration, 'must be greater than 0')
    if transitions is not None and transitions < 0:
        yield invalid('spec.leaseTransitions', transitions, 'must be greater than or equal to 0')


def validate_lease_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_lease(new)


def validate_event(event: Object) -> Iterator[FieldError]:
    """core/v1: with an eventTime it must be a complete new-style event."""
    namespace = event['metadata'].get('namespace', '')
    involved = (event.get('involvedObject') or {}).get('namespace', '')
    if event.get('eventTime'):
        yield from _validate_new_style(event, namespace, involved)
    elif involved != namespace and (involved or namespace not in ('', 'default')):
        yield invalid('involvedObject.namespace', involved, 'does not match event.namespace')
    yield from invalid_each('namespace', namespace, is_dns_subdomain(namespace))


def _validate_new_style(event: Object, namespace: str, involved: str) -> Iterator[FieldError]:
    if involved != namespace and (involved or namespace not in ('default', 'kube-system')):
        yield invalid('involvedObject.namespace', involved, 'does not match event.namespace')
    controller = event.get('reportingComponent', '')
    if not controller:
        yield required('reportingController')
    yield from invalid_each('reportingController', controller, is_qualified_name(controller))
    for name, limit in (('reportingInstance', 128), ('action', 128), ('reason', 128)):
        if not event.get(name):
            yield required(name)
        elif len(event[name]) > limit:
            yield invalid(name, '', f'can have at most {limit} characters')
    if len(event.get('message', '')) > 1024:
        yield invalid('message', '', 'can have at most 1024 characters')


def validate_event_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_event(new)
