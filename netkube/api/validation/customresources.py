"""Validation of CustomResourceDefinitions (k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from netkube.api.customresources.structural import validate_structural
from netkube.api.errors import FieldError
from netkube.api.fielderrors import duplicate, forbidden, invalid, invalid_each, not_supported, required
from netkube.api.jsonpath import JsonPathError, parse_path
from netkube.api.meta import Object
from netkube.api.names import is_dns_1035_label, is_dns_subdomain
from netkube.api.validation.metadata import validate_immutable

_COLUMN_TYPES = ('boolean', 'date', 'integer', 'number', 'string')
_COLUMN_FORMATS = ('byte', 'date', 'date-time', 'double', 'float', 'int32', 'int64', 'password')
_SELECTABLE = 8


def validate_crd(crd: Object) -> Iterator[FieldError]:
    spec = crd.get('spec') or {}
    names, group = spec.get('names') or {}, spec.get('group', '')
    wanted = f'{names.get("plural", "")}.{group}'
    if crd['metadata'].get('name') != wanted:
        yield invalid('metadata.name', crd['metadata'].get('name'), 'must be spec.names.plural+"."+spec.group')
    yield from _validate_group(group)
    scope = spec.get('scope', '')
    if scope not in ('Cluster', 'Namespaced'):
        if scope:
            yield not_supported('spec.scope', scope, ('Cluster', 'Namespaced'))
        else:
            yield required('spec.scope')
    yield from _validate_names(names)
    if spec.get('preserveUnknownFields'):
        yield invalid('spec.preserveUnknownFields', True,
                      'cannot set to true, set x-kubernetes-preserve-unknown-fields to true in '
                      'spec.versions[*].schema instead')  # fmt: skip
    yield from _validate_versions(spec.get('versions') or [])
    yield from _validate_conversion(spec.get('conversion') or {})


def validate_crd_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from validate_crd(new)
    spec, before = new['spec'], old['spec']
    for path in ('group', 'scope'):
        yield from validate_immutable(spec.get(path), before.get(path), f'spec.{path}')
    for name in ('plural', 'kind'):
        path = f'spec.names.{name}'
        yield from validate_immutable(spec['names'].get(name), before['names'].get(name), path)
    present = {one['name'] for one in spec.get('versions') or ()}
    for index, stored in enumerate((old.get('status') or {}).get('storedVersions') or ()):
        if stored not in present:
            message = 'missing from spec.versions; ' \
                      f'{stored} was previously a storage version, and must remain in spec.versions until a storage ' \
                      f'migration ensures no data remains persisted in {stored} and removes {stored} from ' \
                      'status.storedVersions'  # fmt: skip
            yield invalid(f'status.storedVersions[{index}]', stored, message)


def _validate_group(group: str) -> Iterator[FieldError]:
    if not group:
        yield required('spec.group')
    elif messages := is_dns_subdomain(group):
        yield from invalid_each('spec.group', group, messages)
    elif '.' not in group:
        yield invalid('spec.group', group, 'should be a domain with at least one dot')


def _validate_names(names: dict[str, Any]) -> Iterator[FieldError]:
    for name in ('plural', 'singular', 'kind', 'listKind'):
        value = names.get(name, '')
        if not value:
            yield required(f'spec.names.{name}')
        else:
            yield from invalid_each(f'spec.names.{name}', value, is_dns_1035_label(value.lower()))
            if name in ('plural', 'singular') and value != value.lower():
                yield from invalid_each(f'spec.names.{name}', value, is_dns_1035_label(value))
    for name in ('shortNames', 'categories'):
        for index, value in enumerate(names.get(name) or ()):
            yield from invalid_each(f'spec.names.{name}[{index}]', value, is_dns_1035_label(value))
    if names.get('kind') and names.get('kind') == names.get('listKind'):
        yield invalid('spec.names.listKind', names['listKind'], 'kind and listKind may not be the same')


def _validate_versions(versions: list[dict[str, Any]]) -> Iterator[FieldError]:
    if not versions:
        yield required('spec.versions', 'must have at least one version')
        return
    seen: set[str] = set()
    for index, version in enumerate(versions):
        path, name = f'spec.versions[{index}]', version.get('name', '')
        if not name:
            yield required(f'{path}.name')
        else:
            yield from invalid_each(f'{path}.name', name, is_dns_1035_label(name))
        if name in seen:
            yield duplicate(f'{path}.name', name)
        seen.add(name)
        yield from _validate_version(version, path)
    if sum(bool(one.get('storage')) for one in versions) != 1:
        yield invalid('spec.versions', versions, 'must have exactly one version marked as storage version')


def _validate_version(version: dict[str, Any], path: str) -> Iterator[FieldError]:
    schema = (version.get('schema') or {}).get('openAPIV3Schema')
    if schema is None:
        yield required(f'{path}.schema.openAPIV3Schema', 'schemas are required')
    else:
        yield from validate_structural(schema, f'{path}.schema.openAPIV3Schema')
    yield from _validate_subresources(version.get('subresources') or {}, f'{path}.subresources')
    for index, column in enumerate(version.get('additionalPrinterColumns') or ()):
        yield from _validate_column(column, f'{path}.additionalPrinterColumns[{index}]')
    fields = version.get('selectableFields') or []
    if len(fields) > _SELECTABLE:
        yield FieldError('FieldValueTooMany', f'{path}.selectableFields',
                         f'Too many: {len(fields)}: must have at most {_SELECTABLE} items')  # fmt: skip
    for index, field in enumerate(fields):
        yield from _validate_simple_path(field.get('jsonPath', ''), f'{path}.selectableFields[{index}].jsonPath')
    if version.get('deprecationWarning') is not None and not version.get('deprecated'):
        yield invalid(f'{path}.deprecationWarning', version['deprecationWarning'],
                      'can only be set for deprecated versions')  # fmt: skip


def _validate_subresources(subresources: dict[str, Any], path: str) -> Iterator[FieldError]:
    scale = subresources.get('scale')
    if scale is None:
        return
    for name, prefix in (('specReplicasPath', '.spec.'), ('statusReplicasPath', '.status.'),
                         ('labelSelectorPath', ('.spec.', '.status.'))):  # fmt: skip
        value = scale.get(name, '')
        if not value:
            if name != 'labelSelectorPath':
                yield required(f'{path}.scale.{name}')
            continue
        yield from _validate_simple_path(value, f'{path}.scale.{name}')
        if not value.startswith(prefix):
            words = prefix if isinstance(prefix, str) else '.spec. or .status.'
            yield invalid(f'{path}.scale.{name}', value, f'should be a json path under {words.rstrip(".")}')


def _validate_simple_path(value: str, path: str) -> Iterator[FieldError]:
    """Fields after fields, nothing else."""
    if not value:
        yield required(path)
    elif not re.fullmatch(r'(\.[A-Za-z_][\w-]*)+', value):
        yield invalid(path, value, 'must be a simple json path in dot notation')


def _validate_column(column: dict[str, Any], path: str) -> Iterator[FieldError]:
    if not column.get('name'):
        yield required(f'{path}.name')
    kind = column.get('type', '')
    if not kind:
        yield required(f'{path}.type', f'must be one of {",".join(_COLUMN_TYPES)}')
    elif kind not in _COLUMN_TYPES:
        yield invalid(f'{path}.type', kind, f'must be one of {",".join(_COLUMN_TYPES)}')
    if column.get('format') and column['format'] not in _COLUMN_FORMATS:
        yield invalid(f'{path}.format', column['format'], f'must be one of {",".join(_COLUMN_FORMATS)}')
    text = column.get('jsonPath', '')
    if not text:
        yield required(f'{path}.jsonPath')
        return
    if not text.startswith(('.', '{', '[')):
        yield invalid(f'{path}.jsonPath', text, 'is malformed: unrecognized identifier, must start with a dot')
        return
    try:
        parse_path(text)
    except (JsonPathError, re.error) as error:
        yield invalid(f'{path}.jsonPath', text, f'is malformed: {error}')


def _validate_conversion(conversion: dict[str, Any]) -> Iterator[FieldError]:
    strategy = conversion.get('strategy', 'None')
    if strategy == 'Webhook':
        yield forbidden('spec.conversion.strategy', 'netkube does not call conversion webhooks: only None is supported')
    elif strategy != 'None':
        yield not_supported('spec.conversion.strategy', strategy, ('None', 'Webhook'))
    elif conversion.get('webhook') is not None:
        yield forbidden('spec.conversion.webhook', 'should not be set when strategy is not set to Webhook')
