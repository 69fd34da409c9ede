"""Validation of Pods: create, update, status."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import duplicate, forbidden, invalid, invalid_each, required, shown
from netkube.api.meta import Object
from netkube.api.names import is_dns_subdomain, is_qualified_name, range_message
from netkube.api.validation.metadata import validate_immutable
from netkube.api.validation.podspec import MAX_INT32, validate_pod_spec
from netkube.api.validation.scheduling import validate_added_tolerations
from netkube.api.validation.values import ip_address

_MIRROR = 'kubernetes.io/config.mirror'
_DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost'
_UPDATABLE = ','.join((
    '`spec.containers[*].image`',
    '`spec.initContainers[*].image`',
    '`spec.activeDeadlineSeconds`',
    '`spec.tolerations` (only additions to existing tolerations)',
    '`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
))  # fmt: skip
_SYSTEM_CONDITIONS = ('PodScheduled', 'Ready', 'Initialized')


def validate_pod_create(pod: Object) -> Iterator[FieldError]:
    spec = pod.get('spec', {})
    yield from _validate_pod(pod)
    if spec.get('ephemeralContainers'):
        yield forbidden('spec.ephemeralContainers', 'cannot be set on create')
    if spec.get('nodeName') and spec.get('schedulingGates'):
        yield forbidden('spec.nodeName', 'cannot be set until all schedulingGates have been cleared')


def _validate_pod(pod: Object) -> Iterator[FieldError]:
    spec = pod.get('spec', {})
    yield from _validate_annotations(pod['metadata'].get('annotations') or {}, spec)
    yield from validate_pod_spec(spec, 'spec', is_pod=True)
    if not spec.get('serviceAccountName'):
        yield from _validate_no_tokens(spec)
    for kind in ('containers', 'initContainers'):
        for index, container in enumerate(spec.get(kind) or ()):
            yield from _validate_trimmed_image(container, f'spec.{kind}[{index}].image')


def _validate_annotations(annotations: dict[str, str], spec: dict[str, Any]) -> Iterator[FieldError]:
    if _MIRROR in annotations and not spec.get('nodeName'):
        message = 'must set spec.nodeName if mirror pod annotation is set'
        yield invalid(f'metadata.annotations[{_MIRROR}]', annotations[_MIRROR], message)
    cost = annotations.get(_DELETION_COST)
    if cost is not None and not _is_int32(cost):
        yield invalid(f'metadata.annotations[{_DELETION_COST}]', cost, 'must be a 32bit integer')


def _is_int32(text: str) -> bool:
    digits = text[1:] if text[:1] == '-' else text
    if not digits.isascii() or not digits.isdigit() or (len(digits) > 1 and digits.startswith('0')):
        return False
    return -(2**31) <= int(text) < 2**31


def _validate_no_tokens(spec: dict[str, Any]) -> Iterator[FieldError]:
    for index, volume in enumerate(spec.get('volumes') or ()):
        for at, source in enumerate(volume.get('projected', {}).get('sources') or ()):
            if 'serviceAccountToken' in source:
                here = f'spec.volumes[{index}].projected.sources[{at}].serviceAccountToken'
                yield forbidden(here, 'must not be specified when serviceAccountName is not set')


def _validate_trimmed_image(container: dict[str, Any], path: str) -> Iterator[FieldError]:
    image = container.get('image', '')
    if image != image.strip():
        yield invalid(path, image, 'must not have leading or trailing whitespace')


def validate_pod_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from _validate_pod(new)
    yield from _validate_mirror_unchanged(new, old)
    spec, before = new.get('spec', {}), old.get('spec', {})
    for kind in ('containers', 'initContainers'):
        if len(spec.get(kind) or ()) != len(before.get(kind) or ()):
            yield forbidden(f'spec.{kind}', 'pod updates may not add or remove containers')
            return
    deadline_errors = list(_validate_deadline(spec.get('activeDeadlineSeconds'), before.get('activeDeadlineSeconds')))
    yield from deadline_errors
    if deadline_errors and spec.get('activeDeadlineSeconds') is not None:
        return
    yield from validate_added_tolerations(
        spec.get('tolerations') or [], before.get('tolerations') or [], 'spec.tolerations'
    )
    yield from _validate_removed_gates(spec, before)
    yield from _validate_nothing_else_changed(spec, before)


def _validate_mirror_unchanged(new: Object, old: Object) -> Iterator[FieldError]:
    path = f'metadata.annotations[{_MIRROR}]'
    value, before = ((obj['metadata'].get('annotations') or {}).get(_MIRROR) for obj in (new, old))
    if before is not None and value != before:
        yield forbidden(path, 'may not remove or update mirror pod annotation')
    elif before is None and value is not None:
        yield forbidden(path, 'may not add mirror pod annotation')


def _validate_deadline(new: int | None, old: int | None) -> Iterator[FieldError]:
    path = 'spec.activeDeadlineSeconds'
    if new is None:
        if old is not None:
            yield invalid(path, None, 'must not update from a positive integer to nil value')
    elif not 0 <= new <= MAX_INT32:
        yield invalid(path, new, range_message(0, MAX_INT32))
    elif old is not None and old < new:
        yield invalid(path, new, 'must be less than or equal to previous value')


def _gate_names(spec: dict[str, Any]) -> list[str]:
    return [gate.get('name', '') for gate in spec.get('schedulingGates') or ()]


def _validate_removed_gates(spec: dict[str, Any], before: dict[str, Any]) -> Iterator[FieldError]:
    known = _gate_names(before)
    for index, name in enumerate(_gate_names(spec)):
        if name not in known:
            message = f"only deletion is allowed, but found new scheduling gate '{name}'"
            yield forbidden(f'spec.schedulingGates[{index}].name', message)


def _validate_nothing_else_changed(spec: dict[str, Any], before: dict[str, Any]) -> Iterator[FieldError]:
    if spec == before:
        return
    munged = copy.deepcopy(spec)
    for kind in ('containers', 'initContainers'):
        for container, was in zip(munged.get(kind) or (), before.get(kind) or (), strict=True):
            _keep(container, was, 'image')
    for key in ('activeDeadlineSeconds', 'tolerations', 'schedulingGates'):
        _keep(munged, before, key)
    if before.get('terminationGracePeriodSeconds', 0) < 0 and munged.get('terminationGracePeriodSeconds') == 1:
        _keep(munged, before, 'terminationGracePeriodSeconds')
    if before.get('schedulingGates'):
        yield from _validate_gated_changes(munged, before)
    if munged != before:
        diff = '\n'.join(_difference(munged, before, ''))
        yield forbidden('spec', f'pod updates may not change fields other than {_UPDATABLE}\n{diff}\n')


def _validate_gated_changes(munged: dict[str, Any], before: dict[str, Any]) -> Iterator[FieldError]:
    """A Pod that may not be scheduled yet may still have its nodeSelector narrowed."""
    selector, was = munged.get('nodeSelector') or {}, before.get('nodeSelector') or {}
    for key, value in was.items():
        if selector.get(key) != value:
            yield invalid('spec.nodeSelector', selector, 'only additions are allowed (no mutations or deletions)')
            break
    _keep(munged, before, 'nodeSelector')


def _difference(new: Any, old: Any, path: str) -> Iterator[str]:
    """Lines of what an update changed: -old, +new under the field's path."""
    if isinstance(new, dict) and isinstance(old, dict):
        for key in sorted(new.keys() | old.keys()):
            yield from _difference(new.get(key), old.get(key), f'{path}.{key}' if path else key)
    elif isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        for index, (one, was) in enumerate(zip(new, old, strict=True)):
            yield from _difference(one, was, f'{path}[{index}]')
    elif new != old:
        yield f'- \t{path}: {shown(old)},'
        yield f'+ \t{path}: {shown(new)},'


