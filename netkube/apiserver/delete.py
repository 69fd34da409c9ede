"""Delete: at once, gracefully, or when the last finalizer is gone.

``plan`` decides, ``delete`` acts. k8s.io/apiserver registry/rest/delete.go, registry/generic/registry/store.go,
and pkg/registry/core/pod/strategy.go for the grace period of Pods.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from netkube.api.errors import bad_request, conflict
from netkube.api.meta import Object, copy_object, parse_timestamp, timestamp
from netkube.api.resources import NAMESPACES, PODS, Resource
from netkube.apiserver import admission
from netkube.apiserver.storage import Storage
from netkube.store.store import Entry

ORPHAN, FOREGROUND = 'orphan', 'foregroundDeletion'  # the finalizers of the garbage collector
POLICIES = {'Orphan': {ORPHAN}, 'Foreground': {FOREGROUND}, 'Background': set[str]()}


class DeleteOptions(msgspec.Struct, frozen=True):
    """``v1.DeleteOptions``; an empty propagation policy means the kind's default, Background."""

    grace_period_seconds: int | None = None
    propagation_policy: str = ''
    uid: str = ''
    resource_version: str = ''
    dry_run: bool = False

    @classmethod
    def parse(cls, body: dict[str, Any]) -> DeleteOptions:
        """From a request's body. ApiError 400."""
        policy = body.get('propagationPolicy') or ''
        orphan = body.get('orphanDependents')
        if policy and orphan is not None:
            raise bad_request('orphanDependents and deletionPropagation cannot be both set')
        if policy and policy not in POLICIES:
            supported = ', '.join(f'"{one}"' for one in (*POLICIES, 'nil'))
            raise bad_request(f'propagationPolicy: Unsupported value: "{policy}": supported values: {supported}')
        if orphan is not None:
            policy = 'Orphan' if orphan else 'Background'
        preconditions = body.get('preconditions') or {}
        return cls(
            body.get('gracePeriodSeconds'), policy, preconditions.get('uid') or '',
            preconditions.get('resourceVersion') or '', bool(body.get('dryRun')),
        )  # fmt: skip


class Deletion(msgspec.Struct, frozen=True):
    """What to do: ``now`` remove, else store ``object`` (which may be as it was)."""

    object: Object
    now: bool


def delete(storage: Storage, resource: Resource, current: Entry, options: DeleteOptions) -> tuple[Entry, bool]:
    """The last or the new state, and whether it is gone. ApiError 403, 409."""
    obj = storage.object(current)
    admission.check_deletion(resource, obj['metadata']['name'])
    check_preconditions(resource, obj, options)
    deletion = plan(resource, copy_object(obj), options, storage.now())
    if deletion.now:
        return storage.remove(resource, deletion.object, current, dry_run=options.dry_run), True
    return storage.replace(resource, deletion.object, current, dry_run=options.dry_run), False


def check_preconditions(resource: Resource, obj: Object, options: DeleteOptions) -> None:
    metadata = obj['metadata']
    for word, field, wanted in (
        ('UID', 'uid', options.uid),
        ('ResourceVersion', 'resourceVersion', options.resource_version),
    ):
        if wanted and wanted != metadata[field]:
            versus = f'{word} in precondition: {wanted}, {word} in object meta: {metadata[field]}'
            raise conflict(resource, metadata['name'], f'Precondition failed: {versus}')


def plan(resource: Resource, obj: Object, options: DeleteOptions, now: datetime) -> Deletion:
    """``obj`` is changed in place."""
    if resource is NAMESPACES:
        return _plan_namespace(obj, options, now)
    before = obj['metadata'].get('deletionTimestamp')
    if resource is PODS:
        options = replace(options, grace_period_seconds=pod_grace_period(obj, options))
        if before and not _shortens(obj, options):
            return Deletion(obj, now=False)
        _set_grace_period(obj, options.grace_period_seconds or 0, now)
    held = set_propagation(obj, options)
    graceful = resource is PODS and bool(options.grace_period_seconds)
    if held and not graceful:
        obj['metadata'].setdefault('deletionTimestamp', timestamp(now))
        obj['metadata']['deletionGracePeriodSeconds'] = 0
    if not before:
        _count_generation(obj)
    return Deletion(obj, now=not held and not graceful)


def pod_grace_period(pod: Object, options: DeleteOptions) -> int | None:
    """Seconds; None when the Pod is going already and nothing else was asked for."""
    asked = options.grace_period_seconds
    if pod['metadata'].get('deletionTimestamp'):
        return asked
    if not pod['spec'].get('nodeName') or pod.get('status', {}).get('phase') in ('Failed', 'Succeeded'):
        return 0
    period = asked if asked is not None else pod['spec'].get('terminationGracePeriodSeconds', 30)
    return period if period >= 0 else 1


def _shortens(pod: Object, options: DeleteOptions) -> bool:
    """A Pod that is going may only be asked to go sooner."""
    asked = options.grace_period_seconds
    return asked is not None and asked < pod['metadata'].get('deletionGracePeriodSeconds', 1)


def _set_grace_period(pod: Object, seconds: int, now: datetime) -> None:
    metadata = pod['metadata']
    started = now
    if metadata.get('deletionTimestamp'):
        started = parse_timestamp(metadata['deletionTimestamp'])
        started -= timedelta(seconds=metadata.get('deletionGracePeriodSeconds', 0))
    metadata['deletionTimestamp'] = timestamp(started + timedelta(seconds=seconds))
    metadata['deletionGracePeriodSeconds'] = seconds


def set_propagation(obj: Object, options: DeleteOptions) -> bool:
    """Write the garbage collector's finalizers as the policy wants; whether any finalizer is there."""
    metadata = obj['metadata']
    finalizers = metadata.get('finalizers') or []
    if options.propagation_policy:
        wanted = POLICIES[options.propagation_policy]
        finalizers = [one for one in finalizers if one not in (ORPHAN, FOREGROUND)] + sorted(wanted)
    if finalizers:
        metadata['finalizers'] = finalizers
    else:
        metadata.pop('finalizers', None)
    return bool(finalizers)


def _plan_namespace(namespace: Object, options: DeleteOptions, now: datetime) -> Deletion:
    """A namespace goes when the namespace controller has emptied it and taken spec.finalizers away."""
    metadata = namespace['metadata']
    if 'deletionTimestamp' not in metadata:
        metadata['deletionTimestamp'] = timestamp(now)
        namespace['status'] = {**namespace.get('status', {}), 'phase': 'Terminating'}
        set_propagation(namespace, options)
    held = metadata.get('finalizers') or namespace.get('spec', {}).get('finalizers')
    return Deletion(namespace, now=not held)


def _count_generation(obj: Object) -> None:
    if obj['metadata'].get('generation'):
        obj['metadata']['generation'] += 1
