"""Validation of StatefulSets, DaemonSets, ReplicationControllers and ControllerRevisions (pkg/apis/apps/validation)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import forbidden, invalid, invalid_each, not_supported, required
from netkube.api.meta import Object
from netkube.api.names import is_dns_label, is_percent
from netkube.api.selectors import from_label_selector
from netkube.api.validation.labels import validate_label_selector
from netkube.api.validation.metadata import validate_immutable
from netkube.api.validation.podspec import validate_pod_template
from netkube.api.validation.storage import validate_claim_spec
from netkube.api.validation.values import nonnegative, nonnegative_fields, one_of

_RETENTION = ('Delete', 'Retain')
_STATEFULSET_MUTABLE = {'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit',
                        'persistentVolumeClaimRetentionPolicy', 'minReadySeconds'}  # fmt: skip
_STATEFULSET_FROZEN = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def validate_statefulset(statefulset: Object) -> Iterator[FieldError]:
    yield from invalid_each('metadata.name', statefulset['metadata'].get('name', ''),
                            is_dns_label(statefulset['metadata'].get('name', '')))  # fmt: skip
    spec = statefulset.get('spec', {})
    yield from one_of(spec.get('podManagementPolicy'), ('OrderedReady', 'Parallel'), 'spec.podManagementPolicy')
    yield from _validate_statefulset_strategy(spec.get('updateStrategy') or {}, 'spec.updateStrategy')
    retention = spec.get('persistentVolumeClaimRetentionPolicy') or {}
    for name in ('whenDeleted', 'whenScaled'):
        path = f'spec.persistentVolumeClaimRetentionPolicy.{name}'
        yield from one_of(retention.get(name), _RETENTION, path)
    yield from nonnegative_fields(spec, ('replicas', 'minReadySeconds'), 'spec')
    yield from nonnegative((spec.get('ordinals') or {}).get('start', 0), 'spec.ordinals.start')
    for index, claim in enumerate(spec.get('volumeClaimTemplates') or ()):
        yield from validate_claim_spec(claim.get('spec') or {}, f'spec.volumeClaimTemplates[{index}].spec')
    yield from validate_selected_template(spec, 'statefulset')


def _validate_statefulset_strategy(strategy: dict[str, Any], path: str) -> Iterator[FieldError]:
    kind = strategy.get('type')
    if kind not in ('RollingUpdate', 'OnDelete'):
        yield from one_of(kind, ('RollingUpdate', 'OnDelete'), f'{path}.type')
    rolling = strategy.get('rollingUpdate')
    if kind == 'OnDelete' and rolling is not None:
        yield invalid(f'{path}.rollingUpdate', rolling, "only allowed for updateStrategy 'RollingUpdate'")
    if rolling:
        yield from nonnegative(rolling.get('partition', 0), f'{path}.rollingUpdate.partition')
        if 'maxUnavailable' in rolling:
            yield from _validate_count_or_percent(rolling['maxUnavailable'], f'{path}.rollingUpdate.maxUnavailable')


def validate_selected_template(spec: dict[str, Any], word: str) -> Iterator[FieldError]:
    """A selector that selects the template's labels, and a template of Pods that are always restarted."""
    selector = spec.get('selector')
    template = spec.get('template') or {}
    if selector is None:
        yield required('spec.selector')
    else:
        yield from validate_label_selector(selector, 'spec.selector')
        if not selector.get('matchLabels') and not selector.get('matchExpressions'):
            yield invalid('spec.selector', selector, f'empty selector is invalid for {word}')
        else:
            labels = (template.get('metadata') or {}).get('labels')
            if not from_label_selector(selector).matches(labels or {}):
                message = '`selector` does not match template `labels`'
                yield invalid('spec.template.metadata.labels', labels, message)
    yield from validate_pod_template(template, 'spec.template')
    policy = (template.get('spec') or {}).get('restartPolicy', '')
    if policy != 'Always':
        yield not_supported('spec.template.spec.restartPolicy', policy, ('Always',))
    if 'activeDeadlineSeconds' in (template.get('spec') or {}):
        shown = {'statefulset': 'StatefulSet', 'daemonset': 'DaemonSet'}.get(word, 'ReplicationController')
        message = f'activeDeadlineSeconds in {shown} is not Supported'
        yield forbidden('spec.template.spec.activeDeadlineSeconds', message)


def validate_statefulset_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_statefulset(new)
    spec, before = new.get('spec', {}), old.get('spec', {})
    names = ({*spec} | {*before}) - _STATEFULSET_MUTABLE
    if any(spec.get(name) != before.get(name) for name in names):
        yield forbidden('spec', _STATEFULSET_FROZEN)


def validate_daemonset(daemonset: Object) -> Iterator[FieldError]:
    spec = daemonset.get('spec', {})
    yield from validate_selected_template(spec, 'daemonset')
    yield from nonnegative_fields(spec, ('minReadySeconds', 'revisionHistoryLimit'), 'spec')
    strategy, path = spec.get('updateStrategy') or {}, 'spec.updateStrategy'
    kind = strategy.get('type')
    if kind not in ('RollingUpdate', 'OnDelete'):
        yield not_supported(f'{path}.type', kind, ('RollingUpdate', 'OnDelete'))
    if kind == 'RollingUpdate':
        rolling = strategy.get('rollingUpdate') or {}
        unavailable, surge = rolling.get('maxUnavailable', 0), rolling.get('maxSurge', 0)
        for name, value in (('maxUnavailable', unavailable), ('maxSurge', surge)):
            yield from _validate_count_or_percent(value, f'{path}.rollingUpdate.{name}')
        if _is_zero(unavailable) and _is_zero(surge):
            yield invalid(f'{path}.rollingUpdate.maxUnavailable', unavailable, 'cannot be 0 when maxSurge is 0')
        if not _is_zero(unavailable) and not _is_zero(surge):
            yield invalid(f'{path}.rollingUpdate.maxSurge', surge, 'may not be set when maxUnavailable is non-zero')


def validate_daemonset_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_daemonset(new)
    yield from validate_immutable(new['spec'].get('selector'), old['spec'].get('selector'), 'spec.selector')


def validate_replicationcontroller(controller: Object) -> Iterator[FieldError]:
    spec = controller.get('spec', {})
    yield from nonnegative_fields(spec, ('replicas', 'minReadySeconds'), 'spec')
    if not spec.get('selector'):
        yield required('spec.selector')
    template = spec.get('template')
    if template is None:
        yield required('spec.template')
        return
    labels = (template.get('metadata') or {}).get('labels') or {}
    if any(labels.get(key) != value for key, value in (spec.get('selector') or {}).items()):
        yield invalid('spec.template.metadata.labels', labels, '`selector` does not match template `labels`')
    yield from validate_pod_template(template, 'spec.template')
    policy = (template.get('spec') or {}).get('restartPolicy', '')
    if policy != 'Always':
        yield not_supported('spec.template.spec.restartPolicy', policy, ('Always',))


def validate_podtemplate(template: Object) -> Iterator[FieldError]:
    yield from validate_pod_template(template.get('template') or {}, 'template')


def validate_controllerrevision_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_immutable(new.get('data'), old.get('data'), 'data')


def _validate_count_or_percent(value: int | str, path: str) -> Iterator[FieldError]:
    if isinstance(value, int):
        yield from nonnegative(value, path)
        return
    yield from invalid_each(path, value, is_percent(value))
    if not is_percent(value) and int(value[:-1]) > 100:
        yield invalid(path, value, 'must not be greater than 100%')


def _is_zero(value: int | str) -> bool:
    return value == 0 or value == '0%'
