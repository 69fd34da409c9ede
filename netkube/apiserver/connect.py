"""The subresources that lead to a Node's agent: which of them speaks what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from netkube.api.errors import ApiError, bad_request
from netkube.apiserver import portforward, streams
from netkube.apiserver.registry import Registry
from netkube.apiserver.request import Request, Send, Target
from netkube.client.kubelet import Kubelet

KubeletOf = Callable[[str], Kubelet]
Connect = Callable[[Registry, KubeletOf, dict[str, Any], Request, Target, Send], Awaitable[None]]
Check = Callable[[Registry, Request, Target], object]

CONNECTS: dict[str, Connect] = {
    'exec': streams.connect, 'attach': streams.connect, 'portforward': portforward.connect,
}  # fmt: skip
CHECKS: dict[str, Check] = {
    'exec': streams.stream_target,
    'attach': streams.stream_target,
    'portforward': lambda registry, request, target: portforward.forward_target(registry, target),
}


async def connect(
    registry: Registry, kubelet_of: KubeletOf, scope: dict[str, Any], request: Request, target: Target, send: Send
) -> None:
    """Over a WebSocket, until it ends. ApiError before it is accepted."""
    if target.subresource not in CONNECTS:
        path = f'{target.resource.plural}/{target.subresource}'
        raise ApiError(501, 'NotImplemented', f'{path} takes no WebSocket')
    await CONNECTS[target.subresource](registry, kubelet_of, scope, request, target, send)


def refuse_plain_http(registry: Registry, target: Target, request: Request) -> ApiError:
    """What a connect request without a WebSocket is told: what is wrong with it anyway, else what to speak.

    kubectl comes back over SPDY when its WebSocket was refused, and shows the answer to that.
    """
    CHECKS[target.subresource](registry, request, target)
    return bad_request(f'Upgrade request required: {target.subresource} is served over WebSocket only')
