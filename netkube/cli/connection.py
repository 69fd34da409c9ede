"""The command line's own way to the API: blocking, over the cluster's unix socket."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import Resource
from netkube.client.wire import READ_BYTES, Response, failure_of, render_query, render_request, with_kinds

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
    except OSError as error:
        raise Unreachable(
            f'the connection to the API server at {path} was lost ({str(error) or type(error).__name__}); '
            'netkube status says what runs, netkube up starts what does not'
        ) from error


class Connection:
    """One cluster's API. Every refusal is an ApiError; Unreachable when the cluster does not answer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket: socket.socket | None = None

    def works(self) -> bool:
        """Whether the API server answers that it is ready."""
        try:
            self._request('GET', '/readyz')
        except (Unreachable, ApiError):
            return False
        return True

    def get(self, path: str, accept: str = JSON, **query: Any) -> Object:
        answer: Object = with_kinds(json.loads(self._request('GET', path + _query(query), accept=accept)))
        return answer

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
        """The lines, each with its line feed, of an answer that may go on for ever.

        TimeoutError after ``timeout`` seconds without anything new.
        """
        with reaching(self.path), self._open(timeout) as connection:
            connection.sendall(render_request('GET', path + _query(query), accept=accept))
            response = _begin(connection)
            if response.failed:
                raise _failure(_rest(connection, response))
            pending = b''
            while True:
                *lines, pending = (pending + response.take()).split(b'\n')
                yield from (line + b'\n' for line in lines)
                if response.complete:
                    break
                response.feed(connection.recv(READ_BYTES))
            if pending:
                yield pending

    def _request(
        self, method: str, target: str, body: Any = None, accept: str = JSON, content_type: str = JSON
    ) -> bytes:
        encoded = b'' if body is None else json.dumps(body).encode()
        request = render_request(method, target, encoded, accept=accept, content_type=content_type)
        with reaching(self.path):
            connection, self._socket = self._socket or self._open(), None  # broken, it is not used again
            connection.sendall(request)
            response = _begin(connection)
            answer = _rest(connection, response)
            self._socket = connection
        if response.failed:
            raise _failure(answer)
        return answer

    def _open(self, timeout: float | None = None) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout)
        try:
            connection.connect(str(self.path))
        except OSError:
            connection.close()
            raise
        return connection


def _begin(connection: socket.socket) -> Response:
    response = Response()
    while not response.started:
        response.feed(connection.recv(READ_BYTES))
    return response


def _rest(connection: socket.socket, response: Response) -> bytes:
    while not response.complete:
        response.feed(connection.recv(READ_BYTES))
    return response.take()


def _failure(body: bytes) -> ApiError:
    try:
        return failure_of(json.loads(body), body)
    except ValueError:
        return failure_of(None, body)


def _query(parameters: dict[str, Any]) -> str:
    return render_query({name: 'true' if value is True else value for name, value in parameters.items()})
