"""What a write of each kind takes from the request and what it keeps: a table of strategies.

pkg/registry/*/strategy.go and k8s.io/apiserver/pkg/registry/rest (create.go, update.go). All functions change the
new object in place, after decoding and defaulting and before validation; the old object is only read, and the parts
of it that are kept become shared with the new one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from netkube.api import resources
from netkube.api.meta import Object
from netkube.api.resources import (
    DEPLOYMENTS,
    ENDPOINTSLICES,
    NAMESPACES,
    NETWORKPOLICIES,
    NODES,
    PODS,
    REPLICASETS,
    SECRETS,
    SERVICECIDRS,
    SERVICES,
    CustomResource,
    Resource,
)
from netkube.api.strategies import pod, service, workloads

_NAMESPACE_FINALIZER = 'kubernetes'
_KEPT_METADATA = ('creationTimestamp', 'generation', 'selfLink')


def _nothing(obj: Object) -> None:
    pass


def _nothing_changed(new: Object, old: Object) -> None:
    pass


class Strategy(msgspec.Struct, frozen=True):
    """``create(new)``, ``update(new, old)``, ``status_update(new, old)``; ``changes`` is what bumps the generation."""

    has_status: bool = False
    create: Callable[[Object], None] = _nothing
    update: Callable[[Object, Object], None] = _nothing_changed
    status_update: Callable[[Object, Object], None] = _nothing_changed
    changes: Callable[[Object], Any] | None = None


def _create_without_status(obj: Object) -> None:
    obj['status'] = {}


def _create_replicaset(replicaset: Object) -> None:
    replicaset['status'] = {'replicas': 0}  # no omitempty


def _create_namespace(namespace: Object) -> None:
    namespace['status'] = {'phase': 'Active'}
    finalizers = namespace.setdefault('spec', {}).setdefault('finalizers', [])
    if _NAMESPACE_FINALIZER not in finalizers:
        finalizers.append(_NAMESPACE_FINALIZER)


def _update_namespace(new: Object, old: Object) -> None:
    """The finalizers are the finalize subresource's."""
    _keep(new.setdefault('spec', {}), old.get('spec', {}), 'finalizers')


def _update_secret(new: Object, old: Object) -> None:
    if not new.get('type'):
        new['type'] = old.get('type', 'Opaque')


def _update_deployment_status(new: Object, old: Object) -> None:
    _keep(new['metadata'], old['metadata'], 'labels')


def _spec(obj: Object) -> Any:
    return obj.get('spec')


def _spec_and_annotations(obj: Object) -> Any:
    return obj.get('spec'), obj['metadata'].get('annotations') or {}


def _content(obj: Object) -> Any:
    return {key: obj[key] for key in obj if key != 'metadata'}


def _content_and_labels(obj: Object) -> Any:
    """Everything but the metadata, and the labels."""
    return {key: obj[key] for key in obj if key != 'metadata'}, obj['metadata'].get('labels') or {}


