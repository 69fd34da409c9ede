"""What the runtime is asked to run for one container: pure but for resolving subPaths, which are links on disk."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from netkube.api.meta import Object
from netkube.node.environment import ConfigError, command_line
from netkube.node.expansion import expand, references_in
from netkube.node.plan import StartContainer
from netkube.node.podspec import IMAGE_ANNOTATION, RESTARTS_ANNOTATION, ROOT_ANNOTATION, ROUND_ANNOTATION, stop_signal
from netkube.runtime.credentials import CAPABILITIES
from netkube.runtime.cri import (
    BIDIRECTIONAL,
    DEFAULT_CAPABILITIES,
    HOST_TO_CONTAINER,
    MERGE,
    PRIVATE,
    STRICT,
    ContainerConfig,
    LinuxContainerResources,
    Mount,
)

UNLIMITED = LinuxContainerResources()
TERMINATION_LOG = '/dev/termination-log'
PROPAGATIONS = {'None': PRIVATE, 'HostToContainer': HOST_TO_CONTAINER, 'Bidirectional': BIDIRECTIONAL}

# Volumes that containers may read only: we write there with all rights, so no link of theirs must be in the way
# (CVE-2017-1002102).
WRITTEN_BY_US = frozenset(('configMap', 'secret', 'downwardAPI', 'projected'))


class PodFiles(msgspec.Struct, frozen=True):
    """Where the files of a Pod are on the machine."""

    hosts: Path
    resolv_conf: Path
    volumes: Mapping[str, Path]


def container_id(pod_uid: str, name: str, attempt: int) -> str:
    """64 hexadecimal digits, always the same: an attempt cannot be created twice."""
    return hashlib.sha256(f'{pod_uid}/{name}/{attempt}'.encode()).hexdigest()


def container_config(
    pod: Object,
    container: Object,
    start: StartContainer,
    variables: Mapping[str, str],
    files: PodFiles,
    *,
    hostname: str,
    log_path: Path,
    hide: tuple[str, ...] = (),
    rootfs: str = '',
    seccomp: str = '',
    resources: LinuxContainerResources = UNLIMITED,
) -> ContainerConfig:
    """ConfigError when something it names is missing."""
    security = {**(pod['spec'].get('securityContext') or {}), **(container.get('securityContext') or {})}
    _check_user(pod, container, security)
    return ContainerConfig(
        id=container_id(pod['metadata']['uid'], container['name'], start.attempt),
        sandbox_id=pod['metadata']['uid'],
        name=container['name'],
        attempt=start.attempt,
        argv=command_line(container, variables),
        env={'HOSTNAME': hostname, **variables},
        working_dir=container.get('workingDir', ''),
        mounts=tuple(_mounts(pod, container, variables, files)),
        log_path=str(log_path),
        hostname=hostname,
        user=security.get('runAsUser'),
        group=security.get('runAsGroup'),
        supplemental_groups=_groups(security),
        supplemental_groups_policy=STRICT if security.get('supplementalGroupsPolicy') == 'Strict' else MERGE,
        capabilities=capabilities_of(container),
        privileged=security.get('privileged', False),
        seccomp=seccomp,
        no_new_privileges=security.get('allowPrivilegeEscalation') is False,
        read_only_root=security.get('readOnlyRootFilesystem', False),
        hide=hide,
        rootfs=rootfs,
        termination_log=container.get('terminationMessagePath', TERMINATION_LOG),
        stdin=container.get('stdin', False),
        stdin_once=container.get('stdinOnce', False),
        tty=container.get('tty', False),
        resources=resources,
        stop_signal=stop_signal(container),
        annotations={
            IMAGE_ANNOTATION: container.get('image', ''),
            RESTARTS_ANNOTATION: str(start.restarts),
            ROUND_ANNOTATION: str(start.round),
            **({ROOT_ANNOTATION: rootfs} if rootfs else {}),
        },
    )


def capabilities_of(container: Object) -> tuple[str, ...]:
    security = container.get('securityContext') or {}
    return CAPABILITIES if security.get('privileged') else capabilities(security.get('capabilities') or {})


def capabilities(wanted: Mapping[str, Any]) -> tuple[str, ...]:
    """The runtimes' default set, less ``drop``, and ``add``; ALL drops everything first."""
    drop = {_capability(name) for name in wanted.get('drop') or ()}
    add = [_capability(name) for name in wanted.get('add') or ()]
    if 'ALL' in add:
        return tuple(name for name in CAPABILITIES if name not in drop)
    kept = () if 'ALL' in drop else tuple(name for name in DEFAULT_CAPABILITIES if name not in drop)
    return (*kept, *(name for name in dict.fromkeys(add) if name not in kept))


