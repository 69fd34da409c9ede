"""Questions about identity and access, answered and not stored: the reviews, and TokenRequest.

pkg/registry/authentication, pkg/registry/authorization (with its rest/ and util/).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from netkube.api.errors import ApiError, bad_request, invalid, method_not_allowed
from netkube.api.fielderrors import invalid as invalid_field
from netkube.api.meta import Object, timestamp
from netkube.api.resources import (
    LOCALSUBJECTACCESSREVIEWS,
    SELFSUBJECTACCESSREVIEWS,
    SELFSUBJECTREVIEWS,
    SELFSUBJECTRULESREVIEWS,
    SUBJECTACCESSREVIEWS,
    TOKENREVIEWS,
    Resource,
)
from netkube.apiserver.authorization import is_allowed
from netkube.apiserver.body import read_object
from netkube.apiserver.rbac import Attributes
from netkube.apiserver.registry import Registry
from netkube.apiserver.request import Request
from netkube.apiserver.response import Response, json_response
from netkube.apiserver.signing import InvalidToken
from netkube.apiserver.user import User

ONE_OF = 'exactly one of nonResourceAttributes or resourceAttributes must be specified'

Review = Callable[[Registry, Request, Object], Awaitable[Object]]


async def token_request(registry: Registry, request: Request) -> Response:
    target = request.target
    assert target is not None
    _check_post(request, target.resource)
    asked = await read_object(request)
    return json_response(await registry.tokens.request(target.namespace, target.name, asked), 201)


async def review_token(registry: Registry, request: Request, review: Object) -> Object:
    spec = review.get('spec') or {}
    if not spec.get('token'):
        raise bad_request('token is required for TokenReview in authentication')
    try:
        user, audiences = await registry.tokens.authenticate(spec['token'], spec.get('audiences') or ())
    except InvalidToken as error:
        return {'authenticated': False, 'user': {}, 'error': f'[invalid bearer token, {error}]'}
    return {'authenticated': True, 'user': user.info(), 'audiences': audiences}


async def review_self(registry: Registry, request: Request, review: Object) -> Object:
    return {'userInfo': request.user.info()}


async def review_access(registry: Registry, request: Request, review: Object) -> Object:
    spec = review.get('spec') or {}
    _check_subject(request, spec)
    return _decide(registry, _subject(spec), _asked(request, spec))


async def review_local_access(registry: Registry, request: Request, review: Object) -> Object:
    spec, namespace = review.get('spec') or {}, review['metadata'].get('namespace', '')
    _check_subject(request, spec)
    asked = _asked(request, spec)
    if asked.path:
        raise _invalid(request, invalid_field('spec.nonResourceAttributes', spec['nonResourceAttributes'],
                                              'disallowed on this kind of request'))  # fmt: skip
    if asked.namespace != namespace:
        given = spec['resourceAttributes'].get('namespace', '')
        raise _invalid(request, invalid_field('spec.resourceAttributes.namespace', given,
                                              'must match metadata.namespace'))  # fmt: skip
    return _decide(registry, _subject(spec), asked)


async def review_own_access(registry: Registry, request: Request, review: Object) -> Object:
    return _decide(registry, request.user, _asked(request, review.get('spec') or {}))


async def review_own_rules(registry: Registry, request: Request, review: Object) -> Object:
    """What ``kubectl auth can-i --list`` shows."""
    namespace = (review.get('spec') or {}).get('namespace', '')
    if not namespace:
        raise bad_request('no namespace on request')
    rights = registry.storage.roles.rights(request.user)
    rules = rights.rules_in(namespace)
    fields = ('verbs', 'apiGroups', 'resources', 'resourceNames')
    status: Object = {
        'resourceRules': [_chosen(rule, fields) for rule in rules if rule.get('resources')],
        'nonResourceRules': [_chosen(rule, ('verbs', 'nonResourceURLs')) for rule in rules
                             if rule.get('nonResourceURLs')],
        'incomplete': bool(rights.unresolved(namespace)),
    }  # fmt: skip
    if status['incomplete']:
        status['evaluationError'] = rights.unresolved(namespace)
    return status


def _chosen(rule: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    return {field: rule[field] for field in fields if rule.get(field)}


def _decide(registry: Registry, user: User, asked: Attributes) -> Object:
    roles = registry.storage.roles
    if is_allowed(roles, user, asked):
        return {'allowed': True}
    unresolved = roles.rights(user).unresolved(asked.namespace)
    return {'allowed': False, **({'reason': f'RBAC: {unresolved}'} if unresolved else {})}


def _subject(spec: Object) -> User:
    extra = tuple((key.lower(), tuple(values)) for key, values in sorted((spec.get('extra') or {}).items()))
    return User(spec.get('user', ''), tuple(spec.get('groups') or ()), spec.get('uid', ''), extra)


def _check_subject(request: Request, spec: Object) -> None:
    if not spec.get('user') and not spec.get('groups'):
        raise _invalid(request, invalid_field('spec.user', '', 'at least one of user or group must be specified'))


def _asked(request: Request, spec: Object) -> Attributes:
    """ApiError 422."""
    resource, path = spec.get('resourceAttributes'), spec.get('nonResourceAttributes')
    if resource is not None and path is not None:
        detail = 'cannot be specified in combination with resourceAttributes'
        raise _invalid(request, invalid_field('spec.nonResourceAttributes', path, detail))
    if resource is None and path is None:
        raise _invalid(request, invalid_field('spec.resourceAttributes', None, ONE_OF))
    if path is not None:
        return Attributes(path.get('verb', ''), path=path.get('path') or '/')
    assert resource is not None
    fields = (resource.get(field, '') for field in ('verb', 'group', 'resource', 'subresource', 'namespace', 'name'))
    return Attributes(*fields)


def _invalid(request: Request, error: Any) -> ApiError:
    assert request.target is not None
    return invalid(request.target.resource, '', [error])


def _check_post(request: Request, resource: Resource) -> None:
    if request.method != 'POST':
        raise method_not_allowed(resource.plural, request.method)


def _answered(review: Review) -> Callable[[Registry, Request], Awaitable[Response]]:
    """A handler: the review comes back with its status filled in."""

    async def handle(registry: Registry, request: Request) -> Response:
        assert request.target is not None
        _check_post(request, request.target.resource)
        asked = await read_object(request)
        status = await review(registry, request, asked)
        asked['metadata'] = {'creationTimestamp': timestamp(registry.storage.now()), **asked['metadata']}
        return json_response(asked | {'status': status}, 201)

    return handle


REVIEW_HANDLERS: dict[Resource, Callable[[Registry, Request], Awaitable[Response]]] = {
    TOKENREVIEWS: _answered(review_token),
    SELFSUBJECTREVIEWS: _answered(review_self),
    SUBJECTACCESSREVIEWS: _answered(review_access),
    LOCALSUBJECTACCESSREVIEWS: _answered(review_local_access),
    SELFSUBJECTACCESSREVIEWS: _answered(review_own_access),
    SELFSUBJECTRULESREVIEWS: _answered(review_own_rules),
}
