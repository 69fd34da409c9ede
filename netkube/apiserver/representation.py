"""In which form a client wants objects: whole, as rows of a Table, or their metadata only.

It is chosen by the Accept header. Whole objects are the stored bytes as they are; what is derived for one watcher is
kept on the event, so that each event is encoded once for all watchers of the same form.
https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import msgspec

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.printing import row_conditions, table_columns, table_row
from netkube.api.resources import CustomResource, Resource
from netkube.apiserver.request import Request
from netkube.apiserver.response import JSON
from netkube.apiserver.selection import Selection
from netkube.apiserver.storage import Storage, encode
from netkube.apiserver.watch import event_object, event_type
from netkube.store.store import Entry, Event

JSON_TYPES = ('application/json', '*/*', 'application/*', '')
YAML = b'application/yaml'
META_VERSIONS = ('v1', 'v1beta1')


class Representation(msgspec.Struct, frozen=True):
    """``form`` is '', Table or PartialObjectMetadata; ``include`` what a Table's rows carry of the object."""

    form: str = ''
    version: str = 'v1'
    include: str = 'Metadata'
    yaml: bool = False

    @property
    def content_type(self) -> bytes:
        return YAML if self.yaml else JSON

    def object(self, storage: Storage, resource: Resource, entry: Entry) -> bytes:
        if not self.form and not self.yaml:
            return next(iter(storage.values(resource, (entry,))))
        return self.encoded(self._shown(storage, resource, storage.shown(resource, entry)))

    def collection(self, storage: Storage, resource: Resource, entries: Sequence[Entry], metadata: Object) -> bytes:
        """``metadata`` is the list's own."""
        if self.form == 'Table':
            objects = [storage.shown(resource, entry) for entry in entries]
            return self.encoded(self._table(storage, resource, objects, metadata))
        if self.form:
            items = [self._partial(storage.shown(resource, entry)) for entry in entries]
            kind = {'kind': 'PartialObjectMetadataList', 'apiVersion': f'meta.k8s.io/{self.version}'}
            return self.encoded({**kind, 'metadata': metadata, 'items': items})
        kind = {'kind': resource.list_kind, 'apiVersion': resource.api_version}
        if self.yaml:
            objects = [storage.shown(resource, entry) for entry in entries]
            items = [{key: obj[key] for key in obj if key not in ('apiVersion', 'kind')} for obj in objects]
            return self.encoded({**kind, 'metadata': metadata, 'items': items})
        head = encode({**kind, 'metadata': metadata})
        values = storage.values(resource, entries)
        if not isinstance(resource, CustomResource):  # whose items are whole
            values = (without_kind(resource, value) for value in values)
        return b'%b,"items":[%b]}' % (head[:-1], b','.join(values))

    def event(self, storage: Storage, resource: Resource, event: Event, selection: Selection) -> bytes:
        """One line of a watch; b'' when the watch is not concerned."""
        type = event_type(storage, resource, event, selection)
        if not type:
            return b''
        key = (self, type, resource.api_version)
        line: bytes | None = event.encoded.get(key)
        if line is None:
            line = event.encoded[key] = self._event(storage, resource, event, type)
        return line

    def added(self, storage: Storage, resource: Resource, entry: Entry) -> bytes:
        """The line of an object that is there when a watch begins."""
        return event_line('ADDED', self.object(storage, resource, entry))

    def bookmark(self, resource: Resource, revision: int, annotations: dict[str, str] | None = None) -> bytes:
        metadata: Object = {'resourceVersion': str(revision), 'creationTimestamp': None}
        if annotations:
            metadata['annotations'] = annotations
        obj: Object = {'kind': resource.kind, 'apiVersion': resource.api_version, 'metadata': metadata}
        if self.form == 'Table':
            obj = {'kind': 'Table', 'apiVersion': f'meta.k8s.io/{self.version}', 'metadata': metadata,
                   'columnDefinitions': [], 'rows': [{'cells': [], 'object': self._partial(obj)}]}  # fmt: skip
        elif self.form:
            obj = self._partial(obj)
        return event_line('BOOKMARK', encode(obj))

    def encoded(self, value: Any) -> bytes:
        if not self.yaml:
            return encode(value)
        import yaml

        text: bytes = yaml.dump(value, Dumper=getattr(yaml, 'CSafeDumper', yaml.SafeDumper), encoding='utf-8')
        return text

    def _event(self, storage: Storage, resource: Resource, event: Event, type: str) -> bytes:
        left_selection = type == 'DELETED' and not event.deleted
        if not self.form and not left_selection:
            (value,) = storage.values(resource, (event.entry,))
            return event_line(type, value)
        return event_line(type, encode(self._shown(storage, resource, event_object(storage, resource, event, type))))

    def _shown(self, storage: Storage, resource: Resource, obj: Object) -> Object:
        if self.form == 'Table':
            metadata = {'resourceVersion': obj['metadata'].get('resourceVersion', '')}  # a dry run has none
            return self._table(storage, resource, [obj], metadata)
        return self._partial(obj) if self.form else obj

    def _table(self, storage: Storage, resource: Resource, objects: Sequence[Object], metadata: Object) -> Object:
        now = storage.now()
        rows = []
        for obj in objects:
            row: Object = {'cells': table_row(resource, obj, now)}
            if conditions := row_conditions(resource, obj):
                row['conditions'] = conditions
            if self.include != 'None':
                row['object'] = obj if self.include == 'Object' else self._partial(obj)
            rows.append(row)
        return {
            'kind': 'Table', 'apiVersion': f'meta.k8s.io/{self.version}', 'metadata': metadata,
            'columnDefinitions': table_columns(resource), 'rows': rows,
        }  # fmt: skip

    def _partial(self, obj: Object) -> Object:
        kind = {'kind': 'PartialObjectMetadata', 'apiVersion': f'meta.k8s.io/{self.version}'}
        return {**kind, 'metadata': obj['metadata']}


def without_kind(resource: Resource, value: bytes) -> bytes:
    """An item of a list does not say what the list says already."""
    kind = b'"apiVersion":"%b","kind":"%b",' % (resource.api_version.encode(), resource.kind.encode())
    return b'{' + value[1 + len(kind) :] if value.startswith(kind, 1) else value


def event_line(type: str, obj: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (type.encode(), obj)


def negotiate(request: Request) -> Representation:
    """ApiError 406 when the client accepts nothing that is served."""
    return _negotiate(request.headers.get(b'accept', b''), request.value('includeObject') or 'Metadata')


@functools.lru_cache(256)
def _negotiate(accept: bytes, include: str) -> Representation:
    for clause in accept.decode('latin-1').split(','):
        media_type, *parameters = (part.strip() for part in clause.split(';'))
        options = dict(parameter.partition('=')[::2] for parameter in parameters)
        form = options.get('as', '')
        if options.get('g') == 'meta.k8s.io':
            form = form.removesuffix('List')
        if form not in ('', 'Table', 'PartialObjectMetadata') or options.get('v', 'v1') not in META_VERSIONS:
            continue
        if media_type in JSON_TYPES:
            return Representation(form, options.get('v', 'v1'), include)
        if media_type == 'application/yaml':
            return Representation(form, options.get('v', 'v1'), include, yaml=True)
    raise not_acceptable('application/json, application/yaml')


def not_acceptable(accepted: str) -> ApiError:
    return ApiError(406, 'NotAcceptable', f'only the following media types are accepted: {accepted}')
