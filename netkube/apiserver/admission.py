"""What depends on the rest of the cluster when an object is written: Kubernetes' default admission plugins.

NamespaceLifecycle, ServiceAccount, Priority and DefaultTolerationSeconds; what completes a kind is a row of
``ON_CREATE``.
"""

from __future__ import annotations

from collections.abc import Callable

from netkube.api.errors import ApiError, forbidden, not_found
from netkube.api.meta import Object
from netkube.api.resources import NAMESPACES, PODS, Resource
from netkube.apiserver.accountadmission import set_service_account
from netkube.apiserver.storage import Storage

IMMORTAL_NAMESPACES = ('default', 'kube-system', 'kube-public')
NOT_READY, UNREACHABLE = 'node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'
TOLERATION_SECONDS = 300
SYSTEM_PRIORITIES = {'system-node-critical': 2_000_001_000, 'system-cluster-critical': 2_000_000_000}


def check_namespace(storage: Storage, resource: Resource, obj: Object) -> None:
    """NamespaceLifecycle: what is created needs a namespace that exists and is not going."""
    if not resource.namespaced:
        return
    namespace = obj['metadata']['namespace']
    entry = storage.find(NAMESPACES, None, namespace)
    if entry is None:
        raise not_found(NAMESPACES, namespace)
    if 'deletionTimestamp' in storage.object(entry)['metadata']:
        raise namespace_terminating(resource, obj['metadata'].get('name', ''), namespace)


def namespace_terminating(resource: Resource, name: str, namespace: str) -> ApiError:
    why = f'unable to create new content in namespace {namespace} because it is being terminated'
    error = forbidden(resource, name, why)
    message = f'namespace {namespace} is being terminated'
    cause = {'reason': 'NamespaceTerminating', 'message': message, 'field': 'metadata.namespace'}
    error.details = {**(error.details or {}), 'causes': [cause]}
    return error


def check_deletion(resource: Resource, name: str) -> None:
    if resource is NAMESPACES and name in IMMORTAL_NAMESPACES:
        raise forbidden(NAMESPACES, name, 'this namespace may not be deleted')


def admit_create(storage: Storage, resource: Resource, obj: Object) -> None:
    """Complete ``obj`` from the state of the cluster. ApiError 403 when it may not be.

    An object without a spec is left for validation to refuse.
    """
    if not isinstance(obj.get('spec'), dict):
        return
    for admit in ON_CREATE.get(resource, ()):
        admit(storage, obj)


def set_priority(storage: Storage, pod: Object) -> None:
    """Priority: there are no PriorityClasses but Kubernetes' own two."""
    spec = pod['spec']
    name = spec.get('priorityClassName', '')
    if name and name not in SYSTEM_PRIORITIES:
        raise forbidden(PODS, pod['metadata'].get('name', ''), f'no PriorityClass with name {name} was found')
    priority = SYSTEM_PRIORITIES.get(name, 0)
    if spec.get('priority') not in (None, priority):
        why = (
            f'the integer value of priority ({spec["priority"]}) must not be provided in pod spec; '
            f'priority admission controller computed {priority} from the given PriorityClass name'
        )
        raise forbidden(PODS, pod['metadata'].get('name', ''), why)
    spec['priority'] = priority
    spec.setdefault('preemptionPolicy', 'PreemptLowerPriority')


def add_tolerations(storage: Storage, pod: Object) -> None:
    """DefaultTolerationSeconds: five minutes of patience with a node that is not ready or not reachable."""
    tolerations = pod['spec'].get('tolerations') or []
    for taint in (NOT_READY, UNREACHABLE):
        if not any(_tolerates(one, taint) for one in tolerations):
            tolerations = [*tolerations, {'key': taint, 'operator': 'Exists', 'effect': 'NoExecute',
                                          'tolerationSeconds': TOLERATION_SECONDS}]  # fmt: skip
    pod['spec']['tolerations'] = tolerations


def _tolerates(toleration: Object, taint: str) -> bool:
    return toleration.get('key', '') in ('', taint) and toleration.get('effect', '') in ('', 'NoExecute')


ON_CREATE: dict[Resource, tuple[Callable[[Storage, Object], None], ...]] = {
    PODS: (set_service_account, set_priority, add_tolerations),
}