def _keep(new: dict[str, Any], old: dict[str, Any], key: str) -> None:
    if key in old:
        new[key] = old[key]
    else:
        new.pop(key, None)


def validate_pod_status_update(new: Object, old: Object) -> Iterator[FieldError]:
    status, before, spec = new.get('status', {}), old.get('status', {}), old.get('spec', {})
    yield from _validate_mirror_unchanged(new, old)
    for index, condition in enumerate(status.get('conditions') or ()):
        name = condition.get('type', '')
        if name not in _SYSTEM_CONDITIONS:
            yield from invalid_each(f'metadata.conditions[{index}].Type', name, is_qualified_name(name))
    nominated = status.get('nominatedNodeName')
    if nominated and nominated != before.get('nominatedNodeName'):
        yield from invalid_each('status.nominatedNodeName', nominated, is_dns_subdomain(nominated))
    yield from validate_immutable(status.get('qosClass', ''), before.get('qosClass', ''), 'status.qosClass')
    sidecars = {one['name'] for one in spec.get('initContainers') or () if one.get('restartPolicy') == 'Always'}
    policy = spec.get('restartPolicy', 'Always')
    for kind, exempt in (('containerStatuses', set()), ('initContainerStatuses', sidecars)):
        current, previous = status.get(kind) or [], before.get(kind) or []
        yield from _validate_transitions(current, previous, policy, exempt, f'status.{kind}')
    yield from _validate_addresses(status)


def _validate_transitions(
    new: list[dict[str, Any]], old: list[dict[str, Any]], policy: str, exempt: set[str], path: str
) -> Iterator[FieldError]:
    """A container that is not to be restarted stays terminated."""
    if policy == 'Always':
        return
    running = {one['name'] for one in new if 'terminated' not in (one.get('state') or {})}
    for index, was in enumerate(old):
        ended = (was.get('state') or {}).get('terminated')
        if ended is None or (ended.get('exitCode', 0) != 0 and policy == 'OnFailure') or was['name'] in exempt:
            continue
        if was['name'] in running:
            yield forbidden(f'{path}[{index}].state', 'may not be transitioned to non-terminated state')


def _validate_addresses(status: dict[str, Any]) -> Iterator[FieldError]:
    for kind in ('podIPs', 'hostIPs'):
        addresses = status.get(kind) or []
        seen: set[str] = set()
        for index, one in enumerate(addresses):
            address = one.get('ip', '')
            yield from ip_address(address, f'status.{kind}[{index}]')
            if address in seen:
                yield duplicate(f'status.{kind}[{index}]', one)
            seen.add(address)
        if len(addresses) > 1 and not _is_dual_stack(seen, len(addresses)):
            yield invalid(f'status.{kind}', addresses, 'may specify no more than one IP for each IP family')
    hosts = status.get('hostIPs') or []
    if hosts and status.get('hostIP', '') != hosts[0].get('ip'):
        yield invalid('status.hostIPs[0].ip', hosts[0].get('ip', ''), 'must be equal to `hostIP`')


def _is_dual_stack(addresses: set[str], count: int) -> bool:
    return count == 2 and len({':' in address for address in addresses}) == 2


def validate_binding(binding: Object) -> list[FieldError]:
    """The body of a Pod's binding subresource."""
    from netkube.api.fielderrors import not_supported

    target = binding.get('target') or {}
    errors = []
    if target.get('kind') and target['kind'] != 'Node':
        errors.append(not_supported('target.kind', target['kind'], ('Node', '<empty>')))
    if not target.get('name'):
        errors.append(required('target.name'))
    return errors
