"""The real API in memory, controllers on it, and a test that plays the kubelet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from netkube.api.meta import Object, key_of, timestamp, utc_now
from netkube.api.resources import EVENTS, NAMESPACES, PODS, Resource
from netkube.apiserver.registry import Registry
from netkube.client.events import EventRecorder
from netkube.client.informer import Informers


@asynccontextmanager
async def running(*bodies: Any) -> AsyncIterator[None]:
    """Runs ``run()`` of each; a failure of one fails the test."""
    tasks = [asyncio.create_task(body.run()) for body in bodies]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Cluster:
    """An API, and the controllers that a test starts on it."""

    def __init__(self, api: Registry, stack: AsyncExitStack) -> None:
        self.api = api
        self._stack = stack

    async def start(self, *controllers: Callable[..., Any], **options: Any) -> None:
        informers = Informers(self.api)
        recorder = EventRecorder(self.api, 'test')
        bodies = [controller(informers, recorder, **options) for controller in controllers]
        await self._stack.enter_async_context(running(informers, recorder, *bodies))

    async def list(self, resource: Resource, selector: str = '') -> list[Object]:
        return (await self.api.list(resource, 'default', label_selector=selector)).items

    async def get(self, resource: Resource, name: str) -> Object:
        namespace = '' if resource == NAMESPACES else 'default'
        return await self.api.get(resource, namespace, name)

    async def set_pod(self, pod: Object, **status: Any) -> None:
        await self.api.patch(PODS, *key_of(pod), {'status': status}, subresource='status')

    async def make_ready(self, pod: Object, ip: str = '10.0.0.1', *, ready: bool = True) -> None:
        condition = {'type': 'Ready', 'status': str(ready), 'lastTransitionTime': timestamp(utc_now())}
        await self.set_pod(pod, phase='Running', podIP=ip, podIPs=[{'ip': ip}], conditions=[condition])

    async def make_all_ready(self, selector: str = '') -> None:
        """What a kubelet does in the end, for every Pod that it has not done it for."""
        for pod in await self.list(PODS, selector):
            if pod['status'].get('phase') == 'Pending' and 'deletionTimestamp' not in pod['metadata']:
                await self.make_ready(pod)

    async def events(self, reason: str) -> list[str]:
        """The messages of that reason, oldest first."""
        found = [event for event in await self.list(EVENTS) if event['reason'] == reason]
        return [
            event['message'] for event in sorted(found, key=lambda event: int(event['metadata']['resourceVersion']))
        ]


def deployment(name: str = 'web', replicas: int = 3, image: str = 'one', **spec: Any) -> Object:
    labels = {'app': name}
    template = {'metadata': {'labels': labels}, 'spec': {'containers': [{'name': 'main', 'image': image}]}}
    return {
        'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': name, 'namespace': 'default'},
        'spec': {'replicas': replicas, 'selector': {'matchLabels': labels}, 'template': template, **spec},
    }  # fmt: skip


def replica_set(name: str = 'web', replicas: int = 3, **spec: Any) -> Object:
    return deployment(name, replicas, **spec) | {'kind': 'ReplicaSet'}


def pod(name: str = 'one', labels: dict[str, str] | None = None, **spec: Any) -> Object:
    containers = spec.pop('containers', [{'name': 'main', 'image': 'none'}])
    metadata = {'name': name, 'namespace': 'default', 'labels': labels or {'app': 'web'}}
    return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': metadata, 'spec': {'containers': containers, **spec}}


def service(name: str = 'web', **spec: Any) -> Object:
    metadata = {'name': name, 'namespace': 'default'}
    body = {'selector': {'app': 'web'}, 'ports': [{'port': 80}], **spec}
    return {'apiVersion': 'v1', 'kind': 'Service', 'metadata': metadata, 'spec': body}
