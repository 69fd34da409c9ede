"""Nobody may give away by a role or a binding what they may not do themselves.

Unless a role allows them to ``escalate`` roles, or to ``bind`` the role in question.
pkg/registry/rbac/{role,clusterrole,rolebinding,clusterrolebinding}/policybased, pkg/registry/rbac/validation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from netkube.api.errors import ApiError, forbidden, not_found
from netkube.api.meta import Object
from netkube.api.resources import CLUSTERROLES, RBAC_GROUP, RBAC_KINDS, ROLES, Resource
from netkube.apiserver.authorization import is_allowed
from netkube.apiserver.rbac import ROLE_KINDS, Attributes, RoleIndex
from netkube.apiserver.user import MASTERS, User, requester

PolicyRule = dict[str, Any]

FULL_AUTHORITY: list[PolicyRule] = [
    {'verbs': ['*'], 'apiGroups': ['*'], 'resources': ['*']},
    {'verbs': ['*'], 'nonResourceURLs': ['*']},
]
_NEEDS_ADMIN = 'must have cluster-admin privileges to use the aggregationRule'
_FOR_DELETION = ('finalizers', 'ownerReferences', 'resourceVersion', 'managedFields')


def check_escalation(index: RoleIndex, resource: Resource, new: Object, old: Object | None) -> None:
    """ApiError 403, when the request that is being served is a user's; components may give away anything."""
    user = requester.get()
    if resource not in RBAC_KINDS or user is None or MASTERS in user.groups:
        return
    if old is not None and _is_about_deletion(new, old):
        return
    if resource in (ROLES, CLUSTERROLES):
        _check_role(index, user, resource, new, old)
    else:
        _check_binding(index, user, resource, new)


def _is_about_deletion(new: Object, old: Object) -> bool:
    def rest(obj: Object) -> Object:
        kept = {key: value for key, value in obj['metadata'].items() if key not in _FOR_DELETION}
        return {**obj, 'metadata': kept}

    return rest(new) == rest(old)


def _check_role(index: RoleIndex, user: User, resource: Resource, role: Object, old: Object | None) -> None:
    namespace, name = role['metadata'].get('namespace', ''), role['metadata']['name']
    escalate = Attributes('escalate', RBAC_GROUP, resource.plural, namespace=namespace, name=name)
    if is_allowed(index, user, escalate):
        return
    _check_rules(index, user, resource, name, namespace, role.get('rules') or [])
    aggregates = role.get('aggregationRule') or (old or {}).get('aggregationRule')
    if aggregates and any(missing_rules(index.rights(user).rules_in(namespace), FULL_AUTHORITY)):
        raise forbidden(resource, name, _NEEDS_ADMIN)


def _check_binding(index: RoleIndex, user: User, resource: Resource, binding: Object) -> None:
    namespace, name = binding['metadata'].get('namespace', ''), binding['metadata']['name']
    kind, role = binding['roleRef']['kind'], binding['roleRef']['name']
    bound = ROLE_KINDS[kind]
    if is_allowed(index, user, Attributes('bind', RBAC_GROUP, bound.plural, namespace=namespace, name=role)):
        return
    rules = index.role_rules(kind, namespace, role)
    if rules is None:
        raise not_found(bound, role)
    _check_rules(index, user, resource, name, namespace, rules)


def _check_rules(
    index: RoleIndex, user: User, resource: Resource, name: str, namespace: str, rules: Sequence[PolicyRule]
) -> None:
    rights = index.rights(user)
    missing = list(missing_rules(rights.rules_in(namespace), rules))
    if missing:
        raise _escalates(user, resource, name, missing, rights.unresolved(namespace))


def _escalates(user: User, resource: Resource, name: str, missing: list[PolicyRule], unresolved: str) -> ApiError:
    groups = ' '.join(json.dumps(group) for group in user.groups)
    lines = '\n'.join(sorted({described(rule) for rule in compacted(missing)}))
    why = (f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n'
           f'{lines}')  # fmt: skip
    return forbidden(resource, name, why + (f'; resolution errors: [{unresolved}]' if unresolved else ''))


def missing_rules(owned: Sequence[PolicyRule], wanted: Iterable[PolicyRule]) -> Iterator[PolicyRule]:
    """What of ``wanted`` no rule of ``owned`` covers, in its smallest parts."""
    for rule in wanted:
        for part in _parts(rule):
            if not any(_covers(one, part) for one in owned):
                yield part


def _parts(rule: PolicyRule) -> Iterator[PolicyRule]:
    """One verb of one resource of one group, by one name or by any; or one verb of one URL."""
    for verb in rule.get('verbs') or ():
        for group in rule.get('apiGroups') or ():
            for resource in rule.get('resources') or ():
                part = {'verbs': [verb], 'apiGroups': [group], 'resources': [resource]}
                names = rule.get('resourceNames') or ()
                yield from ({**part, 'resourceNames': [name]} for name in names)
                if not names:
                    yield part
        for url in rule.get('nonResourceURLs') or ():
            yield {'verbs': [verb], 'nonResourceURLs': [url]}


def _covers(owned: PolicyRule, part: PolicyRule) -> bool:
    verbs, verb = owned.get('verbs') or (), part['verbs'][0]
    if not (verb in verbs or '*' in verbs):
        return False
    if 'nonResourceURLs' in part:
        (url,) = part['nonResourceURLs']
        return any(_url_covers(one, url) for one in owned.get('nonResourceURLs') or ())
    groups, resources = owned.get('apiGroups') or (), owned.get('resources') or ()
    names, group, resource = owned.get('resourceNames') or (), part['apiGroups'][0], part['resources'][0]
    subresource = resource.partition('/')[2]
    covered = resource in resources or '*' in resources or (bool(subresource) and f'*/{subresource}' in resources)
    named = not names or any(name in names for name in part.get('resourceNames') or ())
    return covered and named and (group in groups or '*' in groups)


def _url_covers(owned: str, url: str) -> bool:
    return owned in ('*', url) or (owned.endswith('*') and url.startswith(owned.rstrip('*')))


def compacted(parts: Iterable[PolicyRule]) -> list[PolicyRule]:
    """The verbs of one and the same resource in one rule."""
    found: dict[str, PolicyRule] = {}
    for part in parts:
        rest = {key: value for key, value in part.items() if key != 'verbs'}
        known = found.setdefault(json.dumps(rest), {**rest, 'verbs': []})
        known['verbs'] += [verb for verb in part['verbs'] if verb not in known['verbs']]
    return list(found.values())


def described(rule: PolicyRule) -> str:
    """``{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}``."""
    fields = (('APIGroups', 'apiGroups'), ('Resources', 'resources'), ('NonResourceURLs', 'nonResourceURLs'),
              ('ResourceNames', 'resourceNames'), ('Verbs', 'verbs'))  # fmt: skip
    shown = (f'{name}:[{" ".join(json.dumps(value) for value in rule[key])}]' for name, key in fields if rule.get(key))
    return '{' + ', '.join(shown) + '}'
