"""What a handler answers with: a body, or a stream of parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from netkube.api.errors import ApiError
from netkube.apiserver.storage import encode

JSON = b'application/json'
TEXT = b'text/plain; charset=utf-8'

Headers = tuple[tuple[bytes, bytes], ...]
CLOSE: Headers = ((b'connection', b'close'),)


class Response(msgspec.Struct, frozen=True):
    """``revision`` must be on the disk before this may be sent; 0 when nothing of it comes from the store."""

    body: bytes
    code: int = 200
    content_type: bytes = JSON
    revision: int = 0
    headers: Headers = ()


class Stream(msgspec.Struct, frozen=True):
    """Parts that are sent as they come, until the iterator ends or the client goes."""

    parts: AsyncIterator[bytes]
    content_type: bytes = JSON  # b'' when it is among the headers
    code: int = 200
    headers: Headers = ()


def json_response(value: Any, code: int = 200) -> Response:
    return Response(encode(value), code)


def error_response(error: ApiError) -> Response:
    headers = CLOSE if error.code == 408 else ()  # the rest of the request may still come
    if seconds := (error.details or {}).get('retryAfterSeconds'):
        headers = (*headers, (b'retry-after', str(seconds).encode()))
    return Response(encode(error.status()), error.code, headers=headers)


def warning_headers(warnings: tuple[str, ...]) -> Headers:
    """RFC 7234 warn-code 299, which kubectl prints."""
    return tuple((b'warning', b'299 - ' + encode(text)) for text in warnings)
