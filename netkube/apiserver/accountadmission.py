"""The admission plugin ServiceAccount: which account a Pod has, and how the account's token gets into it.

plugin/pkg/admission/serviceaccount.
"""

from __future__ import annotations

import random

from netkube.api.errors import forbidden
from netkube.api.meta import Object, copy_object
from netkube.api.resources import PODS, SERVICEACCOUNTS
from netkube.apiserver.serviceaccounts import PROJECTED_SECONDS
from netkube.apiserver.storage import Storage

VOLUME_PREFIX = 'kube-api-access-'
MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount'
SUFFIX_LETTERS = 'bcdfghjklmnpqrstvwxz2456789'  # k8s.io/apiserver storage/names
SOURCES: list[Object] = [
    {'serviceAccountToken': {'expirationSeconds': PROJECTED_SECONDS, 'path': 'token'}},
    {'configMap': {'name': 'kube-root-ca.crt', 'items': [{'key': 'ca.crt', 'path': 'ca.crt'}]}},
    {'downwardAPI': {'items': [
        {'path': 'namespace', 'fieldRef': {'apiVersion': 'v1', 'fieldPath': 'metadata.namespace'}},
    ]}},
]  # fmt: skip


def set_service_account(storage: Storage, pod: Object) -> None:
    """The default one, unless the Pod names another, which must exist; its token and image pull secrets.

    The default account of a new namespace is made by a controller and not waited for: the Pod's volume is.
    """
    spec, namespace = pod['spec'], pod['metadata']['namespace']
    name = spec.get('serviceAccountName') or spec.get('serviceAccount') or 'default'
    spec['serviceAccountName'] = spec['serviceAccount'] = name
    account = storage.find_object(SERVICEACCOUNTS, namespace, name)
    if account is None and name != 'default':
        why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
        raise forbidden(PODS, pod['metadata'].get('name', ''), why)
    if wants_token(pod, account or {}):
        mount_token(spec)
    secrets = (account or {}).get('imagePullSecrets')
    if secrets and not spec.get('imagePullSecrets'):
        spec['imagePullSecrets'] = copy_object(secrets)


def wants_token(pod: Object, account: Object) -> bool:
    """The Pod's own word counts before its account's; without either it does."""
    for owner in (pod['spec'], account):
        wanted = owner.get('automountServiceAccountToken')
        if wanted is not None:
            return bool(wanted)
    return True


def mount_token(spec: Object) -> None:
    """In every container that has nothing else at that path."""
    volumes = spec.get('volumes') or []
    existing = next((one.get('name', '') for one in volumes if one.get('name', '').startswith(VOLUME_PREFIX)), '')
    name = existing or VOLUME_PREFIX + ''.join(random.choices(SUFFIX_LETTERS, k=5))
    mounted = False
    for container in (*(spec.get('initContainers') or ()), *(spec.get('containers') or ())):
        mounts = container.get('volumeMounts') or []
        if all(mount.get('mountPath') != MOUNT_PATH for mount in mounts):
            container['volumeMounts'] = [*mounts, {'name': name, 'readOnly': True, 'mountPath': MOUNT_PATH}]
            mounted = True
    if mounted and not existing:
        projected = {'defaultMode': 0o644, 'sources': copy_object({'of': SOURCES})['of']}
        spec['volumes'] = [*volumes, {'name': name, 'projected': projected}]
