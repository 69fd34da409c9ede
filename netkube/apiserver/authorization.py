"""Whether the user of a request may do what it asks. k8s.io/apiserver endpoints/filters/authorization.go.

Members of system:masters may do everything; everyone else what roles allow.
"""

from __future__ import annotations

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import NAMESPACES, Resource
from netkube.apiserver.rbac import Attributes, RoleIndex
from netkube.apiserver.request import CONNECT, Request
from netkube.apiserver.user import MASTERS, User, requester

_METHODS = {'GET': 'get', 'POST': 'create', 'PUT': 'update', 'PATCH': 'patch', 'DELETE': 'delete'}
_UPGRADED = ('exec', 'attach', 'portforward')
_NAMED_LIKE = ('list', 'watch', 'deletecollection')
_NAME_SELECTOR = 'metadata.name='


def authorize_request(index: RoleIndex, request: Request) -> None:
    """ApiError 403."""
    if MASTERS in request.user.groups:
        return
    asked = attributes_of(request)
    authorize(index, request.user, asked)
    if asked.subresource in _UPGRADED and asked.verb == 'get':
        # An upgrade to a WebSocket is a GET, and yet it does something (AuthorizePodWebsocketUpgradeCreatePermission).
        authorize(index, request.user, Attributes('create', *_rest(asked)))


def _rest(asked: Attributes) -> tuple[str, ...]:
    return asked.group, asked.resource, asked.subresource, asked.namespace, asked.name


def authorize(index: RoleIndex, user: User, asked: Attributes) -> None:
    """ApiError 403."""
    if MASTERS not in user.groups and not index.allows(user, asked):
        raise forbidden(user, asked, index.rights(user).unresolved(asked.namespace))


def authorize_creation(index: RoleIndex, resource: Resource, metadata: Object) -> None:
    """When another verb turns out to create an object, its user must be allowed that, too. ApiError 403."""
    user = requester.get()
    if user is not None:
        namespace, name = metadata.get('namespace', ''), metadata.get('name', '')
        authorize(index, user, Attributes('create', resource.group, resource.plural, '', namespace, name))


def is_allowed(index: RoleIndex, user: User, asked: Attributes) -> bool:
    return MASTERS in user.groups or index.allows(user, asked)


def attributes_of(request: Request) -> Attributes:
    """What Kubernetes' authorizers are asked of this request. ApiError 405."""
    target = request.target
    if target is None:
        return Attributes(request.method.lower(), path=request.path)
    resource, namespace, name = target.resource, target.namespace, target.name
    if target.subresource in CONNECT:
        verb = _METHODS.get(request.method, 'get')
    else:
        verb = request.verb
    if resource is NAMESPACES and name:
        namespace = name
    if verb in _NAMED_LIKE:
        name = _selected_name(request.value('fieldSelector'))
    return Attributes(verb, resource.group, resource.plural, target.subresource, namespace, name)


def _selected_name(field_selector: str) -> str:
    """A list that can only be of one object counts as that object's."""
    for clause in field_selector.split(','):
        if clause.startswith(_NAME_SELECTOR):
            return clause.removeprefix(_NAME_SELECTOR).removeprefix('=')
    return ''


def forbidden(user: User, asked: Attributes, unresolved: str = '') -> ApiError:
    """Kubernetes' own sentence (endpoints/handlers/responsewriters, apimachinery NewForbidden)."""
    why = refusal(user, asked) + (f': RBAC: {unresolved}' if unresolved else '')
    if asked.path:
        return ApiError(403, 'Forbidden', f'forbidden: {why}', {})
    of = f'{asked.resource}.{asked.group}' if asked.group else asked.resource
    named = f'{of} "{asked.name}"' if asked.name else of
    details = {'name': asked.name, 'group': asked.group, 'kind': asked.resource}
    return ApiError(403, 'Forbidden', f'{named} is forbidden: {why}', {k: v for k, v in details.items() if v})


def refusal(user: User, asked: Attributes) -> str:
    if asked.path:
        return f'User "{user.name}" cannot {asked.verb} path "{asked.path}"'
    where = f'in the namespace "{asked.namespace}"' if asked.namespace else 'at the cluster scope'
    resource = f'resource "{asked.full_resource}" in API group "{asked.group}"'
    return f'User "{user.name}" cannot {asked.verb} {resource} {where}'
