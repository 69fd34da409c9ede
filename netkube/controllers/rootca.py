"""The ConfigMap ``kube-root-ca.crt`` of each namespace. Source: pkg/controller/certificates/rootcacertpublisher."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from netkube.api.errors import ApiError
from netkube.api.meta import Key, Object, is_deleting, utc_now
from netkube.api.resources import CONFIGMAPS, NAMESPACES
from netkube.client.controller import Controller
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.controllers.namespace import namespace_is_terminating

NAME = 'kube-root-ca.crt'
DESCRIPTION = (
    'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the '
    'internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes '
    'clusters.'
)


class RootCAController:
    component = 'root-ca-cert-publisher'

    def __init__(
        self, informers: Informers, recorder: EventRecorder, now: Callable[[], datetime] = utc_now, *, ca: str
    ) -> None:
        """``ca``: the cluster's CA certificate, PEM."""
        self._client = informers.client
        self._data = {'ca.crt': ca}
        self._namespaces = informers[NAMESPACES]
        self._config_maps = informers[CONFIGMAPS]
        self._controller = Controller('rootca', informers, self._sync)
        self._controller.watch(NAMESPACES)
        self._controller.watch(CONFIGMAPS, _namespace_of_root_ca)

    async def run(self) -> None:
        await self._controller.run()

    async def _sync(self, key: Key) -> None:
        namespace = self._namespaces.get(key)
        if namespace is None or is_deleting(namespace):
            return
        current = self._config_maps.get((key[1], NAME))
        try:
            await self._write(key[1], current)
        except ApiError as error:
            if error.reason not in ('AlreadyExists', 'NotFound') and not namespace_is_terminating(error):
                raise

    async def _write(self, namespace: str, current: Object | None) -> None:
        annotations = {'kubernetes.io/description': DESCRIPTION}
        if current is None:
            metadata = {'namespace': namespace, 'name': NAME, 'annotations': annotations}
            config_map = {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': metadata, 'data': self._data}
            await self._client.create(CONFIGMAPS, config_map)
            return
        before = current['metadata'].get('annotations') or {}
        if current.get('data') != self._data or not annotations.items() <= before.items():
            metadata = current['metadata'] | {'annotations': {**before, **annotations}}
            await self._client.update(CONFIGMAPS, current | {'metadata': metadata, 'data': self._data})


def _namespace_of_root_ca(config_map: Object) -> Iterable[Key]:
    metadata = config_map['metadata']
    return (('', metadata['namespace']),) if metadata['name'] == NAME else ()
