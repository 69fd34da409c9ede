"""Which node and which container a request for logs or a stream means."""

from __future__ import annotations

from netkube.api.errors import bad_request
from netkube.api.meta import Object

DEFAULT_CONTAINER = 'kubectl.kubernetes.io/default-container'


def node_of(pod: Object) -> str:
    """ApiError 400 when the Pod has no node yet."""
    node = pod['spec'].get('nodeName')
    if not node:
        raise bad_request(f'pod {pod["metadata"]["name"]} does not have a host assigned')
    return str(node)


def container_of(pod: Object, asked: str) -> str:
    """The container asked for; else the only one, else the annotated one. ApiError 400. pkg/registry/core/pod."""
    name = pod['metadata']['name']
    containers = [one['name'] for one in pod['spec']['containers']]
    others = [one['name'] for kind in ('initContainers', 'ephemeralContainers') for one in pod['spec'].get(kind) or ()]
    if asked:
        if asked not in containers and asked not in others:
            raise bad_request(f'container {asked} is not valid for pod {name}')
        return asked
    if len(containers) == 1 and not others:
        return str(containers[0])
    annotated = (pod['metadata'].get('annotations') or {}).get(DEFAULT_CONTAINER)
    if annotated in containers:
        return str(annotated)
    if len(containers) == 1:
        return str(containers[0])
    raise bad_request(_which(pod, name, containers))


def _which(pod: Object, name: str, containers: list[str]) -> str:
    text = f'a container name must be specified for pod {name}, choose one of: [{" ".join(containers)}]'
    init = [one['name'] for one in pod['spec'].get('initContainers') or ()]
    return text + (f' or one of the init containers: [{" ".join(init)}]' if init else '')
