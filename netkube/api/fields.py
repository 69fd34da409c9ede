"""Field selectors: ``spec.nodeName=node-1,status.phase!=Running`` over the few fields each kind offers.

k8s.io/apimachinery/pkg/fields and the field label conversions of pkg/apis/*/v1/conversion.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from netkube.api.errors import bad_request
from netkube.api.fielderrors import quoted
from netkube.api.resources import (
    CERTIFICATESIGNINGREQUESTS,
    EVENTS,
    EVENTS_V1,
    JOBS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICASETS,
    REPLICATIONCONTROLLERS,
    SECRETS,
    SERVICES,
    CustomResource,
    Resource,
)

_Read = Callable[[Mapping[str, Any]], Any]


def _path(path: str) -> _Read:
    keys = path.split('.')

    def read(obj: Mapping[str, Any]) -> Any:
        value: Any = obj
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    return read


def _event_source(event: Mapping[str, Any]) -> Any:
    return (event.get('source') or {}).get('component') or event.get('reportingComponent')



_METADATA = ('metadata.name', 'metadata.namespace')
_READS: dict[Resource, dict[str, _Read]] = {
    PODS: {path: _path(path) for path in (
        'spec.nodeName', 'spec.restartPolicy', 'spec.schedulerName', 'spec.serviceAccountName', 'spec.hostNetwork',
        'status.phase', 'status.podIP', 'status.nominatedNodeName',
    )} | {'status.podIPs': _path('status.podIP'), 'spec.host': _path('spec.nodeName')},
    NODES: {'spec.unschedulable': _path('spec.unschedulable')},
    NAMESPACES: {'status.phase': _path('status.phase'), 'name': _path('metadata.name')},
    SECRETS: {'type': _path('type')},
    SERVICES: {'spec.clusterIP': _path('spec.clusterIP'), 'spec.type': _path('spec.type')},
    EVENTS: {path: _path(path) for path in (
        'involvedObject.kind', 'involvedObject.namespace', 'involvedObject.name', 'involvedObject.uid',
        'involvedObject.apiVersion', 'involvedObject.resourceVersion', 'involvedObject.fieldPath',
        'reason', 'reportingComponent', 'type',
    )} | {'source': _event_source},
    JOBS: {'status.successful': lambda job: (job.get('status') or {}).get('succeeded', 0)},
    CERTIFICATESIGNINGREQUESTS: {'spec.signerName': _path('spec.signerName')},
    REPLICASETS: {'status.replicas': _path('status.replicas')},
    REPLICATIONCONTROLLERS: {'status.replicas': _path('status.replicas')},
    EVENTS_V1: {f'regarding.{name}': _path(f'regarding.{name}') for name in (
        'kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath',
    )} | {name: _path(name) for name in ('reason', 'type', 'reportingController')},
}
# Kinds whose conversion function names the label only; the others print what they do know.
_TERSE = {PODS, NODES, NAMESPACES, SECRETS, SERVICES, EVENTS}
_ZERO = {'spec.unschedulable': 'false', 'spec.hostNetwork': 'false'}
_METADATA_READS = {path: _path(path) for path in _METADATA}


class Term(msgspec.Struct, frozen=True):
    """One condition; a field that is absent is the empty string."""

    field: str
    negated: bool
    value: str
    read: _Read

    def matches(self, obj: Mapping[str, Any]) -> bool:
        return (_text(self.read(obj), self.field) == self.value) != self.negated

    def __str__(self) -> str:
        return f'{self.field}{"!=" if self.negated else "="}{_escape(self.value)}'


class FieldSelector(msgspec.Struct, frozen=True):
    """All terms must hold."""

    terms: tuple[Term, ...] = ()

    def matches(self, obj: Mapping[str, Any]) -> bool:
        return all(term.matches(obj) for term in self.terms)

    @property
    def empty(self) -> bool:
        return not self.terms

    def exact(self, field: str) -> str | None:
        """The one value a field must have (metadata.name, say), or None."""
        for term in self.terms:
            if term.field == field and not term.negated:
                return term.value
        return None

    def __str__(self) -> str:
        return ','.join(str(term) for term in self.terms)


EVERYTHING = FieldSelector()


def parse_field_selector(text: str | None, resource: Resource | None = None) -> FieldSelector:
    """The ``fieldSelector`` of a request. ApiError 400 on bad syntax or a field the resource does not offer.

    Without ``resource`` any dotted path is taken.
    """
    if not text:
        return EVERYTHING
    terms = [_parse_term(text, part, resource) for part in _split_terms(text) if part]
    return FieldSelector(tuple(terms))


def _split_terms(text: str) -> list[str]:
    return re.split(r'(?<!\\),', text)


def _parse_term(whole: str, part: str, resource: Resource | None) -> Term:
    found = re.fullmatch(r'(?P<field>(?:[^=!\\]|\\.)*?)(?P<operator>!=|==|=)(?P<value>.*)', part, re.DOTALL)
    if not found:
        raise bad_request(f"invalid selector: '{whole}'; can't understand '{part}'")
    field = found['field']
    return Term(field, found['operator'] == '!=', _unescape(found['value']), _reader(resource, field))


def _reader(resource: Resource | None, field: str) -> _Read:
    if resource is None:
        return _path(field)
    if field in _METADATA and (resource.namespaced or field == 'metadata.name' or resource not in _TERSE):
        return _METADATA_READS[field]
    if isinstance(resource, CustomResource):
        if resource.definition.selectable(field):
            return _path(field)
        raise bad_request(f'field label not supported: {field}')
    read = _READS.get(resource, {}).get(field)
    if read is not None:
        return read
    if resource in _TERSE:
        raise bad_request(f'field label not supported: {field}')
    known = ', '.join(quoted(path) for path in _METADATA)
    raise bad_request(f'{quoted(field)} is not a known field selector: only {known}')


def _text(value: Any, field: str) -> str:
    if value is None:
        return _ZERO.get(field, '')
    if isinstance(value, bool):
        return 'true' if value else 'false'
    return str(value)


def _unescape(text: str) -> str:
    if re.search(r'(?<!\\)(?:\\\\)*\\(?![\\,=])', text):
        raise bad_request(f'invalid field selector: invalid escape sequence: {text}')
    return re.sub(r'\\([\\,=])', r'\1', text)


def _escape(text: str) -> str:
    return re.sub(r'([\\,=])', r'\\\1', text)
