"""Which Nodes a Pod asks for: nodeSelector and node affinity. Source: k8s.io/component-helpers/scheduling/corev1."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from netkube.api.meta import Object

Labels = Mapping[str, str]
Values = list[str]


def _compare(label: str | None, values: Values, holds: Callable[[int, int], bool]) -> bool:
    """Both sides have to be integers; anything else does not match."""
    try:
        return label is not None and holds(int(label), int(values[0]))
    except ValueError:
        return False


OPERATORS: dict[str, Callable[[str | None, Values], bool]] = {
    'In': lambda label, values: label in values,
    'NotIn': lambda label, values: label not in values,
    'Exists': lambda label, values: label is not None,
    'DoesNotExist': lambda label, values: label is None,
    'Gt': lambda label, values: _compare(label, values, lambda one, other: one > other),
    'Lt': lambda label, values: _compare(label, values, lambda one, other: one < other),
}


def matches_required(pod: Object, labels: Labels, name: str) -> bool:
    """nodeSelector and the required terms, one of which has to match."""
    spec = pod['spec']
    if not (spec.get('nodeSelector') or {}).items() <= labels.items():
        return False
    required = _affinity(pod).get('requiredDuringSchedulingIgnoredDuringExecution')
    if required is None:
        return True
    return any(matches_term(term, labels, name) for term in required['nodeSelectorTerms'])


def preferred_weight(pod: Object, labels: Labels, name: str) -> int:
    """The sum of the weights of the preferred terms that match."""
    preferred = _affinity(pod).get('preferredDuringSchedulingIgnoredDuringExecution') or ()
    return sum(each['weight'] for each in preferred if matches_term(each['preference'], labels, name))


def matches_term(term: Object, labels: Labels, name: str) -> bool:
    """All expressions and fields of it; an empty term matches nothing. The only field is metadata.name."""
    expressions, fields = term.get('matchExpressions') or (), term.get('matchFields') or ()
    if not expressions and not fields:
        return False
    return all(_holds(each, labels.get(each['key'])) for each in expressions) and all(
        _holds(each, name) for each in fields
    )


def _holds(requirement: Object, value: str | None) -> bool:
    return OPERATORS[requirement['operator']](value, requirement.get('values') or [])


def _affinity(pod: Object) -> Object:
    return (pod['spec'].get('affinity') or {}).get('nodeAffinity') or {}
