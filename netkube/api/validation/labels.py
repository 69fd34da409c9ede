"""Validation of labels and label selectors (k8s.io/apimachinery/pkg/apis/meta/v1/validation)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import forbidden, invalid, invalid_each, required
from netkube.api.names import is_label_value, is_qualified_name


def validate_labels(labels: Mapping[str, str], path: str) -> Iterator[FieldError]:
    for key, value in sorted(labels.items()):
        yield from invalid_each(path, key, is_qualified_name(key))
        yield from invalid_each(path, value, is_label_value(value))


def validate_label_name(name: str, path: str) -> list[FieldError]:
    return invalid_each(path, name, is_qualified_name(name))


def validate_label_selector(selector: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    yield from validate_labels(selector.get('matchLabels') or {}, f'{path}.matchLabels')
    for index, requirement in enumerate(selector.get('matchExpressions') or ()):
        yield from _validate_requirement(requirement, f'{path}.matchExpressions[{index}]')


def _validate_requirement(requirement: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    operator, values = requirement.get('operator', ''), requirement.get('values') or []
    if operator in ('In', 'NotIn'):
        if not values:
            yield required(f'{path}.values', "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ('Exists', 'DoesNotExist'):
        if values:
            yield forbidden(f'{path}.values', "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    else:
        yield invalid(f'{path}.operator', operator, 'not a valid selector operator')
    yield from validate_label_name(requirement.get('key', ''), f'{path}.key')
    for index, value in enumerate(values):
        yield from invalid_each(f'{path}.values[{index}]', value, is_label_value(value))
