"""Impersonate-User and its companions: acting as somebody else, for those who may.

k8s.io/apiserver endpoints/filters/impersonation. The verb is ``impersonate``, on users, groups, serviceaccounts, uids
and userextras.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from netkube.api.errors import bad_request
from netkube.apiserver.authorization import authorize
from netkube.apiserver.rbac import Attributes, RoleIndex
from netkube.apiserver.user import (
    ANONYMOUS,
    AUTHENTICATED,
    UNAUTHENTICATED,
    User,
    account_groups,
    split_account,
)

AUTHENTICATION = 'authentication.k8s.io'
PREFIX, EXTRA = b'impersonate-', b'impersonate-extra-'

RawHeaders = list[tuple[bytes, bytes]]


def impersonated(index: RoleIndex, user: User, headers: RawHeaders) -> User:
    """Whom the request is to be made as; ``user`` when it does not say. ApiError 400, 403."""
    asked = [(name, value.decode('latin-1')) for name, value in headers if name.startswith(PREFIX)]
    if not asked:
        return user
    wanted = _wanted(asked)
    for attributes in _questions(wanted, any(name == b'impersonate-group' for name, _ in asked)):
        authorize(index, user, attributes)
    return wanted


def _wanted(asked: list[tuple[bytes, str]]) -> User:
    values: dict[bytes, list[str]] = {}
    for header, value in asked:
        values.setdefault(header, []).append(value)
    name = next(iter(values.get(b'impersonate-user', ())), '')
    if not name:
        given = ', '.join(sorted(key.decode('latin-1').title() for key in values))
        raise bad_request(f'requested [{given}] without impersonating a user name')
    groups = tuple(values.get(b'impersonate-group', ()))
    extra = {unquote(key.removeprefix(EXTRA).decode('latin-1')).lower(): tuple(found)
             for key, found in values.items() if key.startswith(EXTRA)}  # fmt: skip
    uid = next(iter(values.get(b'impersonate-uid', ())), '')
    return User(name, _completed(name, groups), uid, tuple(sorted(extra.items())))


def _completed(name: str, groups: tuple[str, ...]) -> tuple[str, ...]:
    """The groups that everyone of that kind is in."""
    account = split_account(name)
    if account and not groups:
        groups = account_groups(account[0])
    if AUTHENTICATED in groups or UNAUTHENTICATED in groups:
        return groups
    return (*groups, UNAUTHENTICATED if name == ANONYMOUS.name else AUTHENTICATED)


def _questions(wanted: User, asked_for_groups: bool) -> Iterator[Attributes]:
    account = split_account(wanted.name)
    if account:
        yield Attributes('impersonate', '', 'serviceaccounts', '', *account)
    else:
        yield Attributes('impersonate', '', 'users', name=wanted.name)
    if asked_for_groups:
        for group in wanted.groups:
            if group not in (AUTHENTICATED, UNAUTHENTICATED):
                yield Attributes('impersonate', '', 'groups', name=group)
    if wanted.uid:
        yield Attributes('impersonate', AUTHENTICATION, 'uids', name=wanted.uid)
    for key, values in wanted.extra:
        for value in values:
            yield Attributes('impersonate', AUTHENTICATION, 'userextras', key, name=value)
