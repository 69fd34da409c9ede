"""What runs in place of an image: a table of image patterns, which users keep in a ConfigMap.

``kube-system/netkube-images``, key ``images.yaml``::

    - match: "nginx*"                 # or a list; the first entry that matches counts
      entrypoint: [nginx]             # as the image's: ``command`` overrides it, and ``cmd`` with it
      cmd: [-g, "daemon off;"]        # ``args`` overrides it
      env: {LANG: C.UTF-8}            # weaker than all that the Pod says
      workingDir: /srv
      user: "33:33"                   # for a Pod that names no user; numbers, or names of this machine
      rootfs: /srv/images/nginx       # a directory that is the root, instead of the machine's own files

A pattern is compared with the image as written, without its tag or digest, and without ``docker.io/library/``.
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from netkube.api.meta import Key, Object

IMAGES: Key = ('kube-system', 'netkube-images')
FILE = 'images.yaml'
DEFAULT_REGISTRY = ('docker.io/library/', 'docker.io/')
CONTAINER_LISTS = ('initContainers', 'containers')


class ImagesError(ValueError):
    """The table is not one; the text says where and why."""


class Program(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename='camel'):
    """One entry."""

    match: str | list[str]
    entrypoint: list[str] = []
    cmd: list[str] = []
    env: dict[str, str] = {}
    working_dir: str = ''
    user: int | str = ''
    rootfs: str = ''

    def matches(self, image: str) -> bool:
        patterns = [self.match] if isinstance(self.match, str) else self.match
        return any(fnmatchcase(name, pattern) for name in names_of(image) for pattern in patterns)


def parse_images(text: str) -> tuple[Program, ...]:
    """ImagesError."""
    import yaml  # 20 ms of each start

    try:
        programs = msgspec.convert(yaml.safe_load(text) or [], tuple[Program, ...])
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ImagesError(' '.join(str(error).split())) from None
    for number, program in enumerate(programs):
        _check(program, number)
    return programs


def _check(program: Program, number: int) -> None:
    if not program.match:
        raise ImagesError(f'entry {number}: match is empty')
    if program.rootfs and not program.rootfs.startswith('/'):
        raise ImagesError(f'entry {number}: rootfs "{program.rootfs}" is not an absolute path')
    try:
        user_of(program.user)
    except (KeyError, ValueError):
        raise ImagesError(f'entry {number}: there is no user "{program.user}" on this machine') from None


def names_of(image: str) -> Iterator[str]:
    """As written, without its tag or digest, and both without the registry that is meant when there is none."""
    bare = image.split('@')[0]
    if ':' in bare.rpartition('/')[2]:
        bare = bare.rpartition(':')[0]
    for name in (image, bare):
        yield name
        for prefix in DEFAULT_REGISTRY:
            if name.startswith(prefix):
                yield name.removeprefix(prefix)


def find_program(programs: Iterable[Program], image: str) -> Program | None:
    return next((program for program in programs if program.matches(image)), None)


def with_programs(pod: Object, programs: Iterable[Program]) -> Object:
    """The Pod as if it had said itself what its images say; the same object when none is in the table."""
    spec: Object = pod['spec']
    changed = {}
    for name in CONTAINER_LISTS:
        containers = spec.get(name) or []
        resolved = [_resolved(container, spec, programs) for container in containers]
        if any(new is not old for new, old in zip(resolved, containers, strict=True)):
            changed[name] = resolved
    return {**pod, 'spec': {**spec, **changed}} if changed else pod


def _resolved(container: Object, spec: Object, programs: Iterable[Program]) -> Object:
    program = find_program(programs, container.get('image', ''))
    if program is None:
        return container
    said = {key: value for key, value in container.items() if value or key == 'securityContext'}
    own: dict[str, Any] = {'command': [_literal(word) for word in program.entrypoint]}
    if not said.get('command'):
        own['args'] = [_literal(word) for word in program.cmd]
    if program.working_dir:
        own['workingDir'] = program.working_dir
    env = [{'name': name, 'value': _literal(value)} for name, value in program.env.items()]
    security = _security(container, spec, program)
    env += container.get('env') or []
    resolved = own | said | {'env': env} | ({'securityContext': security} if security else {})
    if not resolved['command'] and resolved.get('args'):  # an image without an entrypoint
        resolved['command'] = resolved.pop('args')
    return resolved


def _security(container: Object, spec: Object, program: Program) -> Object:
    pods, own = spec.get('securityContext') or {}, container.get('securityContext') or {}
    if program.user == '' or 'runAsUser' in {**pods, **own}:
        return dict(own)
    user, group = user_of(program.user)
    return {'runAsUser': user, **({} if group is None else {'runAsGroup': group}), **own}


def user_of(text: int | str) -> tuple[int, int | None]:
    """User and group of ``USER[:GROUP]``. KeyError for a name that there is not."""
    user, _, group = str(text or 0).partition(':')
    uid = int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid
    if not group:
        return uid, None
    return uid, int(group) if group.isdigit() else grp.getgrnam(group).gr_gid


def _literal(text: str) -> str:
    """An image's words are not expanded as a Pod's are."""
    return text.replace('$', '$$')
