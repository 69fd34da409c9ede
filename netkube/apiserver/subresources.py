"""Subresources: what each reads and writes of its object.

``status`` of all kinds, ``scale`` of the workloads, ``binding`` of Pods, ``finalize`` of namespaces.
"""

from __future__ import annotations

from netkube.api.errors import FieldError, conflict, invalid
from netkube.api.jsonpath import find_all
from netkube.api.meta import Object, copy_object, timestamp
from netkube.api.resources import NAMESPACES, PODS, REPLICATIONCONTROLLERS, CustomResource, Resource
from netkube.api.selectors import from_label_selector
from netkube.apiserver.fieldmanager import Track, in_process
from netkube.apiserver.serviceaccounts import TOKEN_REQUEST
from netkube.apiserver.storage import Storage
from netkube.apiserver.update import check_version, store_update, update
from netkube.store.store import Entry

SCALE = Resource('autoscaling', 'v1', 'scales', 'Scale', True)
BINDINGS = Resource('', 'v1', 'pods/binding', 'Binding', True)
EVICTIONS = Resource('policy', 'v1', 'evictions', 'Eviction', True)
# What a request to a subresource carries when it is not the object itself.
DEFINITIONS = {
    'scale': 'io.k8s.api.autoscaling.v1.Scale',
    'binding': 'io.k8s.api.core.v1.Binding',
    'eviction': 'io.k8s.api.policy.v1.Eviction',
    'token': 'io.k8s.api.authentication.v1.TokenRequest',
}
RESOURCES = {'scale': SCALE, 'binding': BINDINGS, 'eviction': EVICTIONS, 'token': TOKEN_REQUEST}
SUCCESS = {'kind': 'Status', 'apiVersion': 'v1', 'metadata': {}, 'status': 'Success', 'code': 201}


def scale_of(resource: Resource, obj: Object) -> Object:
    """``autoscaling/v1`` Scale of a workload, or of a defined kind that says where its replicas are."""
    metadata = obj['metadata']
    fields = ('name', 'namespace', 'uid', 'resourceVersion', 'creationTimestamp')
    shown = {field: metadata[field] for field in fields if field in metadata}
    wanted, present, selector = _scale_values(resource, obj)
    return {
        'kind': 'Scale', 'apiVersion': 'autoscaling/v1', 'metadata': shown,
        'spec': {'replicas': wanted}, 'status': {'replicas': present, 'selector': selector},
    }  # fmt: skip


def _scale_values(resource: Resource, obj: Object) -> tuple[int, int, str]:
    if isinstance(resource, CustomResource):
        definition = resource.definition
        paths = (definition.scale['specReplicasPath'], definition.scale['statusReplicasPath'])
        wanted, present = (next(iter(find_all(path, obj)), 0) for path in paths)
        return wanted, present, definition.selector_of(obj)
    selector = obj['spec'].get('selector')
    if resource == REPLICATIONCONTROLLERS:
        selector = {'matchLabels': selector or {}}
    present = obj.get('status', {}).get('replicas', 0)
    return obj['spec'].get('replicas', 0), present, str(from_label_selector(selector))


def _set_replicas(resource: Resource, obj: Object, replicas: int) -> None:
    path = resource.definition.scale['specReplicasPath'] if isinstance(resource, CustomResource) else '.spec.replicas'
    *parents, last = path.strip('.').split('.')
    for name in parents:
        obj = obj.setdefault(name, {})
    obj[last] = replicas


def update_scale(
    storage: Storage, resource: Resource, scale: Object, *, dry_run: bool = False, by: Track = in_process
) -> Entry:
    """Set the replicas of the object the Scale names; the entry is the object's."""
    metadata = scale['metadata']
    obj = copy_object(storage.shown(resource, storage.get(resource, metadata.get('namespace'), metadata['name'])))
    replicas = (scale.get('spec') or {}).get('replicas', 0)
    if not isinstance(replicas, int) or replicas < 0:
        detail = f'Invalid value: {replicas}: must be greater than or equal to 0'
        raise invalid(SCALE, metadata['name'], [FieldError('FieldValueInvalid', 'spec.replicas', detail)])
    _set_replicas(resource, obj, replicas)
    for field in ('uid', 'resourceVersion'):
        if metadata.get(field):
            obj['metadata'][field] = metadata[field]
    return update(storage, resource, obj, dry_run=dry_run, by=by)


def bind(storage: Storage, binding: Object, *, dry_run: bool = False) -> Entry:
    """Assign the Pod of that name to the node that ``target`` names. pkg/registry/core/pod/storage."""
    metadata, node = binding['metadata'], (binding.get('target') or {}).get('name', '')
    if not node:
        error = FieldError('FieldValueRequired', 'target.name', 'Required value')
        raise invalid(BINDINGS, metadata['name'], [error])
    current = storage.get(PODS, metadata.get('namespace'), metadata['name'])
    pod = copy_object(storage.object(current))
    _check_bindable(pod, metadata, node)
    pod['spec']['nodeName'] = node
    for field in ('annotations', 'labels'):
        if metadata.get(field):
            pod['metadata'][field] = {**pod['metadata'].get(field, {}), **metadata[field]}
    _set_scheduled(pod, timestamp(storage.now()))
    return storage.replace(PODS, pod, current, dry_run=dry_run)


def _check_bindable(pod: Object, binding_metadata: Object, node: str) -> None:
    name = pod['metadata']['name']
    if binding_metadata.get('uid') not in (None, '', pod['metadata']['uid']):
        uids = f'UID in precondition: {binding_metadata["uid"]}, UID in object meta: {pod["metadata"]["uid"]}'
        raise conflict(BINDINGS, name, f'Precondition failed: {uids}')
    if 'deletionTimestamp' in pod['metadata']:
        raise conflict(BINDINGS, name, f'pod {name} is being deleted, cannot be assigned to a host')
    if pod['spec'].get('nodeName'):
        raise conflict(BINDINGS, name, f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"')
    if pod['spec'].get('schedulingGates'):
        raise conflict(BINDINGS, name, f'pod {name} has non-empty .spec.schedulingGates')


def _set_scheduled(pod: Object, at: str) -> None:
    status = pod.setdefault('status', {})
    others = [one for one in status.get('conditions') or () if one['type'] != 'PodScheduled']
    scheduled: Object = {'type': 'PodScheduled', 'status': 'True', 'lastTransitionTime': at}
    if generation := pod['metadata'].get('generation'):
        scheduled['observedGeneration'] = generation
    status['conditions'] = [*others, scheduled]


def finalize(storage: Storage, namespace: Object, *, dry_run: bool = False) -> Entry:
    """Replace the spec.finalizers of a namespace; with the last one a deleted namespace goes."""
    name = namespace['metadata']['name']
    current = storage.get(NAMESPACES, None, name)
    old = storage.object(current)
    check_version(NAMESPACES, namespace, old)
    new = copy_object(old)
    new['spec'] = {**new.get('spec', {}), 'finalizers': (namespace.get('spec') or {}).get('finalizers') or []}
    return store_update(storage, NAMESPACES, new, current, dry_run=dry_run)
