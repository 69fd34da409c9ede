"""The roles and bindings that every cluster has from its first second.

plugin/pkg/auth/authorizer/rbac/bootstrappolicy. Those of kube-controller-manager's own controllers are left out: the
controllers here are part of the API server's process and need no rights.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from netkube.api.meta import Object, copy_object, timestamp
from netkube.api.resources import CLUSTERROLEBINDINGS, CLUSTERROLES, RBAC_GROUP, ROLES, Resource
from netkube.apiserver.escalation import missing_rules
from netkube.apiserver.storage import Storage
from netkube.apiserver.user import AUTHENTICATED, MASTERS, SERVICE_ACCOUNTS, UNAUTHENTICATED

AUTOUPDATE = 'rbac.authorization.kubernetes.io/autoupdate'
BOOTSTRAPPING = {'kubernetes.io/bootstrapping': 'rbac-defaults'}
AGGREGATE = 'rbac.authorization.k8s.io/aggregate-to-'

_READ = 'get list watch'
_WRITE = 'create delete deletecollection patch update'
_ALL = 'create delete deletecollection get list patch update watch'
_APPS = 'daemonsets deployments deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale'
_APPS_STATUS = 'controllerrevisions daemonsets/status deployments/status replicasets/status statefulsets/status'
_HEALTH = '/healthz /livez /readyz /version /version/'

# (groups, resources, verbs), 'core' is the group without a name; a fourth part names the objects.
Row = tuple[str, ...]
_EVENTS: Row = ('core events.k8s.io', 'events', 'create patch update')
_REVIEWS: tuple[Row, ...] = (
    ('authentication.k8s.io', 'tokenreviews', 'create'),
    ('authorization.k8s.io', 'subjectaccessreviews', 'create'),
)

_CERTIFICATES = 'certificates.k8s.io'
_SIGNERS = {  # the role's name -> whose requests it may approve
    'kube-apiserver-client-approver': 'kube-apiserver-client',
    'kube-apiserver-client-kubelet-approver': 'kube-apiserver-client-kubelet',
    'kubelet-serving-approver': 'kubelet-serving', 'legacy-unknown-approver': 'legacy-unknown',
}  # fmt: skip

CLUSTER_ROLES: dict[str, tuple[Row, ...]] = {
    'cluster-admin': (('*', '*', '*'), ('', '*', '*')),
    'system:aggregate-to-admin': (
        ('authorization.k8s.io', 'localsubjectaccessreviews', 'create'),
        (RBAC_GROUP, 'rolebindings roles', _ALL),
    ),
    'system:aggregate-to-edit': (
        ('core', 'pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy', _READ),
        ('core', 'serviceaccounts', 'impersonate'),
        ('core', 'pods pods/attach pods/exec pods/portforward pods/proxy', _WRITE),
        ('core', 'pods/eviction', 'create'),
        ('core', 'configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale '
                 'secrets serviceaccounts services services/proxy', _WRITE),
        ('core', 'serviceaccounts/token', 'create'),
        ('apps', f'{_APPS} deployments/rollback', _WRITE),
        ('autoscaling', 'horizontalpodautoscalers', _WRITE),
        ('batch', 'cronjobs jobs', _WRITE),
        ('policy', 'poddisruptionbudgets', _WRITE),
        ('networking.k8s.io', 'ingresses networkpolicies', _WRITE),
        ('coordination.k8s.io', 'leases', _ALL),
    ),
    'system:aggregate-to-view': (
        ('core', 'configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods '
                 'replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status', _READ),
        ('core', 'bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status '
                 'resourcequotas resourcequotas/status', _READ),
        ('core', 'namespaces', _READ),
        ('discovery.k8s.io', 'endpointslices', _READ),
        ('apps', f'{_APPS} {_APPS_STATUS}', _READ),
        ('autoscaling', 'horizontalpodautoscalers horizontalpodautoscalers/status', _READ),
        ('batch', 'cronjobs cronjobs/status jobs jobs/status', _READ),
        ('policy', 'poddisruptionbudgets poddisruptionbudgets/status', _READ),
        ('networking.k8s.io', 'ingresses ingresses/status networkpolicies', _READ),
    ),
    'system:auth-delegator': _REVIEWS,
    'system:basic-user': (
        ('authorization.k8s.io', 'selfsubjectaccessreviews selfsubjectrulesreviews', 'create'),
        ('authentication.k8s.io', 'selfsubjectreviews', 'create'),
    ),
    **{f'system:{_CERTIFICATES}:certificatesigningrequests:{kind}':
       ((_CERTIFICATES, f'certificatesigningrequests/{kind}', 'create'),) for kind in ('nodeclient', 'selfnodeclient')},
    **{f'system:{_CERTIFICATES}:{role}': ((_CERTIFICATES, 'signers', 'approve', f'kubernetes.io/{signer}'),)
       for role, signer in _SIGNERS.items()},
    'system:discovery': (('', f'/api /api/* /apis /apis/* /openapi /openapi/* {_HEALTH}', 'get'),),
    'system:public-info-viewer': (('', _HEALTH, 'get'),),
    'system:service-account-issuer-discovery': (('', '/.well-known/openid-configuration /openid/v1/jwks', 'get'),),
    'system:monitoring': (
        ('', '/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*', 'get'),
    ),
    'system:kube-aggregator': (('core', 'endpoints services', _READ),),
    'system:kube-dns': (('core', 'endpoints services', 'list watch'),),
    'system:kube-controller-manager': (
        _EVENTS,
        ('coordination.k8s.io', 'leases', 'create'),
        ('coordination.k8s.io', 'leases', 'get update', 'kube-controller-manager'),
        ('core', 'secrets serviceaccounts', 'create update'),
        ('core', 'secrets', 'delete'),
        ('core', 'configmaps namespaces secrets serviceaccounts', 'get'),
        *_REVIEWS,
        ('*', '*', 'list watch'),
        ('core', 'serviceaccounts/token', 'create'),
    ),
    'system:kube-scheduler': (
        _EVENTS,
        ('coordination.k8s.io', 'leases', 'create'),
        ('coordination.k8s.io', 'leases', 'get update', 'kube-scheduler'),
        ('core', 'nodes namespaces', _READ),
        ('core', 'pods', 'delete get list watch'),
        ('core', 'bindings pods/binding', 'create'),
        ('core', 'pods/status', 'patch update'),
        ('core', 'replicationcontrollers services persistentvolumeclaims persistentvolumes', _READ),
        ('apps', 'replicasets statefulsets', _READ),
        ('policy', 'poddisruptionbudgets', _READ),
        *_REVIEWS,
        ('storage.k8s.io', 'csinodes csidrivers csistoragecapacities', _READ),
    ),
    'system:kubelet-api-admin': (
        ('core', 'nodes', _READ),
        ('core', 'nodes', 'proxy'),
        ('core', 'nodes/log nodes/metrics nodes/proxy nodes/stats', '*'),
    ),
    'system:node': (
        *_REVIEWS,
        ('authorization.k8s.io', 'localsubjectaccessreviews', 'create'),
        ('core', 'services pods configmaps secrets', _READ),
        ('core', 'nodes', 'create get list watch patch update'),
        ('core', 'nodes/status pods/status', 'patch update'),
        ('core', 'events', 'create patch update'),
        ('core', 'pods', 'create delete'),
        ('core', 'pods/eviction serviceaccounts/token', 'create'),
        ('core', 'persistentvolumeclaims persistentvolumes endpoints', 'get'),
        ('core', 'persistentvolumeclaims/status', 'get patch update'),
        ('certificates.k8s.io', 'certificatesigningrequests', 'create get list watch'),
        ('coordination.k8s.io', 'leases', 'create delete get patch update'),
        ('storage.k8s.io', 'volumeattachments', 'get'),
        ('storage.k8s.io', 'csidrivers', _READ),
        ('storage.k8s.io', 'csinodes', 'create delete get patch update'),
        ('node.k8s.io', 'runtimeclasses', _READ),
    ),
    'system:node-bootstrapper': (
        ('certificates.k8s.io', 'certificatesigningrequests', 'create get list watch'),
    ),
    'system:node-problem-detector': (('core', 'nodes', 'get'), ('core', 'nodes/status', 'patch'), _EVENTS),
    'system:node-proxier': (
        ('core', 'endpoints services', 'list watch'),
        ('core', 'nodes', _READ),
        _EVENTS,
        ('discovery.k8s.io', 'endpointslices', 'list watch'),
    ),
    'system:persistent-volume-provisioner': (
        ('core', 'persistentvolumes', 'create delete get list watch'),
        ('core', 'persistentvolumeclaims', 'get list update watch'),
        ('storage.k8s.io', 'storageclasses', _READ),
        ('core', 'events', 'watch'),
        _EVENTS,
    ),
    'system:volume-scheduler': (
        ('core', 'persistentvolumes persistentvolumeclaims', 'get list patch update watch'),
        ('storage.k8s.io', 'storageclasses', _READ),
    ),
}  # fmt: skip

# The roles that are the sum of others, and to which role each is added itself.
AGGREGATED = {'admin': '', 'edit': 'admin', 'view': 'edit'}
ADDED_TO = {
    'system:aggregate-to-admin': 'admin', 'system:aggregate-to-edit': 'edit', 'system:aggregate-to-view': 'view',
}  # fmt: skip

_EVERYONE = (('Group', AUTHENTICATED), ('Group', UNAUTHENTICATED))
BINDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    'cluster-admin': (('Group', MASTERS),),
    'system:basic-user': (('Group', AUTHENTICATED),),
    'system:discovery': (('Group', AUTHENTICATED),),
    'system:public-info-viewer': _EVERYONE,
    'system:service-account-issuer-discovery': (('Group', SERVICE_ACCOUNTS),),
    'system:monitoring': (('Group', 'system:monitoring'),),
    'system:kube-controller-manager': (('User', 'system:kube-controller-manager'),),
    'system:kube-scheduler': (('User', 'system:kube-scheduler'),),
    'system:volume-scheduler': (('User', 'system:kube-scheduler'),),
    'system:node': (),
    'system:node-proxier': (('User', 'system:kube-proxy'),),
}
NAMESPACED_ROLES: dict[tuple[str, str], tuple[Row, ...]] = {
    ('kube-system', 'extension-apiserver-authentication-reader'): (
        ('core', 'configmaps', _READ, 'extension-apiserver-authentication'),
    ),
}


def ensure_default_roles(storage: Storage) -> None:
    """Make what is missing, and give back to a role or binding what was taken from it.

    Unless its annotation ``rbac.authorization.kubernetes.io/autoupdate`` is "false". What was added stays.
    """
    for resource, obj in default_objects():
        metadata = obj['metadata']
        entry = storage.find(resource, metadata.get('namespace'), metadata['name'])
        if entry is None:
            metadata |= {'uid': str(uuid4()), 'creationTimestamp': timestamp(storage.now())}
            storage.create(resource, obj)
            continue
        stored = storage.object(entry)
        if (stored['metadata'].get('annotations') or {}).get(AUTOUPDATE) != 'false':
            storage.replace(resource, restored(stored, obj), entry)


def default_objects() -> list[tuple[Resource, Object]]:
    roles = [(CLUSTERROLES, _object(CLUSTERROLES, name, ADDED_TO.get(name, ''), rules=_rules(rows)))
             for name, rows in CLUSTER_ROLES.items()]  # fmt: skip
    sums = [(CLUSTERROLES, _object(CLUSTERROLES, name, to, rules=None, aggregationRule=_aggregation(name)))
            for name, to in AGGREGATED.items()]  # fmt: skip
    bindings = [(CLUSTERROLEBINDINGS, _binding(name, subjects)) for name, subjects in BINDINGS.items()]
    local = [(ROLES, _object(ROLES, name, namespace=namespace, rules=_rules(rows)))
             for (namespace, name), rows in NAMESPACED_ROLES.items()]  # fmt: skip
    return [*roles, *sums, *bindings, *local]


def _object(resource: Resource, name: str, added_to: str = '', namespace: str = '', **fields: Any) -> Object:
    labels = BOOTSTRAPPING | ({AGGREGATE + added_to: 'true'} if added_to else {})
    metadata: Object = {'name': name, 'labels': labels, 'annotations': {AUTOUPDATE: 'true'}}
    if namespace:
        metadata['namespace'] = namespace
    return {'apiVersion': resource.api_version, 'kind': resource.kind, 'metadata': metadata, **fields}


def _binding(name: str, subjects: tuple[tuple[str, str], ...]) -> Object:
    reference = {'apiGroup': RBAC_GROUP, 'kind': 'ClusterRole', 'name': name}
    bound = [{'kind': kind, 'apiGroup': RBAC_GROUP, 'name': subject} for kind, subject in subjects]
    binding = _object(CLUSTERROLEBINDINGS, name, roleRef=reference)
    return binding | ({'subjects': bound} if bound else {})


def _aggregation(name: str) -> Object:
    return {'clusterRoleSelectors': [{'matchLabels': {AGGREGATE + name: 'true'}}]}


def _rules(rows: tuple[Row, ...]) -> list[Object]:
    return [_rule(*row) for row in rows]


def _rule(groups: str, resources: str, verbs: str, names: str = '') -> Object:
    rule: Object = {'verbs': verbs.split()}
    if not groups:
        return rule | {'nonResourceURLs': resources.split()}
    rule['apiGroups'] = ['' if group == 'core' else group for group in groups.split()]
    rule['resources'] = resources.split()
    return rule | ({'resourceNames': names.split()} if names else {})


def restored(stored: Object, wanted: Object) -> Object:
    """``stored`` with what it lacks of ``wanted``; itself when nothing is."""
    result = copy_object(stored)
    metadata = result['metadata']
    for field in ('labels', 'annotations'):
        metadata[field] = {**wanted['metadata'][field], **(metadata.get(field) or {})}
    if 'roleRef' in wanted:
        known = result.get('subjects') or []
        lacking = [subject for subject in wanted.get('subjects') or () if subject not in known]
        if lacking:
            result['subjects'] = [*known, *lacking]
        return result
    if 'aggregationRule' in wanted:
        result['aggregationRule'] = wanted['aggregationRule']
        return result
    lacking = list(missing_rules(result.get('rules') or [], wanted['rules'] or []))
    if lacking:
        result['rules'] = [*(result.get('rules') or []), *lacking]
    return result
