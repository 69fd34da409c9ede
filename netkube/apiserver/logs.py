"""pods/log: a container's output, as the node's agent gives it, passed on as it comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from netkube.api.errors import ApiError, bad_request
from netkube.apiserver.containers import container_of, node_of
from netkube.apiserver.registry import Registry
from netkube.apiserver.request import Request, Target
from netkube.apiserver.response import TEXT, Stream
from netkube.client.kubelet import Kubelet, LogOptions

log = logging.getLogger(__name__)

FIRST_PART_SECONDS = 0.1  # how long an answer waits to learn whether the log can be read


async def log_stream(
    registry: Registry, kubelet_of: Callable[[str], Kubelet], request: Request, target: Target
) -> Stream:
    """ApiError 400, 404, and what the node's agent says."""
    pod = registry.storage.object(registry.storage.get(target.resource, target.namespace, target.name))
    container = container_of(pod, request.value('container'))
    parts = kubelet_of(node_of(pod)).logs(target.namespace, target.name, container, log_options(request))
    first = asyncio.ensure_future(anext(aiter(parts)))
    await asyncio.wait((first,), timeout=FIRST_PART_SECONDS)
    if first.done() and isinstance(error := first.exception(), Exception) and not isinstance(error, StopAsyncIteration):
        raise error
    return Stream(_continued(first, parts), TEXT)


async def _continued(first: asyncio.Future[bytes], parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What goes wrong after the answer has begun can only be written into it, as a kubelet does."""
    try:
        yield await first
        async for part in parts:
            yield part
    except StopAsyncIteration:
        return
    except ApiError as error:
        yield error.message.encode() + b'\n'
    finally:
        first.cancel()
        if hasattr(parts, 'aclose'):
            await parts.aclose()


def log_options(request: Request) -> LogOptions:
    """ApiError 400, with Kubernetes' words for what is out of range."""
    options = LogOptions(
        follow=request.flag('follow'), previous=request.flag('previous'), timestamps=request.flag('timestamps'),
        since_seconds=request.number('sinceSeconds'), since_time=request.value('sinceTime'),
        tail_lines=request.number('tailLines'), limit_bytes=request.number('limitBytes'),
    )  # fmt: skip
    if options.since_seconds is not None and options.since_time:
        raise bad_request('at most one of `sinceTime` or `sinceSeconds` may be specified')
    for field, value, least in (
        ('sinceSeconds', options.since_seconds, 1), ('tailLines', options.tail_lines, 0),
        ('limitBytes', options.limit_bytes, 1),
    ):  # fmt: skip
        if value is not None and value < least:
            raise bad_request(f'{field}: Invalid value: {value}: must be greater than or equal to {least}')
    return options