_PLAIN = Strategy()
_STRATEGIES: dict[Resource, Strategy] = {
    NAMESPACES: Strategy(True, _create_namespace, _update_namespace),
    NODES: Strategy(True),
    PODS: Strategy(True, pod.create, pod.update, pod.update_status, _spec),
    SERVICES: Strategy(True, service.create, service.update, service.update_status),
    SERVICECIDRS: Strategy(True, _create_without_status),
    SECRETS: Strategy(update=_update_secret),
    DEPLOYMENTS: Strategy(True, _create_without_status, status_update=_update_deployment_status,
                          changes=_spec_and_annotations),
    REPLICASETS: Strategy(True, _create_replicaset, changes=_spec),
    NETWORKPOLICIES: Strategy(changes=_spec),
    ENDPOINTSLICES: Strategy(changes=_content_and_labels),
    resources.STATEFULSETS: Strategy(True, workloads.create_statefulset, changes=_spec),
    resources.DAEMONSETS: Strategy(True, workloads.create_daemonset, changes=_spec),
    resources.REPLICATIONCONTROLLERS: Strategy(True, _create_replicaset, changes=_spec),
    resources.JOBS: Strategy(True, workloads.create_job, changes=_spec),
    resources.CRONJOBS: Strategy(True, _create_without_status, changes=_spec),
    resources.HORIZONTALPODAUTOSCALERS: Strategy(True, workloads.create_autoscaler),
    resources.PODDISRUPTIONBUDGETS: Strategy(True, workloads.create_budget, changes=_spec),
    resources.INGRESSES: Strategy(True, workloads.create_ingress, changes=_spec),
    resources.INGRESSCLASSES: Strategy(changes=_spec),
    resources.PERSISTENTVOLUMES: Strategy(True, workloads.create_pending),
    resources.PERSISTENTVOLUMECLAIMS: Strategy(True, workloads.create_pending),
    resources.RESOURCEQUOTAS: Strategy(True, _create_without_status),
    resources.VOLUMEATTACHMENTS: Strategy(True, _create_without_status),
    resources.CERTIFICATESIGNINGREQUESTS: Strategy(True, _create_without_status),
    resources.PRIORITYCLASSES: Strategy(changes=_content),
    resources.MUTATINGWEBHOOKCONFIGURATIONS: Strategy(changes=_content),
    resources.VALIDATINGWEBHOOKCONFIGURATIONS: Strategy(changes=_content),
    resources.VALIDATINGADMISSIONPOLICIES: Strategy(True, _create_without_status, changes=_spec),
    resources.VALIDATINGADMISSIONPOLICYBINDINGS: Strategy(changes=_spec),
    resources.MUTATINGADMISSIONPOLICIES: Strategy(changes=_spec),
    resources.MUTATINGADMISSIONPOLICYBINDINGS: Strategy(changes=_spec),
    resources.APISERVICES: Strategy(True, _create_without_status),
    resources.CUSTOMRESOURCEDEFINITIONS: Strategy(True, changes=_spec),
    resources.FLOWSCHEMAS: Strategy(True, _create_without_status, changes=_spec),
    resources.PRIORITYLEVELCONFIGURATIONS: Strategy(True, _create_without_status, changes=_spec),
    resources.DEVICECLASSES: Strategy(changes=_spec),
    resources.RESOURCECLAIMS: Strategy(True, _create_without_status),
    resources.RESOURCESLICES: Strategy(changes=_spec),
}


def _strategy(resource: Resource) -> Strategy:
    if isinstance(resource, CustomResource):
        definition = resource.definition
        return Strategy(definition.has_status, _drop_status if definition.has_status else _nothing,
                        changes=definition.content)  # fmt: skip
    return _STRATEGIES.get(resource, _PLAIN)


def _drop_status(obj: Object) -> None:
    obj.pop('status', None)


def prepare_create(resource: Resource, obj: Object) -> None:
    """Drop what only the system sets; uid, creationTimestamp and a generated name are the registry's."""
    metadata = obj['metadata']
    for key in ('deletionTimestamp', 'deletionGracePeriodSeconds', 'selfLink', 'resourceVersion'):
        metadata.pop(key, None)
    strategy = _strategy(resource)
    if strategy.changes is not None:
        metadata['generation'] = 1
    strategy.create(obj)


def prepare_update(resource: Resource, new: Object, old: Object) -> None:
    """An update of the object itself: the status stays, the generation follows the spec."""
    strategy = _strategy(resource)
    _keep_system_metadata(new, old)
    if strategy.has_status:
        _keep(new, old, 'status')
    strategy.update(new, old)
    if strategy.changes is not None and strategy.changes(new) != strategy.changes(old):
        new['metadata']['generation'] = old['metadata'].get('generation', 0) + 1


def prepare_status_update(resource: Resource, new: Object, old: Object) -> None:
    """An update of the status subresource: only the status and the metadata are taken."""
    _keep_system_metadata(new, old)
    for key in {*new, *old} - {'apiVersion', 'kind', 'metadata', 'status'}:
        _keep(new, old, key)
    _strategy(resource).status_update(new, old)


def _keep_system_metadata(new: Object, old: Object) -> None:
    metadata, before = new['metadata'], old['metadata']
    for key in _KEPT_METADATA:
        _keep(metadata, before, key)
    if not metadata.get('uid'):
        _keep(metadata, before, 'uid')
    if 'deletionTimestamp' in before:
        _keep(metadata, before, 'deletionTimestamp')
        if 'deletionGracePeriodSeconds' not in metadata:
            _keep(metadata, before, 'deletionGracePeriodSeconds')


def _keep(new: dict[str, Any], old: dict[str, Any], key: str) -> None:
    """``new`` gets the old value, or none where there was none."""
    if key in old:
        new[key] = old[key]
    else:
        new.pop(key, None)
