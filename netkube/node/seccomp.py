"""Which system calls a container may make: its ``seccompProfile``, compiled once and kept as a file for the runtime."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from netkube.api.meta import Object

RUNTIME_DEFAULT, LOCALHOST = 'RuntimeDefault', 'Localhost'



class ProfileError(Exception):
    """The profile cannot be had; the message is the whole reason."""


def profile_of(pod: Object, container: Object) -> dict[str, Any] | None:
    """The container's, or else the Pod's; None is unconfined, which a privileged container always is."""
    security = container.get('securityContext') or {}
    profile = security.get('seccompProfile') or (pod['spec'].get('securityContext') or {}).get('seccompProfile')
    confined = profile is not None and profile.get('type') in (RUNTIME_DEFAULT, LOCALHOST)
    return profile if confined and not security.get('privileged') else None


class SeccompFilters:
    """``profiles`` is where Localhost profiles are looked for, ``compiled`` a directory of ours."""

    def __init__(self, profiles: Path, compiled: Path) -> None:
        self._profiles, self._compiled = profiles, compiled
        self._defaults: dict[frozenset[str], str] = {}

    async def path_for(self, pod: Object, container: Object, capabilities: Collection[str]) -> str:
        """The file of the filter, '' for none. ProfileError."""
        profile = profile_of(pod, container)
        if profile is None:
            return ''
        if profile['type'] == LOCALHOST:
            return await asyncio.to_thread(self._local, profile['localhostProfile'])
        key = frozenset(capabilities)
        if key not in self._defaults:
            self._defaults[key] = await asyncio.to_thread(self._default, key)
        return self._defaults[key]

    def _default(self, capabilities: frozenset[str]) -> str:
        from netkube.node.seccompdefault import default_profile
        from netkube.node.seccompfilter import known_calls

        return self._ensure(default_profile(known_calls(), capabilities))

    def _local(self, name: str) -> str:
        """Read each time: a changed profile counts for containers to come."""
        path = self._profiles / name
        try:
            return self._ensure(json.loads(path.read_bytes()))
        except OSError as error:
            words = (error.strerror or '').lower()
            raise ProfileError(f'cannot load seccomp profile "{path}": open {path}: {words}') from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            failed = f'cannot load seccomp profile "{path}": decoding seccomp profile failed'
            raise ProfileError(f'{failed}: {error}') from None

    def _ensure(self, profile: dict[str, Any]) -> str:
        digest = hashlib.sha256(json.dumps(profile, sort_keys=True).encode()).hexdigest()
        path = self._compiled / f'{digest}.bpf'
        if not path.exists():
            from netkube.node.seccompfilter import compile_profile

            program = compile_profile(profile)
            self._compiled.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(f'.{os.getpid()}')
            temporary.write_bytes(program)
            os.replace(temporary, path)
        return str(path)
