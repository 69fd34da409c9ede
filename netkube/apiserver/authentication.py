"""Who asks: a client certificate, the unix socket, a bearer token; nobody, for the questions of health.

The first of them that the request has counts, in this order, as in kube-apiserver. Anonymous requests are those of
its AuthenticationConfiguration ``anonymous: {enabled: true, conditions: [{path: ...}]}``: to these paths only.
"""

from __future__ import annotations

from typing import Any

from netkube.api.errors import unauthorized
from netkube.apiserver.impersonation import PREFIX
from netkube.apiserver.serviceaccounts import ServiceAccountTokens
from netkube.apiserver.signing import InvalidToken
from netkube.apiserver.user import ANONYMOUS, User

ANONYMOUS_PATHS = ('/healthz', '/livez', '/readyz', '/version')
BEARER = 'bearer '


async def authenticate(tokens: ServiceAccountTokens, scope: dict[str, Any]) -> User:
    """ApiError 401."""
    user: User | None = scope['state']['user']
    if user is not None:
        return user
    token = bearer_token(scope['headers'])
    if token:
        try:
            return (await tokens.authenticate(token))[0]
        except InvalidToken:
            raise unauthorized() from None
    if scope['path'] in ANONYMOUS_PATHS:
        return ANONYMOUS
    raise unauthorized()


def without_credentials(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What the rest of the server, and a Pod behind pods/proxy, may see of a request."""
    return [(name, value) for name, value in headers if name != b'authorization' and not name.startswith(PREFIX)]


def bearer_token(headers: list[tuple[bytes, bytes]]) -> str:
    """'' when there is none."""
    for name, value in headers:
        if name == b'authorization':
            text = value.decode('latin-1').strip()
            return text[len(BEARER) :].strip() if text[: len(BEARER)].lower() == BEARER else ''
    return ''
