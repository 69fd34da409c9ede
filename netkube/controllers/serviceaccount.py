"""The ServiceAccount ``default`` of each namespace. Source: pkg/controller/serviceaccount."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from netkube.api.errors import ApiError
from netkube.api.meta import Key, Object, is_deleting, utc_now
from netkube.api.resources import NAMESPACES, SERVICEACCOUNTS
from netkube.client.controller import Controller
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers
from netkube.controllers.namespace import namespace_is_terminating

DEFAULT = 'default'


class ServiceAccountController:
    component = 'service-account-controller'

    def __init__(self, informers: Informers, recorder: EventRecorder, now: Callable[[], datetime] = utc_now) -> None:
        self._client = informers.client
        self._namespaces = informers[NAMESPACES]
        self._accounts = informers[SERVICEACCOUNTS]
        self._controller = Controller('serviceaccount', informers, self._sync)
        self._controller.watch(NAMESPACES)
        self._controller.watch(SERVICEACCOUNTS, _namespace_of_default)

    async def run(self) -> None:
        await self._controller.run()

    async def _sync(self, key: Key) -> None:
        namespace = self._namespaces.get(key)
        if namespace is None or is_deleting(namespace) or self._accounts.get((key[1], DEFAULT)) is not None:
            return
        account = {'apiVersion': 'v1', 'kind': 'ServiceAccount', 'metadata': {'namespace': key[1], 'name': DEFAULT}}
        try:
            await self._client.create(SERVICEACCOUNTS, account)
        except ApiError as error:
            if error.reason not in ('AlreadyExists', 'NotFound') and not namespace_is_terminating(error):
                raise


def _namespace_of_default(account: Object) -> Iterable[Key]:
    metadata = account['metadata']
    return (('', metadata['namespace']),) if metadata['name'] == DEFAULT else ()
