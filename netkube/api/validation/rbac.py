"""Validation of roles and their bindings (pkg/apis/rbac/validation)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import invalid, invalid_each, not_supported, required
from netkube.api.meta import Object
from netkube.api.names import is_dns_subdomain, is_path_segment
from netkube.api.resources import RBAC_GROUP
from netkube.api.validation.labels import validate_label_selector

ROLE_KINDS = ('Role', 'ClusterRole')
SUBJECT_KINDS = ('ServiceAccount', 'User', 'Group')
_ONLY_RESOURCES = 'namespaced rules cannot apply to non-resource URLs'
_NOT_BOTH = 'rules cannot apply to both regular resources and non-resource URLs'


def validate_role(role: Object) -> Iterator[FieldError]:
    yield from _validate_rules(role, namespaced=True)


def validate_role_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_role(new)


def validate_clusterrole(role: Object) -> Iterator[FieldError]:
    yield from _validate_rules(role, namespaced=False)
    aggregation = role.get('aggregationRule')
    if aggregation is None:
        return
    path = 'aggregationRule.clusterRoleSelectors'
    selectors = aggregation.get('clusterRoleSelectors') or []
    if not selectors:
        yield required(path, 'at least one clusterRoleSelector required if aggregationRule is non-nil')
    for index, selector in enumerate(selectors):
        yield from validate_label_selector(selector, f'{path}[{index}]')


def validate_clusterrole_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_clusterrole(new)


def _validate_rules(role: Object, *, namespaced: bool) -> Iterator[FieldError]:
    for index, rule in enumerate(role.get('rules') or ()):
        yield from _validate_rule(rule, f'rules[{index}]', namespaced)


def _validate_rule(rule: dict[str, Any], path: str, namespaced: bool) -> Iterator[FieldError]:
    if not rule.get('verbs'):
        yield required(f'{path}.verbs', 'verbs must contain at least one value')
    urls = rule.get('nonResourceURLs')
    if urls:
        if namespaced:
            yield invalid(f'{path}.nonResourceURLs', urls, _ONLY_RESOURCES)
        if any(rule.get(field) for field in ('apiGroups', 'resources', 'resourceNames')):
            yield invalid(f'{path}.nonResourceURLs', urls, _NOT_BOTH)
        return
    if not rule.get('apiGroups'):
        yield required(f'{path}.apiGroups', 'resource rules must supply at least one api group')
    if not rule.get('resources'):
        yield required(f'{path}.resources', 'resource rules must supply at least one resource')


def validate_rolebinding(binding: Object) -> Iterator[FieldError]:
    yield from _validate_role_ref(binding.get('roleRef') or {}, ROLE_KINDS)
    yield from _validate_subjects(binding, namespaced=True)


def validate_clusterrolebinding(binding: Object) -> Iterator[FieldError]:
    yield from _validate_role_ref(binding.get('roleRef') or {}, ('ClusterRole',))
    yield from _validate_subjects(binding, namespaced=False)


def validate_rolebinding_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_rolebinding(new)
    yield from _validate_same_role(new, old)


def validate_clusterrolebinding_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_clusterrolebinding(new)
    yield from _validate_same_role(new, old)


def _validate_same_role(new: Object, old: Object) -> Iterator[FieldError]:
    if new.get('roleRef') != old.get('roleRef'):
        yield invalid('roleRef', new.get('roleRef'), 'cannot change roleRef')


def _validate_role_ref(reference: dict[str, Any], kinds: tuple[str, ...]) -> Iterator[FieldError]:
    group, kind, name = (reference.get(field, '') for field in ('apiGroup', 'kind', 'name'))
    if group != RBAC_GROUP:
        yield not_supported('roleRef.apiGroup', group, [RBAC_GROUP])
    if kind not in kinds:
        yield not_supported('roleRef.kind', kind, kinds)
    if not name:
        yield required('roleRef.name')
    else:
        yield from invalid_each('roleRef.name', name, is_path_segment(name))


def _validate_subjects(binding: Object, *, namespaced: bool) -> Iterator[FieldError]:
    for index, subject in enumerate(binding.get('subjects') or ()):
        yield from _validate_subject(subject, f'subjects[{index}]', namespaced)


def _validate_subject(subject: dict[str, Any], path: str, namespaced: bool) -> Iterator[FieldError]:
    kind, name, group = (subject.get(field, '') for field in ('kind', 'name', 'apiGroup'))
    if not name:
        yield required(f'{path}.name')
    if kind not in SUBJECT_KINDS:
        yield not_supported(f'{path}.kind', kind, SUBJECT_KINDS)
        return
    expected = '' if kind == 'ServiceAccount' else RBAC_GROUP
    if kind == 'ServiceAccount' and name:
        yield from invalid_each(f'{path}.name', name, is_dns_subdomain(name))
    if group != expected:
        yield not_supported(f'{path}.apiGroup', group, [expected])
    if kind == 'ServiceAccount' and not namespaced and not subject.get('namespace'):
        yield required(f'{path}.namespace')
