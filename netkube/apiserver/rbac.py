"""Role-based access control: which rules a user's bindings give, and whether one of them allows a request.

The bindings are indexed by subject as they change. What a user may do is put together at the first question after a
change of any role or binding, and kept: a decision is then a walk over a few sets. The last decisions are kept, too.
plugin/pkg/auth/authorizer/rbac and pkg/registry/rbac/validation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from netkube.api.meta import Object
from netkube.api.resources import CLUSTERROLEBINDINGS, CLUSTERROLES, RBAC_GROUP, ROLEBINDINGS, ROLES, Resource
from netkube.apiserver.user import User, account_username

KEPT_USERS, KEPT_DECISIONS = 1024, 512
ROLE_KINDS = {'Role': ROLES, 'ClusterRole': CLUSTERROLES}

Find = Callable[[Resource, str, str], Object | None]
Subject = tuple[str, str]  # 'User' or 'Group', and the name


class Attributes(msgspec.Struct, frozen=True):
    """What is asked for: a resource, or a ``path`` that is none. ``namespace`` and ``name`` may be ''."""

    verb: str
    group: str = ''
    resource: str = ''
    subresource: str = ''
    namespace: str = ''
    name: str = ''
    path: str = ''

    @property
    def full_resource(self) -> str:
        return f'{self.resource}/{self.subresource}' if self.subresource else self.resource


class Rule(msgspec.Struct, frozen=True):
    """A PolicyRule, made for questions."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: frozenset[str]
    urls: tuple[str, ...]

    @classmethod
    def of(cls, rule: dict[str, Any]) -> Rule:
        verbs, groups, resources, names = (
            frozenset(rule.get(field) or ()) for field in ('verbs', 'apiGroups', 'resources', 'resourceNames')
        )
        return cls(verbs, groups, resources, names, tuple(rule.get('nonResourceURLs') or ()))

    def allows(self, asked: Attributes) -> bool:
        if not (asked.verb in self.verbs or '*' in self.verbs):
            return False
        if asked.path:
            return any(url_matches(url, asked.path) for url in self.urls)
        if not (asked.group in self.groups or '*' in self.groups):
            return False
        if self.names and asked.name not in self.names:
            return False
        resources = self.resources
        if asked.full_resource in resources or '*' in resources:
            return True
        return bool(asked.subresource) and f'*/{asked.subresource}' in resources


def url_matches(pattern: str, path: str) -> bool:
    return pattern in ('*', path) or (pattern.endswith('*') and path.startswith(pattern.rstrip('*')))


class Bound(msgspec.Struct, frozen=True):
    """One binding; ``namespace`` is '' for a ClusterRoleBinding."""

    namespace: str
    kind: str
    role: str


class Rights(msgspec.Struct):
    """All that a user's bindings give, by namespace; '' is everywhere. ``raw`` are the rules as the roles have them."""

    rules: dict[str, list[Rule]] = msgspec.field(default_factory=dict)
    raw: dict[str, list[dict[str, Any]]] = msgspec.field(default_factory=dict)
    missing: dict[str, list[str]] = msgspec.field(default_factory=dict)
    _decided: dict[Attributes, bool] = msgspec.field(default_factory=dict)

    def allow(self, asked: Attributes) -> bool:
        decision = self._decided.get(asked)
        if decision is None:
            if len(self._decided) >= KEPT_DECISIONS:
                self._decided.clear()
            decision = self._decided[asked] = self._decide(asked)
        return decision

    def _decide(self, asked: Attributes) -> bool:
        if any(rule.allows(asked) for rule in self.rules.get('', ())):
            return True
        return bool(asked.namespace) and any(rule.allows(asked) for rule in self.rules.get(asked.namespace, ()))

    def rules_in(self, namespace: str) -> list[dict[str, Any]]:
        """The PolicyRules that count in a namespace, or at the cluster scope."""
        here = self.raw.get(namespace, []) if namespace else []
        return [*self.raw.get('', []), *here]

    def unresolved(self, namespace: str) -> str:
        """What bindings refer to and is not there, in Kubernetes' words; '' when all is."""
        errors = [*self.missing.get('', ()), *(self.missing.get(namespace, ()) if namespace else ())]
        return errors[0] if len(errors) == 1 else f'[{", ".join(errors)}]' if errors else ''


