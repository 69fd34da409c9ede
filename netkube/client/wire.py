"""HTTP/1.1 without I/O: requests as bytes, answers as they arrive. Both clients, of asyncio and blocking, speak it."""

from __future__ import annotations

from collections import deque
from typing import Any
from urllib.parse import urlencode

import httptools

from netkube.api.errors import ApiError

READ_BYTES = 256 * 1024


def with_kinds(answer: Any) -> Any:
    """An answer whose items, if it is a list, say what they are: Kubernetes leaves it out."""
    if not isinstance(answer, dict) or not isinstance(answer.get('items'), list):
        return answer
    kind = {'apiVersion': answer['apiVersion'], 'kind': answer['kind'].removesuffix('List')}
    return {**answer, 'items': [{**kind, **item} for item in answer['items']]}


def render_request(
    method: str, target: str, body: bytes = b'', *, accept: str = 'application/json', content_type: str = ''
) -> bytes:
    """``content_type`` is the body's; the connection stays open after the answer."""
    head = f'{method} {target} HTTP/1.1\r\nhost: netkube\r\nuser-agent: netkube\r\naccept: {accept}\r\n'
    if body:
        head += f'content-type: {content_type}\r\n'
    return f'{head}content-length: {len(body)}\r\n\r\n'.encode() + body


def render_query(parameters: dict[str, str]) -> str:
    """'' or ``?name=value&...``; parameters without a value are left out."""
    given = {name: value for name, value in parameters.items() if value}
    return '?' + urlencode(given) if given else ''


class Response:
    """One answer, filled in by ``feed``."""

    def __init__(self) -> None:
        self.started = False  # status and headers are in
        self.complete = False
        self._chunks: deque[bytes] = deque()
        self._parser = httptools.HttpResponseParser(self)

    @property
    def failed(self) -> bool:
        return self._parser.get_status_code() >= 400

    def feed(self, data: bytes) -> None:
        """ConnectionError when there is none: the server has closed in the middle of an answer."""
        if not data:
            raise ConnectionError('the API server closed the connection')
        self._parser.feed_data(data)

    def take(self) -> bytes:
        """What of the body has arrived since it was last taken."""
        data = b''.join(self._chunks)
        self._chunks.clear()
        return data

    # httptools' callbacks

    def on_headers_complete(self) -> None:
        self.started = True

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        self.complete = True


def failure_of(status: object, body: bytes) -> ApiError:
    """An answer that is no success; ``status`` is its decoded body, None if that is no JSON object."""
    if isinstance(status, dict) and status.get('kind') == 'Status':
        return ApiError.from_status(status)
    return ApiError(500, 'InternalError', body.decode(errors='replace').strip())
