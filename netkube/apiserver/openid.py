"""OpenID Connect discovery: how others check the tokens of ServiceAccounts without asking the API server (KEP-1393)."""

from __future__ import annotations

from netkube.api.errors import method_not_allowed
from netkube.apiserver.request import Request
from netkube.apiserver.response import Response
from netkube.apiserver.serviceaccounts import ServiceAccountTokens
from netkube.apiserver.signing import ALGORITHM
from netkube.apiserver.storage import encode

CONFIGURATION, KEYS = '/.well-known/openid-configuration', '/openid/v1/jwks'
OPENID = {CONFIGURATION: b'application/json', KEYS: b'application/jwk-set+json'}
CACHED = ((b'cache-control', b'public, max-age=3600'),)


async def openid_document(tokens: ServiceAccountTokens, request: Request) -> Response:
    """ApiError 405 for anything but GET."""
    if request.method not in ('GET', 'HEAD'):
        raise method_not_allowed(request.path, request.method)
    await tokens.key.ready()
    document = tokens.key.jwks() if request.path == KEYS else {
        'issuer': tokens.issuer, 'jwks_uri': f'{tokens.issuer}{KEYS}', 'response_types_supported': ['id_token'],
        'subject_types_supported': ['public'], 'id_token_signing_alg_values_supported': [ALGORITHM],
    }  # fmt: skip
    return Response(encode(document), 200, OPENID[request.path], headers=CACHED)