def _capability(name: str) -> str:
    return name.upper().removeprefix('CAP_')


def _groups(security: Mapping[str, Any]) -> tuple[int, ...]:
    groups = list(security.get('supplementalGroups') or ())
    if security.get('fsGroup') is not None:
        groups.append(security['fsGroup'])
    return tuple(dict.fromkeys(groups))


def _check_user(pod: Object, container: Object, security: Mapping[str, Any]) -> None:
    """runAsNonRoot; without an image, who is not said to be someone is root."""
    if not security.get('runAsNonRoot') or security.get('runAsUser'):
        return
    metadata = pod['metadata']
    who = f'(pod: "{metadata["name"]}_{metadata["namespace"]}({metadata["uid"]})", container: {container["name"]})'
    if security.get('runAsUser') == 0:
        raise ConfigError(f"container's runAsUser breaks non-root policy {who}")
    raise ConfigError(f'container has runAsNonRoot and image will run as root {who}')


def _mounts(pod: Object, container: Object, variables: Mapping[str, str], files: PodFiles) -> list[Mount]:
    own = {mount['mountPath'].rstrip('/'): mount for mount in container.get('volumeMounts') or ()}
    mounts = [
        Mount(str(path), target)
        for target, path in (('/etc/hosts', files.hosts), ('/etc/resolv.conf', files.resolv_conf))
        if target not in own
    ]
    ours = {volume['name'] for volume in pod['spec'].get('volumes') or () if WRITTEN_BY_US & volume.keys()}
    for target, mount in sorted(own.items(), key=lambda item: item[0].count('/')):
        propagation = PROPAGATIONS[mount.get('mountPropagation') or 'None']
        source, within = _source(mount, variables, files)
        read_only = mount.get('readOnly', False) or mount['name'] in ours
        mounts.append(Mount(str(source), target or '/', read_only, propagation, within))
    return mounts


def _source(mount: Mapping[str, Any], variables: Mapping[str, str], files: PodFiles) -> tuple[Path, str]:
    """And the directory that it must be in when the runtime opens it."""
    directory = files.volumes.get(mount['name'])
    if directory is None:
        raise ConfigError(f'cannot find volume "{mount["name"]}" to mount')
    sub_path = mount.get('subPath') or _expanded_sub_path(mount.get('subPathExpr', ''), variables)
    return (resolve_sub_path(directory, sub_path), os.path.realpath(directory)) if sub_path else (directory, '')


def _expanded_sub_path(expression: str, variables: Mapping[str, str]) -> str:
    """Unlike a command's, all its variables must be there, and must not be empty."""
    missing = sorted({name for name in references_in(expression) if not variables.get(name)})
    if missing:
        raise ConfigError(f'missing value for {", ".join(missing)}')
    sub_path = expand(expression, variables)
    if sub_path.startswith('/'):
        raise ConfigError(f'error SubPath `{sub_path}` must not be an absolute path')
    return sub_path


def resolve_sub_path(directory: Path, sub_path: str) -> Path:
    """The file or directory itself, made if missing; a link that leads out of the volume is refused."""
    path, root = os.path.realpath(directory / sub_path), os.path.realpath(directory)
    if sub_path.startswith('/') or not (path + '/').startswith(root + '/'):
        raise ConfigError(f'subPath "{sub_path}" is not inside its volume')
    if not os.path.exists(path):
        _make_beneath(root, os.path.relpath(path, root))
    return Path(path)


def _make_beneath(root: str, path: str) -> None:
    """With the volume's own mode, as the kubelet; never through a link that a container makes meanwhile."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    at = os.open(root, flags)
    mode = stat.S_IMODE(os.fstat(at).st_mode)
    try:
        for part in path.split('/'):
            made = _make_directory(part, at)
            below = os.open(part, flags, dir_fd=at)
            os.close(at)
            at = below
            if made:
                os.fchmod(at, mode)
    except OSError as error:
        raise ConfigError(f'failed to create subPath directory "{path}": {error.strerror}') from None
    finally:
        os.close(at)


def _make_directory(name: str, at: int) -> bool:
    """Whether it was not there."""
    try:
        os.mkdir(name, dir_fd=at)
    except FileExistsError:
        return False
    return True
