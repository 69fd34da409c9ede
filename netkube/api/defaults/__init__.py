"""What Kubernetes fills in where a manifest is silent: one row per kind.

pkg/apis/*/v1/defaults.go, and the conversions of pkg/apis/core/v1/conversion.go that fill fields in (a Secret's
stringData, a Pod's deprecated serviceAccount).
"""

from __future__ import annotations

from collections.abc import Callable

from netkube.api.defaults.core import (
    default_endpoints,
    default_endpointslice,
    default_namespace,
    default_node,
    default_secret,
)
from netkube.api.defaults.networkpolicy import default_networkpolicy
from netkube.api.defaults.pod import default_pod, default_pod_template
from netkube.api.defaults.rbac import default_binding, default_role
from netkube.api.defaults.service import default_service
from netkube.api.defaults.workloads import default_deployment, default_replicaset
from netkube.api.meta import Object
from netkube.api.resources import (
    CLUSTERROLEBINDINGS,
    CLUSTERROLES,
    DEPLOYMENTS,
    ENDPOINTS,
    ENDPOINTSLICES,
    NAMESPACES,
    NETWORKPOLICIES,
    NODES,
    PODS,
    REPLICASETS,
    ROLEBINDINGS,
    ROLES,
    SECRETS,
    SERVICES,
    Resource,
)

__all__ = ['apply_defaults', 'default_pod_template']

_DEFAULTS: dict[Resource, Callable[[Object], None]] = {
    NAMESPACES: default_namespace,
    NODES: default_node,
    PODS: default_pod,
    SERVICES: default_service,
    ENDPOINTS: default_endpoints,
    ENDPOINTSLICES: default_endpointslice,
    NETWORKPOLICIES: default_networkpolicy,
    SECRETS: default_secret,
    DEPLOYMENTS: default_deployment,
    REPLICASETS: default_replicaset,
    ROLES: default_role,
    CLUSTERROLES: default_role,
    ROLEBINDINGS: default_binding,
    CLUSTERROLEBINDINGS: default_binding,
}


def apply_defaults(resource: Resource, obj: Object) -> None:
    """Fill ``obj`` in, in place. The object has been decoded (``netkube.api.decode``): its types are right."""
    default = _DEFAULTS.get(resource)
    if default is not None:
        default(obj)