class RoleIndex:
    """``find`` gives a stored role, ``all`` the stored objects of a kind."""

    def __init__(self, find: Find, all: Callable[[Resource], Iterable[Object]]) -> None:
        self._find, self._all = find, all
        self._bound: dict[Subject, dict[tuple[str, str], Bound]] | None = None  # read at the first question
        self._rights: dict[tuple[str, tuple[str, ...]], Rights] = {}

    def changed(self, resource: Resource, old: Object | None, new: Object | None) -> None:
        """To be told of every change of a role or a binding."""
        self._rights.clear()
        if self._bound is not None and resource in (ROLEBINDINGS, CLUSTERROLEBINDINGS):
            self._index(self._bound, old, new)

    def allows(self, user: User, asked: Attributes) -> bool:
        return self.rights(user).allow(asked)

    def rights(self, user: User) -> Rights:
        key = (user.name, user.groups)
        rights = self._rights.get(key)
        if rights is None:
            if len(self._rights) >= KEPT_USERS:
                self._rights.clear()
            rights = self._rights[key] = self._collect(user)
        return rights

    def role_rules(self, kind: str, namespace: str, name: str) -> list[dict[str, Any]] | None:
        """The rules of a role; None when there is none of that name."""
        resource = ROLE_KINDS.get(kind)
        role = resource and self._find(resource, namespace, name)
        return None if not role else role.get('rules') or []

    def _collect(self, user: User) -> Rights:
        rights = Rights()
        for bound in self._bindings_of(user):
            where = bound.namespace
            rules = self.role_rules(bound.kind, where, bound.role)
            if rules is None:
                error = f'{bound.kind.lower()}.{RBAC_GROUP} "{bound.role}" not found'
                rights.missing.setdefault(where, []).append(error)
                continue
            rights.raw.setdefault(where, []).extend(rules)
            rights.rules.setdefault(where, []).extend(Rule.of(rule) for rule in rules)
        return rights

    def _bindings_of(self, user: User) -> list[Bound]:
        if self._bound is None:
            self._bound = {}
            for resource in (CLUSTERROLEBINDINGS, ROLEBINDINGS):
                for binding in self._all(resource):
                    self._index(self._bound, None, binding)
        subjects: list[Subject] = [('User', user.name), *(('Group', group) for group in user.groups)]
        found: dict[tuple[str, str], Bound] = {}
        for subject in subjects:
            found |= self._bound.get(subject, {})
        return [found[key] for key in sorted(found)]

    @staticmethod
    def _index(
        bound: dict[Subject, dict[tuple[str, str], Bound]], old: Object | None, new: Object | None
    ) -> None:
        for obj, add in ((old, False), (new, True)):
            if obj is None:
                continue
            namespace, name = obj['metadata'].get('namespace', ''), obj['metadata']['name']
            role = obj['roleRef']
            for subject in subjects_of(obj):
                if add:
                    bound.setdefault(subject, {})[namespace, name] = Bound(namespace, role['kind'], role['name'])
                else:
                    bound.get(subject, {}).pop((namespace, name), None)


def subjects_of(binding: Object) -> Iterator[Subject]:
    """A ServiceAccount is the user it is known as; in a RoleBinding its namespace may be left out."""
    for subject in binding.get('subjects') or ():
        kind, name = subject['kind'], subject['name']
        if kind == 'ServiceAccount':
            namespace = subject.get('namespace') or binding['metadata'].get('namespace', '')
            if namespace:
                yield 'User', account_username(namespace, name)
        else:
            yield kind, name
