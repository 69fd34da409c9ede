"""Validation of what steers a Pod to a Node: affinity, tolerations, topology spread, gates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import duplicate, forbidden, invalid, invalid_each, not_supported, required
from netkube.api.names import is_dns_label, is_dns_subdomain, is_label_value, is_qualified_name
from netkube.api.validation.labels import validate_label_name, validate_label_selector

_REQUIRED = 'requiredDuringSchedulingIgnoredDuringExecution'
_PREFERRED = 'preferredDuringSchedulingIgnoredDuringExecution'
TAINT_EFFECTS = ('NoSchedule', 'PreferNoSchedule', 'NoExecute')
_SPREAD_ACTIONS = ('DoNotSchedule', 'ScheduleAnyway')
_SPREAD_POLICIES = ('Honor', 'Ignore')


def validate_affinity(affinity: dict[str, Any], path: str) -> Iterator[FieldError]:
    if 'nodeAffinity' in affinity:
        yield from _validate_node_affinity(affinity['nodeAffinity'], f'{path}.nodeAffinity')
    for kind in ('podAffinity', 'podAntiAffinity'):
        if kind in affinity:
            yield from _validate_pod_affinity(affinity[kind], f'{path}.{kind}')


def _validate_node_affinity(affinity: dict[str, Any], path: str) -> Iterator[FieldError]:
    if _REQUIRED in affinity:
        yield from _validate_node_selector(affinity[_REQUIRED], f'{path}.{_REQUIRED}')
    for index, term in enumerate(affinity.get(_PREFERRED) or ()):
        here = f'{path}.{_PREFERRED}[{index}]'
        yield from _validate_weight(term, here)
        yield from _validate_term(term.get('preference') or {}, f'{here}.preference', check_values=False)


def _validate_weight(term: dict[str, Any], path: str) -> Iterator[FieldError]:
    if not 1 <= term.get('weight', 0) <= 100:
        yield invalid(f'{path}.weight', term.get('weight', 0), 'must be in the range 1-100')


def _validate_node_selector(selector: dict[str, Any], path: str) -> Iterator[FieldError]:
    terms = selector.get('nodeSelectorTerms') or []
    if not terms:
        yield required(f'{path}.nodeSelectorTerms', 'must have at least one node selector term')
    for index, term in enumerate(terms):
        yield from _validate_term(term, f'{path}.nodeSelectorTerms[{index}]', check_values=True)


def _validate_term(term: dict[str, Any], path: str, *, check_values: bool) -> Iterator[FieldError]:
    for index, requirement in enumerate(term.get('matchExpressions') or ()):
        here = f'{path}.matchExpressions[{index}]'
        yield from _validate_node_requirement(requirement, here)
        for at, value in enumerate(requirement.get('values') or ()):
            if check_values:
                yield from invalid_each(f'{here}.values[{at}]', value, is_label_value(value))
    for index, requirement in enumerate(term.get('matchFields') or ()):
        yield from _validate_field_requirement(requirement, f'{path}.matchFields[{index}]')


def _validate_node_requirement(requirement: dict[str, Any], path: str) -> Iterator[FieldError]:
    operator, values = requirement.get('operator', ''), requirement.get('values') or []
    if operator in ('In', 'NotIn'):
        if not values:
            yield required(f'{path}.values', "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ('Exists', 'DoesNotExist'):
        if values:
            yield forbidden(f'{path}.values', "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    elif operator in ('Gt', 'Lt'):
        if len(values) != 1:
            yield required(f'{path}.values', "must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        yield invalid(f'{path}.operator', operator, 'not a valid selector operator')
    yield from validate_label_name(requirement.get('key', ''), f'{path}.key')


def _validate_field_requirement(requirement: dict[str, Any], path: str) -> Iterator[FieldError]:
    operator, values = requirement.get('operator', ''), requirement.get('values') or []
    if operator not in ('In', 'NotIn'):
        yield invalid(f'{path}.operator', operator, 'not a valid selector operator')
    elif len(values) != 1:
        message = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        yield required(f'{path}.values', message)
    if requirement.get('key') != 'metadata.name':
        yield invalid(f'{path}.key', requirement.get('key', ''), 'not a valid field selector key')
        return
    for index, value in enumerate(values):
        yield from invalid_each(f'{path}.values[{index}]', value, is_dns_subdomain(value))


def _validate_pod_affinity(affinity: dict[str, Any], path: str) -> Iterator[FieldError]:
    for index, term in enumerate(affinity.get(_REQUIRED) or ()):
        yield from _validate_pod_term(term, f'{path}.{_REQUIRED}[{index}]')
    for index, weighted in enumerate(affinity.get(_PREFERRED) or ()):
        here = f'{path}.{_PREFERRED}[{index}]'
        yield from _validate_weight(weighted, here)
        yield from _validate_pod_term(weighted.get('podAffinityTerm') or {}, f'{here}.podAffinityTerm')


def _validate_pod_term(term: dict[str, Any], path: str) -> Iterator[FieldError]:
    for name in ('labelSelector', 'namespaceSelector'):
        yield from validate_label_selector(term.get(name) or {}, f'{path}.{name}')
    for namespace in term.get('namespaces') or ():
        yield from invalid_each(f'{path}.namespace', namespace, is_dns_label(namespace))
    key = term.get('topologyKey', '')
    if not key:
        yield required(f'{path}.topologyKey', 'can not be empty')
    yield from validate_label_name(key, f'{path}.topologyKey')


def validate_tolerations(tolerations: Sequence[dict[str, Any]], path: str) -> Iterator[FieldError]:
    for index, toleration in enumerate(tolerations):
        yield from _validate_toleration(toleration, f'{path}[{index}]')


def _validate_toleration(toleration: dict[str, Any], path: str) -> Iterator[FieldError]:
    key, operator, effect = (toleration.get(name, '') for name in ('key', 'operator', 'effect'))
    if key:
        yield from validate_label_name(key, f'{path}.key')
    elif operator != 'Exists':
        message = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield invalid(f'{path}.operator', operator, message)
    if 'tolerationSeconds' in toleration and effect != 'NoExecute':
        yield invalid(f'{path}.effect', effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
    yield from _validate_toleration_value(operator, toleration.get('value', ''), path)
    if effect and effect not in TAINT_EFFECTS:
        yield not_supported(f'{path}.effect', effect, TAINT_EFFECTS)


def _validate_toleration_value(operator: str, value: str, path: str) -> Iterator[FieldError]:
    if operator in ('', 'Equal'):
        errors = is_label_value(value)
        if errors:
            yield invalid(f'{path}.operator', value, ';'.join(errors))
    elif operator == 'Exists':
        if value:
            yield invalid(f'{path}.operator', value, "value must be empty when `operator` is 'Exists'")
    else:
        yield not_supported(f'{path}.operator', operator, ('Equal', 'Exists'))


def validate_added_tolerations(
    new: Sequence[dict[str, Any]], old: Sequence[dict[str, Any]], path: str
) -> Iterator[FieldError]:
    """An update may add tolerations and change tolerationSeconds, nothing else."""
    kept = [_without_seconds(one) for one in new]
    if any(_without_seconds(one) not in kept for one in old):
        yield forbidden(path, 'existing toleration can not be modified except its tolerationSeconds')
        return
    yield from validate_tolerations(new, path)


def _without_seconds(toleration: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in toleration.items() if key != 'tolerationSeconds'}


def validate_topology_spread(constraints: Sequence[dict[str, Any]], path: str) -> Iterator[FieldError]:
    seen: set[tuple[str, str]] = set()
    for index, constraint in enumerate(constraints):
        here = f'{path}[{index}]'
        key, action = constraint.get('topologyKey', ''), constraint.get('whenUnsatisfiable', '')
        if constraint.get('maxSkew', 0) <= 0:
            yield invalid(f'{here}.maxSkew', constraint.get('maxSkew', 0), 'must be greater than zero')
        yield from [required(f'{here}.topologyKey', 'can not be empty')] if not key else validate_label_name(
            key, f'{here}.topologyKey'
        )
        if action not in _SPREAD_ACTIONS:
            yield not_supported(f'{here}.whenUnsatisfiable', action, _SPREAD_ACTIONS)
        if (key, action) in seen:
            yield duplicate(f'{here}.{{topologyKey, whenUnsatisfiable}}', f'{{{key}, {action}}}')
        seen.add((key, action))
        yield from _validate_spread_options(constraint, action, here)


def _validate_spread_options(constraint: dict[str, Any], action: str, path: str) -> Iterator[FieldError]:
    domains = constraint.get('minDomains')
    if domains is not None:
        if domains <= 0:
            yield invalid(f'{path}.minDomains', domains, 'must be greater than zero')
        if action != 'DoNotSchedule':
            message = f'can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}'
            yield invalid(f'{path}.minDomains', domains, message)
    for name in ('nodeAffinityPolicy', 'nodeTaintsPolicy'):
        if name in constraint and constraint[name] not in _SPREAD_POLICIES:
            yield not_supported(f'{path}.{name}', constraint[name], _SPREAD_POLICIES)
    yield from validate_label_selector(constraint.get('labelSelector') or {}, f'{path}.labelSelector')


def validate_gates(spec: dict[str, Any], path: str) -> Iterator[FieldError]:
    """Readiness gates and scheduling gates."""
    for index, gate in enumerate(spec.get('readinessGates') or ()):
        name = gate.get('conditionType', '')
        yield from invalid_each(f'{path}.readinessGates[{index}].conditionType', name, is_qualified_name(name))
    seen: set[str] = set()
    for index, gate in enumerate(spec.get('schedulingGates') or ()):
        here, name = f'{path}.schedulingGates[{index}]', gate.get('name', '')
        yield from invalid_each(here, name, is_qualified_name(name))
        if name in seen:
            yield duplicate(here, name)
        seen.add(name)
