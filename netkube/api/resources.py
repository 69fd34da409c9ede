"""The table of served resources: what a path segment means, and how each kind is named.

One row per resource; everything that depends on a kind's name (discovery, paths, kubectl's short names,
the informers) is derived from this table. Kubernetes: API Concepts, "Standard API terminology".
"""

from __future__ import annotations

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

ALL: tuple[Resource, ...] = (
    NAMESPACES, NODES, PODS, SERVICES, ENDPOINTS, CONFIGMAPS, SECRETS, SERVICEACCOUNTS, EVENTS,
    DEPLOYMENTS, REPLICASETS, ENDPOINTSLICES, NETWORKPOLICIES, LEASES, SERVICECIDRS, IPADDRESSES,
    ROLES, ROLEBINDINGS, CLUSTERROLES, CLUSTERROLEBINDINGS,
)  # fmt: skip
# Questions: created, answered and kept nowhere.
REVIEWS: tuple[Resource, ...] = (
    TOKENREVIEWS, SELFSUBJECTREVIEWS, SUBJECTACCESSREVIEWS, LOCALSUBJECTACCESSREVIEWS, SELFSUBJECTACCESSREVIEWS,
    SELFSUBJECTRULESREVIEWS,
)  # fmt: skip
SERVED: tuple[Resource, ...] = (*ALL, *REVIEWS)

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
