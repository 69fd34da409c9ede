"""Validation: every fault of an object, in the order Kubernetes finds them. One row per kind.

pkg/apis/*/validation. Objects have been decoded, defaulted and prepared (``netkube.api.strategies``) before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from netkube.api import resources
from netkube.api.errors import FieldError
from netkube.api.meta import Object
from netkube.api.resources import Resource
from netkube.api.validation import (
    cluster,
    config,
    endpoints,
    networkpolicy,
    pod,
    rbac,
    service,
    servicecidrs,
    workloads,
)
from netkube.api.validation.cluster import validate_namespace_finalize
from netkube.api.validation.metadata import validate_metadata, validate_metadata_update
from netkube.api.validation.pod import validate_binding

__all__ = [
    'validate_binding', 'validate_create', 'validate_namespace_finalize', 'validate_status_update', 'validate_update',
]  # fmt: skip


def _nothing(obj: Object) -> Iterator[FieldError]:
    yield from ()


def _nothing_changed(new: Object, old: Object) -> Iterator[FieldError]:
    yield from ()


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
    resources.ROLES: Checks(rbac.validate_role, rbac.validate_role_update),
    resources.CLUSTERROLES: Checks(rbac.validate_clusterrole, rbac.validate_clusterrole_update),
    resources.ROLEBINDINGS: Checks(rbac.validate_rolebinding, rbac.validate_rolebinding_update),
    resources.CLUSTERROLEBINDINGS: Checks(rbac.validate_clusterrolebinding, rbac.validate_clusterrolebinding_update),
}
_METADATA_ONLY = Checks()


def validate_create(resource: Resource, obj: Object) -> list[FieldError]:
    """The faults of a new object; [] when it may be stored."""
    checks = _CHECKS.get(resource, _METADATA_ONLY)
    return [*validate_metadata(resource, obj['metadata']), *checks.create(obj)]


def validate_update(resource: Resource, new: Object, old: Object) -> list[FieldError]:
    """The faults of an object that replaces another; both have a resourceVersion."""
    checks = _CHECKS.get(resource, _METADATA_ONLY)
    return [*validate_metadata_update(new['metadata'], old['metadata']), *checks.update(new, old)]


def validate_status_update(resource: Resource, new: Object, old: Object) -> list[FieldError]:
    """The faults of a new status."""
    checks = _CHECKS.get(resource, _METADATA_ONLY)
    return [*validate_metadata_update(new['metadata'], old['metadata']), *checks.status_update(new, old)]
