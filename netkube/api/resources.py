"""The table of served resources: what a path segment means, and how each kind is named.

One row per resource; everything that depends on a kind's name (discovery, paths, kubectl's short names,
the informers) is derived from this table. Kubernetes: API Concepts, "Standard API terminology".
"""

from __future__ import annotations

from typing import Any

import msgspec

VERBS = ('create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch')


class Resource(msgspec.Struct, frozen=True):
    """One served resource, for example ``apps/v1`` ``deployments``."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = VERBS

    @property
    def singular(self) -> str:
        return self.kind.lower()

    @property
    def api_version(self) -> str:
        """``v1`` for the core group, ``group/version`` for the others."""
        return f'{self.group}/{self.version}' if self.group else self.version

    @property
    def group_resource(self) -> str:
        """The name error messages use: ``pods``, ``deployments.apps``."""
        return f'{self.plural}.{self.group}' if self.group else self.plural

    @property
    def list_kind(self) -> str:
        return f'{self.kind}List'

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str = '') -> str:
        """The URL path of a collection (no ``name``) or of an object."""
        parts = [f'/apis/{self.group}/{self.version}' if self.group else f'/api/{self.version}']
        if namespace and self.namespaced:
            parts.append(f'namespaces/{namespace}')
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return '/'.join(parts)

    def __str__(self) -> str:
        return self.group_resource


class CustomResource(Resource, frozen=True):
    """One version of a kind that a CustomResourceDefinition defines.

    ``definition`` (``netkube.api.customresources``) answers what is asked about a kind; two with different definitions
    are different.
    """

    definition: Any = None

    @property
    def singular(self) -> str:
        singular: str = self.definition.names.get('singular') or self.kind.lower()
        return singular

    @property
    def list_kind(self) -> str:
        kind: str = self.definition.names.get('listKind') or f'{self.kind}List'
        return kind

    @property
    def plain(self) -> Resource:
        """The same without its definition: what stays when the definition changes."""
        return Resource(self.group, self.version, self.plural, self.kind, self.namespaced)


NAMESPACES = Resource('', 'v1', 'namespaces', 'Namespace', False, ('ns',), (), ('status', 'finalize'))
NODES = Resource('', 'v1', 'nodes', 'Node', False, ('no',), (), ('status',))
PODS = Resource('', 'v1', 'pods', 'Pod', True, ('po',), ('all',),
                ('status', 'binding', 'log', 'exec', 'attach', 'portforward', 'proxy', 'eviction'))
SERVICES = Resource('', 'v1', 'services', 'Service', True, ('svc',), ('all',), ('status', 'proxy'))
ENDPOINTS = Resource('', 'v1', 'endpoints', 'Endpoints', True, ('ep',))
CONFIGMAPS = Resource('', 'v1', 'configmaps', 'ConfigMap', True, ('cm',))
SECRETS = Resource('', 'v1', 'secrets', 'Secret', True)
SERVICEACCOUNTS = Resource('', 'v1', 'serviceaccounts', 'ServiceAccount', True, ('sa',), (), ('token',))
EVENTS = Resource('', 'v1', 'events', 'Event', True, ('ev',))
DEPLOYMENTS = Resource('apps', 'v1', 'deployments', 'Deployment', True, ('deploy',), ('all',), ('status', 'scale'))
REPLICASETS = Resource('apps', 'v1', 'replicasets', 'ReplicaSet', True, ('rs',), ('all',), ('status', 'scale'))
ENDPOINTSLICES = Resource('discovery.k8s.io', 'v1', 'endpointslices', 'EndpointSlice', True)
SERVICECIDRS = Resource('networking.k8s.io', 'v1', 'servicecidrs', 'ServiceCIDR', False, subresources=('status',))
IPADDRESSES = Resource('networking.k8s.io', 'v1', 'ipaddresses', 'IPAddress', False, ('ip',))
NETWORKPOLICIES = Resource('networking.k8s.io', 'v1', 'networkpolicies', 'NetworkPolicy', True, ('netpol',))
LEASES = Resource('coordination.k8s.io', 'v1', 'leases', 'Lease', True)
PRIORITYCLASSES = Resource('scheduling.k8s.io', 'v1', 'priorityclasses', 'PriorityClass', False, ('pc',))

_STATUS, _SCALED = ('status',), ('status', 'scale')
LIMITRANGES = Resource('', 'v1', 'limitranges', 'LimitRange', True, ('limits',))
PERSISTENTVOLUMES = Resource('', 'v1', 'persistentvolumes', 'PersistentVolume', False, ('pv',), (), _STATUS)
PERSISTENTVOLUMECLAIMS = Resource(
    '', 'v1', 'persistentvolumeclaims', 'PersistentVolumeClaim', True, ('pvc',), (), _STATUS
)
PODTEMPLATES = Resource('', 'v1', 'podtemplates', 'PodTemplate', True)
REPLICATIONCONTROLLERS = Resource(
    '', 'v1', 'replicationcontrollers', 'ReplicationController', True, ('rc',), ('all',), _SCALED
)
RESOURCEQUOTAS = Resource('', 'v1', 'resourcequotas', 'ResourceQuota', True, ('quota',), (), _STATUS)
CONTROLLERREVISIONS = Resource('apps', 'v1', 'controllerrevisions', 'ControllerRevision', True)
DAEMONSETS = Resource('apps', 'v1', 'daemonsets', 'DaemonSet', True, ('ds',), ('all',), _STATUS)
STATEFULSETS = Resource('apps', 'v1', 'statefulsets', 'StatefulSet', True, ('sts',), ('all',), _SCALED)
JOBS = Resource('batch', 'v1', 'jobs', 'Job', True, (), ('all',), _STATUS)
CRONJOBS = Resource('batch', 'v1', 'cronjobs', 'CronJob', True, ('cj',), ('all',), _STATUS)
HORIZONTALPODAUTOSCALERS = Resource(
    'autoscaling', 'v2', 'horizontalpodautoscalers', 'HorizontalPodAutoscaler', True, ('hpa',), ('all',), _STATUS
)
HORIZONTALPODAUTOSCALERS_V1 = Resource(
    'autoscaling', 'v1', 'horizontalpodautoscalers', 'HorizontalPodAutoscaler', True, ('hpa',), ('all',), _STATUS
)
PODDISRUPTIONBUDGETS = Resource(
    'policy', 'v1', 'poddisruptionbudgets', 'PodDisruptionBudget', True, ('pdb',), (), _STATUS
)
INGRESSES = Resource('networking.k8s.io', 'v1', 'ingresses', 'Ingress', True, ('ing',), (), _STATUS)
INGRESSCLASSES = Resource('networking.k8s.io', 'v1', 'ingressclasses', 'IngressClass', False)
STORAGECLASSES = Resource('storage.k8s.io', 'v1', 'storageclasses', 'StorageClass', False, ('sc',))
VOLUMEATTACHMENTS = Resource('storage.k8s.io', 'v1', 'volumeattachments', 'VolumeAttachment', False, (), (), _STATUS)
CSIDRIVERS = Resource('storage.k8s.io', 'v1', 'csidrivers', 'CSIDriver', False)
CSINODES = Resource('storage.k8s.io', 'v1', 'csinodes', 'CSINode', False)
CSISTORAGECAPACITIES = Resource('storage.k8s.io', 'v1', 'csistoragecapacities', 'CSIStorageCapacity', True)
VOLUMEATTRIBUTESCLASSES = Resource(
    'storage.k8s.io', 'v1', 'volumeattributesclasses', 'VolumeAttributesClass', False, ('vac',)
)
RUNTIMECLASSES = Resource('node.k8s.io', 'v1', 'runtimeclasses', 'RuntimeClass', False)
CERTIFICATESIGNINGREQUESTS = Resource(
    'certificates.k8s.io', 'v1', 'certificatesigningrequests', 'CertificateSigningRequest', False, ('csr',), (),
    ('status', 'approval'),
)  # fmt: skip
_ADMISSION = 'admissionregistration.k8s.io'
MUTATINGWEBHOOKCONFIGURATIONS = Resource(
    _ADMISSION, 'v1', 'mutatingwebhookconfigurations', 'MutatingWebhookConfiguration', False, (), ('api-extensions',)
)
VALIDATINGWEBHOOKCONFIGURATIONS = Resource(
    _ADMISSION, 'v1', 'validatingwebhookconfigurations', 'ValidatingWebhookConfiguration', False, (),
    ('api-extensions',),
)  # fmt: skip
VALIDATINGADMISSIONPOLICIES = Resource(
    _ADMISSION, 'v1', 'validatingadmissionpolicies', 'ValidatingAdmissionPolicy', False, (), ('api-extensions',),
    _STATUS,
)  # fmt: skip
VALIDATINGADMISSIONPOLICYBINDINGS = Resource(
    _ADMISSION, 'v1', 'validatingadmissionpolicybindings', 'ValidatingAdmissionPolicyBinding', False, (),
    ('api-extensions',),
)  # fmt: skip
MUTATINGADMISSIONPOLICIES = Resource(
    _ADMISSION, 'v1', 'mutatingadmissionpolicies', 'MutatingAdmissionPolicy', False, (), ('api-extensions',)
)
MUTATINGADMISSIONPOLICYBINDINGS = Resource(
    _ADMISSION, 'v1', 'mutatingadmissionpolicybindings', 'MutatingAdmissionPolicyBinding', False, (),
    ('api-extensions',),
)  # fmt: skip
APISERVICES = Resource(
    'apiregistration.k8s.io', 'v1', 'apiservices', 'APIService', False, (), ('api-extensions',), _STATUS
)
CUSTOMRESOURCEDEFINITIONS = Resource(
    'apiextensions.k8s.io', 'v1', 'customresourcedefinitions', 'CustomResourceDefinition', False, ('crd', 'crds'),
    ('api-extensions',), _STATUS,
)  # fmt: skip
_FLOWCONTROL = 'flowcontrol.apiserver.k8s.io'
FLOWSCHEMAS = Resource(_FLOWCONTROL, 'v1', 'flowschemas', 'FlowSchema', False, (), (), _STATUS)
PRIORITYLEVELCONFIGURATIONS = Resource(
    _FLOWCONTROL, 'v1', 'prioritylevelconfigurations', 'PriorityLevelConfiguration', False, (), (), _STATUS
)
EVENTS_V1 = Resource('events.k8s.io', 'v1', 'events', 'Event', True, ('ev',))
DEVICECLASSES = Resource('resource.k8s.io', 'v1', 'deviceclasses', 'DeviceClass', False)
RESOURCECLAIMS = Resource('resource.k8s.io', 'v1', 'resourceclaims', 'ResourceClaim', True, (), (), _STATUS)
RESOURCECLAIMTEMPLATES = Resource('resource.k8s.io', 'v1', 'resourceclaimtemplates', 'ResourceClaimTemplate', True)
RESOURCESLICES = Resource('resource.k8s.io', 'v1', 'resourceslices', 'ResourceSlice', False)

RBAC_GROUP = 'rbac.authorization.k8s.io'
ROLES = Resource(RBAC_GROUP, 'v1', 'roles', 'Role', True)
ROLEBINDINGS = Resource(RBAC_GROUP, 'v1', 'rolebindings', 'RoleBinding', True)
CLUSTERROLES = Resource(RBAC_GROUP, 'v1', 'clusterroles', 'ClusterRole', False)
CLUSTERROLEBINDINGS = Resource(RBAC_GROUP, 'v1', 'clusterrolebindings', 'ClusterRoleBinding', False)
RBAC_KINDS = (ROLES, ROLEBINDINGS, CLUSTERROLES, CLUSTERROLEBINDINGS)

_CREATE = ('create',)
TOKENREVIEWS = Resource('authentication.k8s.io', 'v1', 'tokenreviews', 'TokenReview', False, verbs=_CREATE)
SELFSUBJECTREVIEWS = Resource(
    'authentication.k8s.io', 'v1', 'selfsubjectreviews', 'SelfSubjectReview', False, verbs=_CREATE)
SUBJECTACCESSREVIEWS = Resource(
    'authorization.k8s.io', 'v1', 'subjectaccessreviews', 'SubjectAccessReview', False, verbs=_CREATE)
LOCALSUBJECTACCESSREVIEWS = Resource(
    'authorization.k8s.io', 'v1', 'localsubjectaccessreviews', 'LocalSubjectAccessReview', True, verbs=_CREATE)
SELFSUBJECTACCESSREVIEWS = Resource(
    'authorization.k8s.io', 'v1', 'selfsubjectaccessreviews', 'SelfSubjectAccessReview', False, verbs=_CREATE)
SELFSUBJECTRULESREVIEWS = Resource(
    'authorization.k8s.io', 'v1', 'selfsubjectrulesreviews', 'SelfSubjectRulesReview', False, verbs=_CREATE)

# What a cluster cannot be without: these kinds' types are read at start (``netkube.api.schema``).
FIRST: tuple[Resource, ...] = (
    NAMESPACES, NODES, PODS, SERVICES, ENDPOINTS, CONFIGMAPS, SECRETS, SERVICEACCOUNTS, EVENTS,
    DEPLOYMENTS, REPLICASETS, ENDPOINTSLICES, NETWORKPOLICIES, LEASES, SERVICECIDRS, IPADDRESSES, PRIORITYCLASSES,
    ROLES, ROLEBINDINGS, CLUSTERROLES, CLUSTERROLEBINDINGS,
)  # fmt: skip

ALL: tuple[Resource, ...] = (
    *FIRST, LIMITRANGES, PERSISTENTVOLUMES, PERSISTENTVOLUMECLAIMS, PODTEMPLATES, REPLICATIONCONTROLLERS,
    RESOURCEQUOTAS, CONTROLLERREVISIONS, DAEMONSETS, STATEFULSETS, JOBS, CRONJOBS, HORIZONTALPODAUTOSCALERS,
    HORIZONTALPODAUTOSCALERS_V1, PODDISRUPTIONBUDGETS, INGRESSES, INGRESSCLASSES, STORAGECLASSES, VOLUMEATTACHMENTS,
    CSIDRIVERS, CSINODES, CSISTORAGECAPACITIES, VOLUMEATTRIBUTESCLASSES, RUNTIMECLASSES,
    CERTIFICATESIGNINGREQUESTS, MUTATINGWEBHOOKCONFIGURATIONS, VALIDATINGWEBHOOKCONFIGURATIONS,
    VALIDATINGADMISSIONPOLICIES, VALIDATINGADMISSIONPOLICYBINDINGS, MUTATINGADMISSIONPOLICIES,
    MUTATINGADMISSIONPOLICYBINDINGS, APISERVICES, CUSTOMRESOURCEDEFINITIONS, FLOWSCHEMAS, PRIORITYLEVELCONFIGURATIONS,
    EVENTS_V1, DEVICECLASSES, RESOURCECLAIMS, RESOURCECLAIMTEMPLATES, RESOURCESLICES,
)  # fmt: skip
# Questions: created, answered and kept nowhere.
REVIEWS: tuple[Resource, ...] = (
    TOKENREVIEWS, SELFSUBJECTREVIEWS, SUBJECTACCESSREVIEWS, LOCALSUBJECTACCESSREVIEWS, SELFSUBJECTACCESSREVIEWS,
    SELFSUBJECTRULESREVIEWS,
)  # fmt: skip
SERVED: tuple[Resource, ...] = (*ALL, *REVIEWS)

# What the API server keeps and nothing acts upon yet; whoever creates one is told (a Warning header).
_STORED_ONLY = {
    REPLICATIONCONTROLLERS: 'run', DAEMONSETS: 'run', STATEFULSETS: 'run', JOBS: 'run', CRONJOBS: 'run',
    HORIZONTALPODAUTOSCALERS: 'scale by', INGRESSES: 'route by',
    PERSISTENTVOLUMES: 'mount', PERSISTENTVOLUMECLAIMS: 'bind', STORAGECLASSES: 'provision by',
    VOLUMEATTACHMENTS: 'attach', CSIDRIVERS: 'call', CSINODES: 'read', CSISTORAGECAPACITIES: 'read',
    VOLUMEATTRIBUTESCLASSES: 'read', RESOURCEQUOTAS: 'enforce', LIMITRANGES: 'enforce', RUNTIMECLASSES: 'run Pods by',
    INGRESSCLASSES: 'route by', CERTIFICATESIGNINGREQUESTS: 'sign',
    MUTATINGWEBHOOKCONFIGURATIONS: 'call the webhooks of',
    VALIDATINGWEBHOOKCONFIGURATIONS: 'call the webhooks of', VALIDATINGADMISSIONPOLICIES: 'enforce',
    VALIDATINGADMISSIONPOLICYBINDINGS: 'enforce', MUTATINGADMISSIONPOLICIES: 'enforce',
    MUTATINGADMISSIONPOLICYBINDINGS: 'enforce', APISERVICES: 'forward to', FLOWSCHEMAS: 'queue by',
    PRIORITYLEVELCONFIGURATIONS: 'queue by', DEVICECLASSES: 'allocate by', RESOURCECLAIMS: 'allocate',
    RESOURCECLAIMTEMPLATES: 'allocate', RESOURCESLICES: 'allocate from',
}  # fmt: skip
# Two API versions of one storage: the other version of a kind -> what is stored.
STORED_AS = {EVENTS_V1: EVENTS, HORIZONTALPODAUTOSCALERS_V1: HORIZONTALPODAUTOSCALERS}
STORED: tuple[Resource, ...] = tuple(resource for resource in ALL if resource not in STORED_AS)


def stored_only(resource: Resource) -> str:
    """What to tell whoever creates one of a kind without behaviour; '' for the others."""
    resource = STORED_AS.get(resource, resource)
    verb = _STORED_ONLY.get(resource)
    plural = resource.kind + ('es' if resource.kind.endswith('s') else 's')
    plural = plural.removesuffix('ys') + 'ies' if plural.endswith('ys') else plural
    return f'netkube stores {plural} but does not {verb} them yet' if verb else ''


BY_PATH: dict[tuple[str, str, str], Resource] = {(r.group, r.version, r.plural): r for r in SERVED}
BY_KIND: dict[tuple[str, str], Resource] = {(r.api_version, r.kind): r for r in SERVED}


def find_by_name(name: str) -> Resource | None:
    """The resource a user means by ``po``, ``pod``, ``pods``, ``Pod`` or ``deployments.apps``; None if unknown."""
    wanted = name.lower()
    for resource in ALL:
        if wanted in (resource.plural, resource.singular, resource.group_resource, *resource.short_names):
            return resource
        if resource.group and wanted in (f'{resource.singular}.{resource.group}',
                                         f'{resource.plural}.{resource.version}.{resource.group}'):
            return resource
    return None
