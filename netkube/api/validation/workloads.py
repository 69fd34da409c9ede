"""Validation of Deployments and ReplicaSets (pkg/apis/apps/validation)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import forbidden, invalid, invalid_each, not_supported, required
from netkube.api.meta import Object
from netkube.api.names import is_percent
from netkube.api.selectors import from_label_selector
from netkube.api.validation.labels import validate_label_selector
from netkube.api.validation.metadata import validate_immutable
from netkube.api.validation.podspec import validate_pod_template
from netkube.api.validation.values import nonnegative, nonnegative_fields

_STRATEGIES = ('Recreate', 'RollingUpdate')
_DEPLOYMENT_COUNTS = ('observedGeneration', 'replicas', 'updatedReplicas', 'readyReplicas', 'availableReplicas',
                      'unavailableReplicas', 'collisionCount')  # fmt: skip
_REPLICASET_COUNTS = ('replicas', 'fullyLabeledReplicas', 'readyReplicas', 'availableReplicas', 'observedGeneration')


def validate_deployment(deployment: Object) -> Iterator[FieldError]:
    spec = deployment.get('spec', {})
    yield from nonnegative(spec.get('replicas', 0), 'spec.replicas')
    yield from _validate_selector_and_template(spec)
    yield from _validate_strategy(spec.get('strategy') or {}, 'spec.strategy')
    yield from nonnegative_fields(spec, ('minReadySeconds', 'revisionHistoryLimit'), 'spec')
    yield from _validate_deadline(spec)


def validate_replicaset(replicaset: Object) -> Iterator[FieldError]:
    spec = replicaset.get('spec', {})
    yield from nonnegative_fields(spec, ('replicas', 'minReadySeconds'), 'spec')
    yield from _validate_selector_and_template(spec)


def validate_deployment_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_deployment(new)
    yield from _validate_selector_unchanged(new, old)


def validate_replicaset_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_replicaset(new)
    yield from _validate_selector_unchanged(new, old)


def _validate_selector_unchanged(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_immutable(new['spec'].get('selector'), old['spec'].get('selector'), 'spec.selector')


def _validate_selector_and_template(spec: dict[str, Any]) -> Iterator[FieldError]:
    selector = spec.get('selector')
    errors = [required('spec.selector')] if selector is None else list(_validate_selector(selector))
    yield from errors
    if selector is None or not any(error.field.startswith('spec.selector.') for error in errors):
        yield from _validate_template(spec)
    else:
        yield invalid('spec.selector', selector, 'invalid label selector')


def _validate_selector(selector: dict[str, Any]) -> Iterator[FieldError]:
    yield from validate_label_selector(selector, 'spec.selector')
    if not selector.get('matchLabels') and not selector.get('matchExpressions'):
        yield invalid('spec.selector', selector, 'empty selector is invalid for deployment')


def _validate_template(spec: dict[str, Any]) -> Iterator[FieldError]:
    template = spec.get('template') or {}
    labels = (template.get('metadata') or {}).get('labels')
    selector = from_label_selector(spec.get('selector'))
    if not selector.empty and not selector.matches(labels):
        shown = dict(sorted(labels.items())) if labels else None
        yield invalid('spec.template.metadata.labels', shown, '`selector` does not match template `labels`')
    yield from validate_pod_template(template, 'spec.template')
    pod_spec = template.get('spec') or {}
    policy = pod_spec.get('restartPolicy', '')
    if policy != 'Always':
        yield not_supported('spec.template.spec.restartPolicy', policy, ('Always',))
    if 'activeDeadlineSeconds' in pod_spec:
        message = 'activeDeadlineSeconds in ReplicaSet is not Supported'
        yield forbidden('spec.template.spec.activeDeadlineSeconds', message)


def _validate_strategy(strategy: dict[str, Any], path: str) -> Iterator[FieldError]:
    match strategy.get('type', ''):
        case 'Recreate':
            if 'rollingUpdate' in strategy:
                yield forbidden(f'{path}.rollingUpdate', "may not be specified when strategy `type` is 'Recreate'")
        case 'RollingUpdate':
            if 'rollingUpdate' not in strategy:
                yield required(f'{path}.rollingUpdate', 'this should be defaulted and never be nil')
            else:
                yield from _validate_rolling_update(strategy['rollingUpdate'], f'{path}.rollingUpdate')
        case other:
            shown = {'Type': other, 'RollingUpdate': strategy.get('rollingUpdate')}
            yield not_supported(path, shown, _STRATEGIES)


def _validate_rolling_update(rolling: dict[str, Any], path: str) -> Iterator[FieldError]:
    unavailable, surge = rolling.get('maxUnavailable', 0), rolling.get('maxSurge', 0)
    yield from _validate_int_or_percent(unavailable, f'{path}.maxUnavailable')
    yield from _validate_int_or_percent(surge, f'{path}.maxSurge')
    if _number(unavailable) == 0 and _number(surge) == 0:
        yield invalid(f'{path}.maxUnavailable', unavailable, 'may not be 0 when `maxSurge` is 0')
    if isinstance(unavailable, str) and _number(unavailable) > 100:
        yield invalid(f'{path}.maxUnavailable', unavailable, 'must not be greater than 100%')


def _validate_int_or_percent(value: int | str, path: str) -> list[FieldError]:
    if isinstance(value, str):
        return invalid_each(path, value, is_percent(value))
    return nonnegative(value, path)


def _number(value: int | str) -> int:
    """The number, or the percentage; 0 for text that is none."""
    if isinstance(value, int):
        return value
    return 0 if is_percent(value) else int(value[:-1])


def _validate_deadline(spec: dict[str, Any]) -> Iterator[FieldError]:
    if 'progressDeadlineSeconds' not in spec:
        return
    seconds = spec['progressDeadlineSeconds']
    yield from nonnegative(seconds, 'spec.progressDeadlineSeconds')
    if seconds <= spec.get('minReadySeconds', 0):
        yield invalid('spec.progressDeadlineSeconds', seconds, 'must be greater than minReadySeconds')


def validate_deployment_status(new: Object, old: Object) -> Iterator[FieldError]:
    status, before = new.get('status', {}), old.get('status', {})
    yield from nonnegative_fields(status, _DEPLOYMENT_COUNTS, 'status')
    yield from _validate_at_most(status, ('updatedReplicas', 'readyReplicas', 'availableReplicas'))
    if before.get('collisionCount') is not None and status.get('collisionCount', -1) < before['collisionCount']:
        yield invalid('status.collisionCount', status.get('collisionCount'), 'cannot be decremented')


def validate_replicaset_status(new: Object, old: Object) -> Iterator[FieldError]:
    status = new.get('status', {})
    yield from nonnegative_fields(status, _REPLICASET_COUNTS, 'status')
    yield from _validate_at_most(status, ('fullyLabeledReplicas', 'readyReplicas', 'availableReplicas'))


def _validate_at_most(status: dict[str, Any], names: tuple[str, ...]) -> Iterator[FieldError]:
    """No count is above the replicas, and no more are available than ready."""
    for name in names:
        if status.get(name, 0) > status.get('replicas', 0):
            yield invalid(f'status.{name}', status[name], 'cannot be greater than status.replicas')
    if status.get('availableReplicas', 0) > status.get('readyReplicas', 0):
        yield invalid('status.availableReplicas', status['availableReplicas'], 'cannot be greater than readyReplicas')
