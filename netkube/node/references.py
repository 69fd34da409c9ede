"""Which ConfigMaps, Secrets and ServiceAccounts a Pod is made from."""

from __future__ import annotations

from collections.abc import Iterator

from netkube.api.meta import Object
from netkube.node.podspec import all_containers
from netkube.node.tokens import account_of

Reference = tuple[str, str, str]  # (resource's plural, namespace, name)


def references_of(pod: Object) -> set[Reference]:
    namespace = pod['metadata'].get('namespace', '')
    found = {*_of_volumes(pod), *_of_variables(pod)}
    return {(plural, namespace, name) for plural, name in found}


def _of_volumes(pod: Object) -> Iterator[tuple[str, str]]:
    for volume in pod['spec'].get('volumes') or ():
        for source in (volume, *((volume.get('projected') or {}).get('sources') or ())):
            if 'configMap' in source:
                yield 'configmaps', source['configMap'].get('name', '')
            if 'serviceAccountToken' in source:
                yield 'serviceaccounts', account_of(pod)
            if 'secret' in source:
                yield 'secrets', source['secret'].get('secretName') or source['secret'].get('name', '')


def _of_variables(pod: Object) -> Iterator[tuple[str, str]]:
    for container in all_containers(pod):
        sources = [*(container.get('envFrom') or ())]
        sources += [variable.get('valueFrom') or {} for variable in container.get('env') or ()]
        for source in sources:
            for field, plural in FIELDS.items():
                if field in source:
                    yield plural, source[field].get('name', '')


FIELDS = {
    'configMapRef': 'configmaps',
    'configMapKeyRef': 'configmaps',
    'secretRef': 'secrets',
    'secretKeyRef': 'secrets',
}
