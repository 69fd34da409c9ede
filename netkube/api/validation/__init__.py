"""Validation: every fault of an object, in the order Kubernetes finds them. One row per kind.

pkg/apis/*/validation. Objects have been decoded, defaulted and prepared (``netkube.api.strategies``) before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from netkube.api import resources
from netkube.api.errors import FieldError
from netkube.api.meta import Object
from netkube.api.resources import CustomResource, Resource
from netkube.api.validation import (
    autoscaling,
    batch,
    cluster,
    config,
    customresources,
    daemons,
    endpoints,
    ingress,
    networkpolicy,
    pod,
    policy,
    rbac,
    service,
    servicecidrs,
    storage,
    workloads,
)
from netkube.api.validation.cluster import validate_namespace_finalize
from netkube.api.validation.definition import validate_definition
from netkube.api.validation.metadata import validate_metadata, validate_metadata_update
from netkube.api.validation.pod import validate_binding

__all__ = [
    'validate_binding', 'validate_create', 'validate_namespace_finalize', 'validate_status_update', 'validate_update',
]  # fmt: skip


def _nothing(obj: Object) -> Iterator[FieldError]:
    yield from ()


def _nothing_changed(new: Object, old: Object) -> Iterator[FieldError]:
    yield from ()


def _again(check: Callable[[Object], Iterator[FieldError]]) -> Callable[[Object, Object], Iterator[FieldError]]:
    """An update is held to what a new object is."""
    return lambda new, old: check(new)


class Checks(msgspec.Struct, frozen=True):
    """What a kind checks beyond its metadata."""

    create: Callable[[Object], Iterator[FieldError]] = _nothing
    update: Callable[[Object, Object], Iterator[FieldError]] = _nothing_changed
    status_update: Callable[[Object, Object], Iterator[FieldError]] = _nothing_changed


_CHECKS: dict[Resource, Checks] = {
    resources.NAMESPACES: Checks(cluster.validate_namespace, status_update=cluster.validate_namespace_status),
    resources.NODES: Checks(cluster.validate_node, cluster.validate_node_update, cluster.validate_node_status),
    resources.PODS: Checks(pod.validate_pod_create, pod.validate_pod_update, pod.validate_pod_status_update),
    resources.SERVICES: Checks(
        service.validate_service, service.validate_service_update, service.validate_service_status
    ),
    resources.ENDPOINTS: Checks(endpoints.validate_endpoints, endpoints.validate_endpoints_update),
    resources.ENDPOINTSLICES: Checks(endpoints.validate_endpointslice, endpoints.validate_endpointslice_update),
    resources.SERVICECIDRS: Checks(servicecidrs.validate_service_cidr, servicecidrs.validate_service_cidr_update),
    resources.IPADDRESSES: Checks(servicecidrs.validate_ip_address, servicecidrs.validate_ip_address_update),
    resources.NETWORKPOLICIES: Checks(
        networkpolicy.validate_networkpolicy, networkpolicy.validate_networkpolicy_update
    ),
    resources.CONFIGMAPS: Checks(config.validate_configmap, config.validate_configmap_update),
    resources.SECRETS: Checks(config.validate_secret, config.validate_secret_update),
    resources.EVENTS: Checks(cluster.validate_event, cluster.validate_event_update),
    resources.LEASES: Checks(cluster.validate_lease, cluster.validate_lease_update),
    resources.DEPLOYMENTS: Checks(
        workloads.validate_deployment, workloads.validate_deployment_update, workloads.validate_deployment_status
    ),
    resources.REPLICASETS: Checks(
        workloads.validate_replicaset, workloads.validate_replicaset_update, workloads.validate_replicaset_status
    ),
    resources.STATEFULSETS: Checks(daemons.validate_statefulset, daemons.validate_statefulset_update),
    resources.DAEMONSETS: Checks(daemons.validate_daemonset, daemons.validate_daemonset_update),
    resources.REPLICATIONCONTROLLERS: Checks(
        daemons.validate_replicationcontroller, _again(daemons.validate_replicationcontroller)
    ),
    resources.PODTEMPLATES: Checks(daemons.validate_podtemplate, _again(daemons.validate_podtemplate)),
    resources.CONTROLLERREVISIONS: Checks(update=daemons.validate_controllerrevision_update),
    resources.JOBS: Checks(batch.validate_job, batch.validate_job_update),
    resources.CRONJOBS: Checks(batch.validate_cronjob, batch.validate_cronjob_update),
    resources.HORIZONTALPODAUTOSCALERS: Checks(
        autoscaling.validate_autoscaler, autoscaling.validate_autoscaler_update
    ),
    resources.PODDISRUPTIONBUDGETS: Checks(
        policy.validate_budget, policy.validate_budget_update, policy.validate_budget_status
    ),
    resources.INGRESSES: Checks(ingress.validate_ingress, ingress.validate_ingress_update),
    resources.INGRESSCLASSES: Checks(ingress.validate_ingressclass, ingress.validate_ingressclass_update),
    resources.PERSISTENTVOLUMES: Checks(
        storage.validate_persistentvolume, storage.validate_persistentvolume_update
    ),
    resources.PERSISTENTVOLUMECLAIMS: Checks(
        storage.validate_persistentvolumeclaim, storage.validate_persistentvolumeclaim_update
    ),
    resources.STORAGECLASSES: Checks(storage.validate_storageclass, storage.validate_storageclass_update),
    resources.PRIORITYCLASSES: Checks(policy.validate_priorityclass, policy.validate_priorityclass_update),
    resources.RESOURCEQUOTAS: Checks(policy.validate_quota, policy.validate_quota_update),
    resources.CUSTOMRESOURCEDEFINITIONS: Checks(
        customresources.validate_crd, customresources.validate_crd_update
    ),
    resources.LIMITRANGES: Checks(policy.validate_limitrange, policy.validate_limitrange_update),
    resources.ROLES: Checks(rbac.validate_role, rbac.validate_role_update),
    resources.CLUSTERROLES: Checks(rbac.validate_clusterrole, rbac.validate_clusterrole_update),
    resources.ROLEBINDINGS: Checks(rbac.validate_rolebinding, rbac.validate_rolebinding_update),
    resources.CLUSTERROLEBINDINGS: Checks(rbac.validate_clusterrolebinding, rbac.validate_clusterrolebinding_update),
}
_METADATA_ONLY = Checks()


def _checks(resource: Resource) -> Checks:
    """A kind without checks of its own is held to what its definition requires."""
    if isinstance(resource, CustomResource):
        check = resource.definition.validate
        return Checks(check, _again(check), _again(check))
    found = _CHECKS.get(resource)
    if found is not None:
        return found
    if resource in _UNCHECKED:
        return _METADATA_ONLY

    def by_definition(obj: Object) -> Iterator[FieldError]:
        return validate_definition(resource, obj)

    return Checks(by_definition, _again(by_definition))


_UNCHECKED = (resources.SERVICEACCOUNTS,)


def validate_create(resource: Resource, obj: Object) -> list[FieldError]:
    """The faults of a new object; [] when it may be stored."""
    checks = _checks(resource)
    return [*validate_metadata(resource, obj['metadata']), *checks.create(obj)]


def validate_update(resource: Resource, new: Object, old: Object) -> list[FieldError]:
    """The faults of an object that replaces another; both have a resourceVersion."""
    checks = _checks(resource)
    return [*validate_metadata_update(resource, new['metadata'], old['metadata']), *checks.update(new, old)]


def validate_status_update(resource: Resource, new: Object, old: Object) -> list[FieldError]:
    """The faults of a new status."""
    checks = _checks(resource)
    return [*validate_metadata_update(resource, new['metadata'], old['metadata']), *checks.status_update(new, old)]
