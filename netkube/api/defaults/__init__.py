"""What Kubernetes fills in where a manifest is silent: one row per kind.

pkg/apis/*/v1/defaults.go, and the conversions of pkg/apis/core/v1/conversion.go that fill fields in (a Secret's
stringData, a Pod's deprecated serviceAccount).
"""

from __future__ import annotations

from collections.abc import Callable

from netkube.api import resources
from netkube.api.customresources.defaults import default_crd
from netkube.api.defaults import autoscaling, batch, policy, storage, workloads
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
from netkube.api.meta import Object
from netkube.api.resources import CustomResource, Resource

__all__ = ['apply_defaults', 'default_pod_template']

_DEFAULTS: dict[Resource, Callable[[Object], None]] = {
    resources.NAMESPACES: default_namespace,
    resources.NODES: default_node,
    resources.PODS: default_pod,
    resources.SERVICES: default_service,
    resources.ENDPOINTS: default_endpoints,
    resources.ENDPOINTSLICES: default_endpointslice,
    resources.NETWORKPOLICIES: default_networkpolicy,
    resources.SECRETS: default_secret,
    resources.DEPLOYMENTS: workloads.default_deployment,
    resources.REPLICASETS: workloads.default_replicaset,
    resources.STATEFULSETS: workloads.default_statefulset,
    resources.DAEMONSETS: workloads.default_daemonset,
    resources.REPLICATIONCONTROLLERS: workloads.default_replicationcontroller,
    resources.PODTEMPLATES: workloads.default_podtemplate,
    resources.JOBS: batch.default_job,
    resources.CRONJOBS: batch.default_cronjob,
    resources.HORIZONTALPODAUTOSCALERS: autoscaling.default_autoscaler,
    resources.PERSISTENTVOLUMES: storage.default_persistentvolume,
    resources.PERSISTENTVOLUMECLAIMS: storage.default_persistentvolumeclaim,
    resources.STORAGECLASSES: storage.default_storageclass,
    resources.CSIDRIVERS: storage.default_csidriver,
    resources.PRIORITYCLASSES: policy.default_priorityclass,
    resources.INGRESSES: policy.default_ingress,
    resources.INGRESSCLASSES: policy.default_ingressclass,
    resources.LIMITRANGES: policy.default_limitrange,
    resources.MUTATINGWEBHOOKCONFIGURATIONS: policy.default_webhooks,
    resources.VALIDATINGWEBHOOKCONFIGURATIONS: policy.default_webhooks,
    resources.VALIDATINGADMISSIONPOLICIES: policy.default_admission_policy,
    resources.MUTATINGADMISSIONPOLICIES: policy.default_admission_policy,
    resources.VALIDATINGADMISSIONPOLICYBINDINGS: policy.default_policy_binding,
    resources.MUTATINGADMISSIONPOLICYBINDINGS: policy.default_policy_binding,
    resources.CERTIFICATESIGNINGREQUESTS: policy.default_csr,
    resources.APISERVICES: policy.default_apiservice,
    resources.CUSTOMRESOURCEDEFINITIONS: default_crd,
    resources.ROLES: default_role,
    resources.CLUSTERROLES: default_role,
    resources.ROLEBINDINGS: default_binding,
    resources.CLUSTERROLEBINDINGS: default_binding,
}


def apply_defaults(resource: Resource, obj: Object) -> None:
    """Fill ``obj`` in, in place. The object has been decoded (``netkube.api.decode``): its types are right."""
    if isinstance(resource, CustomResource):
        resource.definition.default(obj)
        return
    default = _DEFAULTS.get(resource)
    if default is not None:
        default(obj)
