"""The command line's own way to the API: plain blocking HTTP over the cluster's unix socket."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import Resource

JSON = 'application/json'
TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json'


class Unreachable(Exception):
    """The API server does not answer, or went away in the middle of an answer."""


@contextmanager
def reaching(path: Path) -> Iterator[None]:
    """A broken connection is Unreachable; TimeoutError stays what it is."""
    try:
        yield
    except TimeoutError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(
            f'the connection to the API server at {path} was lost ({str(error) or type(error).__name__}); '
            'netkube status says what runs, netkube up starts what does not'
        ) from error


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float | None = None) -> None:
        super().__init__('netkube', timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Connection:
    """One cluster's API. Every refusal is an ApiError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._http = UnixConnection(str(path))

    def works(self) -> bool:
        """Whether the API server answers."""
        try:
            self._request('GET', '/readyz')
        except (Unreachable, ApiError):
            return False
        return True

    def get(self, path: str, accept: str = JSON, **query: Any) -> Object:
        return json.loads(self._request('GET', path + _query(query), accept=accept))

    def create(self, path: str, obj: Object, **query: Any) -> Object:
        return json.loads(self._request('POST', path + _query(query), obj))

    def update(self, path: str, obj: Object, **query: Any) -> Object:
        return json.loads(self._request('PUT', path + _query(query), obj))

    def patch(self, path: str, patch: Any, content_type: str, **query: Any) -> Object:
        return json.loads(self._request('PATCH', path + _query(query), patch, content_type=content_type))

    def delete(self, path: str, options: Object) -> Object:
        return json.loads(self._request('DELETE', path, options))

    def find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        try:
            return self.get(resource.path(namespace, name))
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def stream(self, path: str, accept: str = JSON, timeout: float | None = None, **query: Any) -> Iterator[bytes]:
        """The lines of an answer that may go on for ever; TimeoutError after ``timeout`` seconds without one."""
        for chunk in self.stream_raw(path, accept, timeout, **query):
            yield chunk.rstrip(b'\n')

    def stream_raw(self, path: str, accept: str = JSON, timeout: float | None = None, **query: Any) -> Iterator[bytes]:
        """As ``stream``, each line with its line feed, as the server sent it."""
        connection = UnixConnection(str(self.path), timeout)
        try:
            with reaching(self.path):
                connection.request('GET', path + _query(query), headers={'accept': accept})
                response = connection.getresponse()
                if response.status >= 400:
                    raise _failure(response.status, response.read())
            while line := self._line(response):
                yield line
        finally:
            connection.close()

    def _line(self, response: http.client.HTTPResponse) -> bytes:
        with reaching(self.path):
            return response.readline()

    def _request(
        self, method: str, target: str, body: Any = None, accept: str = JSON, content_type: str = JSON
    ) -> bytes:
        encoded = None if body is None else json.dumps(body).encode()
        headers = {'accept': accept, 'content-type': content_type} if encoded else {'accept': accept}
        with reaching(self.path):
            self._http.request(method, target, encoded, headers)
            response = self._http.getresponse()
            answer = response.read()
        if response.status >= 400:
            raise _failure(response.status, answer)
        return answer


def _failure(status: int, body: bytes) -> ApiError:
    try:
        return ApiError.from_status(json.loads(body))
    except (ValueError, AttributeError):
        return ApiError(status, '', body.decode(errors='replace').strip())


def _query(parameters: dict[str, Any]) -> str:
    given = {name: value for name, value in parameters.items() if value not in ('', None, False)}
    return '?' + urlencode({k: 'true' if v is True else v for k, v in given.items()}) if given else ''
