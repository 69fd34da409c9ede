"""/healthz, /livez and /readyz: all checks together, each by its own path, and what each says (``?verbose``).

https://kubernetes.io/docs/reference/using-api/health-checks/
"""

from __future__ import annotations

from collections.abc import Callable

from netkube.api.errors import no_such_path
from netkube.apiserver.request import Request
from netkube.apiserver.response import TEXT, Response
from netkube.apiserver.storage import Storage
from netkube.store.errors import Failed

PATHS = ('/healthz', '/livez', '/readyz')
Check = Callable[[Storage], str]


def _ping(storage: Storage) -> str:
    return ''


def _storage(storage: Storage) -> str:
    """The log takes writes."""
    try:
        storage.store.check_alive()
    except Failed as error:
        return str(error)
    return ''


# Each gives its fault, '' when it is well. The names are kube-apiserver's where the meaning is the same.
CHECKS: dict[str, Check] = {'ping': _ping, 'log': _ping, 'etcd': _storage}


def find_check(path: str) -> tuple[str, str] | None:
    """(/readyz, etcd) of /readyz/etcd; the check is '' for all of them."""
    root, _, name = path.rstrip('/')[1:].partition('/')
    return (root, name) if f'/{root}' in PATHS else None


def health(request: Request, storage: Storage, root: str, name: str) -> Response:
    """200 or 500. ApiError 404 for a check that does not exist."""
    if name and name not in CHECKS:
        raise no_such_path()
    excluded = set(request.query.get('exclude', ()))
    checks = [name] if name else [one for one in CHECKS if one not in excluded]
    faults = {one: CHECKS[one](storage) for one in checks}
    failed = any(faults.values())
    if not failed and ('verbose' not in request.query or name):
        return Response(b'ok', content_type=TEXT)
    lines = [f'[-]{one} failed: {fault}' if fault else f'[+]{one} ok' for one, fault in faults.items()]
    lines += [f'[+]{one} excluded: ok' for one in CHECKS if one in excluded and not name]
    lines.append(f'{root} check {"failed" if failed else "passed"}')
    return Response(('\n'.join(lines) + '\n').encode(), 500 if failed else 200, TEXT)
