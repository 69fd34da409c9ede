"""Who a request comes from, and whose request is being served."""

from __future__ import annotations

from contextvars import ContextVar

import msgspec

MASTERS, AUTHENTICATED, UNAUTHENTICATED = 'system:masters', 'system:authenticated', 'system:unauthenticated'
SERVICE_ACCOUNTS = 'system:serviceaccounts'
CREDENTIAL_ID = 'authentication.kubernetes.io/credential-id'
_ACCOUNT_PREFIX = 'system:serviceaccount:'


class User(msgspec.Struct, frozen=True):
    """``extra`` is what the authenticator knows besides, for example the Pod that a token is bound to."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ''
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def info(self) -> dict[str, object]:
        """``authentication/v1`` UserInfo."""
        info: dict[str, object] = {'username': self.name}
        if self.uid:
            info['uid'] = self.uid
        info['groups'] = list(self.groups)
        if self.extra:
            info['extra'] = {key: list(values) for key, values in self.extra}
        return info


ANONYMOUS = User('system:anonymous', (UNAUTHENTICATED,))

# Whose request this is; None for the components of the cluster itself, which may do everything.
requester: ContextVar[User | None] = ContextVar('requester', default=None)


def account_username(namespace: str, name: str) -> str:
    return f'{_ACCOUNT_PREFIX}{namespace}:{name}'


def account_groups(namespace: str) -> tuple[str, ...]:
    return SERVICE_ACCOUNTS, f'{SERVICE_ACCOUNTS}:{namespace}'


def split_account(username: str) -> tuple[str, str] | None:
    """Namespace and name of a ServiceAccount; None when it is another user's name."""
    namespace, colon, name = username.removeprefix(_ACCOUNT_PREFIX).partition(':')
    is_account = username.startswith(_ACCOUNT_PREFIX) and colon and namespace and name and ':' not in name
    return (namespace, name) if is_account else None
