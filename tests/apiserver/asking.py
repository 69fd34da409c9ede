"""Requests as somebody in particular, without a socket."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from netkube.apiserver.defaultroles import ensure_default_roles
from netkube.apiserver.http import HttpApi
from netkube.apiserver.registry import Registry
from netkube.apiserver.server import no_kubelet
from netkube.apiserver.user import AUTHENTICATED, User

RBAC = '/apis/rbac.authorization.k8s.io/v1'


@dataclass
class Said:
    code: int
    json: Any

    @property
    def message(self) -> str:
        return str(self.json['message'])


def user(name: str, *groups: str) -> User:
    return User(name, (*groups, AUTHENTICATED))


ADMIN = user('admin', 'system:masters')


class Desk:
    """The API with its default roles; ``ask`` is a request of a certificate's holder, or of a token's."""

    def __init__(self, registry: Registry, kubelet_of: Any = no_kubelet) -> None:
        ensure_default_roles(registry.storage)
        self.registry, self._api = registry, HttpApi(registry, kubelet_of)

    async def ask(
        self, who: User | None, method: str, path: str, body: Any = None, *, token: str = '',
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Said:  # fmt: skip
        path, _, query = path.partition('?')
        content = b'' if body is None else json.dumps(body).encode()
        named = [('content-type', 'application/json'), *headers]
        if token:
            named.append(('authorization', f'Bearer {token}'))
        scope = {
            'type': 'http', 'method': method, 'path': path, 'raw_path': path.encode(), 'query_string': query.encode(),
            'state': {'user': who},
            'headers': [(key.lower().encode(), value.encode()) for key, value in named],
        }  # fmt: skip
        sent: list[Any] = []

        requests = [{'type': 'http.request', 'body': content}]

        async def receive() -> Any:
            if requests:
                return requests.pop()
            await asyncio.Event().wait()  # the client stays

        async def send(message: Any) -> None:
            sent.append(message)

        await self._api(scope, receive, send)
        answer = b''.join(message.get('body', b'') for message in sent[1:])
        return Said(sent[0]['status'], json.loads(answer) if answer[:1] in b'{[' else answer.decode())

    async def role(self, name: str, *rules: dict[str, Any], namespace: str = 'default', to: str) -> None:
        """A Role bound to the user ``to``; a ClusterRole, bound everywhere, without a namespace."""
        where = f'{RBAC}/namespaces/{namespace}/' if namespace else f'{RBAC}/cluster'
        kind = 'Role' if namespace else 'ClusterRole'
        await self.made(f'{where}roles', {'metadata': {'name': name}, 'rules': list(rules)})
        reference, subjects = {'kind': kind, 'name': name}, [{'kind': 'User', 'name': to}]
        binding = {'metadata': {'name': name}, 'roleRef': reference, 'subjects': subjects}
        await self.made(f'{where}rolebindings', binding)

    async def made(self, path: str, body: Any) -> Any:
        said = await self.ask(ADMIN, 'POST', path, body)
        assert said.code == 201, said.json
        return said.json


def rule(verbs: str, resources: str, groups: str = '', names: str = '') -> dict[str, Any]:
    """Words apart by spaces; an empty group is the core group."""
    rule = {'verbs': verbs.split(), 'resources': resources.split(), 'apiGroups': groups.split() or ['']}
    return rule | ({'resourceNames': names.split()} if names else {})
