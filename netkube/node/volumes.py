"""The volumes of a Pod: what is in them, and where they are on the machine.

ConfigMap, Secret, projected and downwardAPI volumes are files that follow their objects; emptyDir and hostPath
are directories. Source: kubernetes pkg/volume/{configmap,secret,projected,downwardapi,emptydir,hostpath}.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from netkube.api.meta import Object
from netkube.client.kubelet import words_of
from netkube.node.atomicwriter import File, Payload, write_payload
from netkube.node.downward import PodFacts, UnsupportedField, field_value, resource_value
from netkube.node.emptydir import MEMORY, make_empty_dir, refusal
from netkube.node.environment import ConfigError, Sources
from netkube.node.podspec import all_containers
from netkube.node.tokens import PodToken, TokenKey

PLUGINS = {
    'configMap': 'configmap',
    'secret': 'secret',
    'projected': 'projected',
    'downwardAPI': 'downward-api',
    'emptyDir': 'empty-dir',
}
IN_MEMORY = ('secret', 'projected', 'downwardAPI')  # never on a disk


class MountFailed(Exception):
    """The volume cannot be had (yet): FailedMount. The message is the whole event's."""


class VolumeRoots(msgspec.Struct, frozen=True):
    """Where a Pod's volumes are: on disk, and on a tmpfs."""

    disk: Path
    memory: Path

    def of(self, volume: Object) -> Path:
        """The directory of a volume; hostPath is where the user said."""
        source = source_of(volume)
        if source == 'hostPath':
            return Path(volume['hostPath']['path'])
        in_memory = source in IN_MEMORY or (volume.get('emptyDir') or {}).get('medium') == MEMORY
        root = self.memory if in_memory else self.disk
        return Path(root, 'volumes', f'kubernetes.io~{PLUGINS[source]}', volume['name'])


class VolumeContext(msgspec.Struct, frozen=True):
    """What the content of volumes is made from."""

    pod: Object
    sources: Sources
    facts: PodFacts
    tokens: Mapping[TokenKey, PodToken] = msgspec.field(default_factory=dict)


def source_of(volume: Object) -> str:
    """``configMap``, ``emptyDir``, ...; a volume that names none is an emptyDir."""
    return next((key for key in volume if key != 'name'), 'emptyDir')


def group_of(pod: Object) -> int | None:
    return (pod['spec'].get('securityContext') or {}).get('fsGroup')


def payload_of(volume: Object, context: VolumeContext) -> Payload | None:
    """The files of a volume that has its content from the API; None for the others. MountFailed when it is missing."""
    source = source_of(volume)
    try:
        match source:
            case 'configMap' | 'secret' | 'downwardAPI':
                return _project(source, volume[source], volume[source].get('defaultMode', 0o644), context)
            case 'projected':
                return _projected(volume['projected'], context)
            case 'emptyDir':
                if why := refusal(volume['emptyDir'] or {}):
                    raise MountFailed(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {why}')
                return None
            case 'hostPath':
                return None
    except (ConfigError, UnsupportedField) as error:
        raise MountFailed(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from None
    raise MountFailed(
        f'MountVolume.SetUp failed for volume "{volume["name"]}" : netkube has no volumes of type {source} yet'
    )


def _projected(projected: dict[str, Any], context: VolumeContext) -> Payload:
    mode, files = projected.get('defaultMode', 0o644), {}
    for entry in projected.get('sources') or ():
        for source, projection in entry.items():
            if source == 'serviceAccountToken':
                files[projection['path']] = _token_file(projection, mode, context)
                continue
            if source not in ('configMap', 'secret', 'downwardAPI'):
                raise ConfigError(f'netkube cannot project a {source} yet')
            files.update(_project(source, projection, mode, context))
    return files


def _token_file(projection: dict[str, Any], mode: int, context: VolumeContext) -> File:
    """For the one user, or the group, that runs all containers; else with the volume's mode (projected.go)."""
    token = context.tokens.get((projection.get('audience', ''), projection['expirationSeconds']))
    if token is None:
        raise ConfigError('failed to fetch token')
    user = user_of(context.pod)
    if user is not None or group_of(context.pod) is not None:
        mode = 0o600
    return File(token.text.encode(), mode, -1 if user is None else user)


def user_of(pod: Object) -> int | None:
    """The user that all containers run as, where all say so and agree (pkg/volume/util FsUserFrom)."""
    of_pod = (pod['spec'].get('securityContext') or {}).get('runAsUser')
    users = {(one.get('securityContext') or {}).get('runAsUser', of_pod) for one in all_containers(pod)}
    return users.pop() if len(users) == 1 else None


def _project(source: str, projection: dict[str, Any], mode: int, context: VolumeContext) -> dict[str, File]:
    if source == 'downwardAPI':
        return {item['path']: _downward_file(item, mode, context) for item in projection.get('items') or ()}
    namespace = context.pod['metadata']['namespace']
    name, optional = projection.get('secretName') or projection.get('name', ''), projection.get('optional', False)
    if source == 'configMap':
        content = _configmap_content(context.sources.configmap(namespace, name))
        kind, references = 'configmap', 'configmap references non-existent config key'
    else:
        content = _secret_content(context.sources.secret(namespace, name))
        kind, references = 'secret', 'references non-existent secret key'
    if content is None:
        if optional:
            return {}
        raise ConfigError(f'{kind} "{name}" not found')
    items = projection.get('items')
    if not items:
        return {key: File(value, mode) for key, value in content.items()}
    return dict(_chosen(items, content, mode, optional, references))


def _chosen(
    items: list[dict[str, Any]], content: dict[str, bytes], mode: int, optional: bool, references: str
) -> Iterator[tuple[str, File]]:
    for item in items:
        if item['key'] in content:
            yield item['path'], File(content[item['key']], item.get('mode', mode))
        elif not optional:
            raise ConfigError(f'{references}: {item["key"]}')


def _configmap_content(configmap: Object | None) -> dict[str, bytes] | None:
    if configmap is None:
        return None
    texts = {key: value.encode() for key, value in (configmap.get('data') or {}).items()}
    binary = {key: base64.b64decode(value) for key, value in (configmap.get('binaryData') or {}).items()}
    return texts | binary


def _secret_content(secret: Object | None) -> dict[str, bytes] | None:
    if secret is None:
        return None
    return {key: base64.b64decode(value) for key, value in (secret.get('data') or {}).items()}


def _downward_file(item: dict[str, Any], mode: int, context: VolumeContext) -> File:
    mode = item.get('mode', mode)
    if reference := item.get('fieldRef'):
        return File(field_value(context.pod, reference['fieldPath'], context.facts).encode(), mode)
    reference = item['resourceFieldRef']
    name = reference.get('containerName', '')
    container = next((c for c in all_containers(context.pod) if c['name'] == name), None)
    if container is None:
        raise ConfigError(f'container {name} not found')
    value = resource_value(container, reference['resource'], reference.get('divisor', '1'), context.facts)
    return File(value.encode(), mode)


def payloads_of(context: VolumeContext) -> dict[str, Payload | None]:
    """By volume name. MountFailed for the first that cannot be had."""
    return {volume['name']: payload_of(volume, context) for volume in context.pod['spec'].get('volumes') or ()}


def volume_directories(pod: Object, roots: VolumeRoots) -> dict[str, Path]:
    """By volume name."""
    return {volume['name']: roots.of(volume) for volume in pod['spec'].get('volumes') or ()}


def write_volumes(pod: Object, payloads: dict[str, Payload | None], roots: VolumeRoots, now: datetime) -> None:
    """Blocking. Each volume's directory is there, with what it should hold. MountFailed: the first that cannot be.

    hostPath volumes have ``check_host_paths``, which may wait.
    """
    for volume in pod['spec'].get('volumes') or ():
        try:
            _write_volume(volume, payloads[volume['name']], pod, roots, now)
        except OSError as error:
            where = f'{error.filename}: ' if error.filename else ''
            raise MountFailed(
                f'MountVolume.SetUp failed for volume "{volume["name"]}" : {where}{words_of(error)}'
            ) from error


def _write_volume(volume: Object, payload: Payload | None, pod: Object, roots: VolumeRoots, now: datetime) -> None:
    if payload is not None:
        write_payload(roots.of(volume), payload, now, group=group_of(pod))
    elif source_of(volume) == 'emptyDir':
        make_empty_dir(volume['emptyDir'] or {}, roots.of(volume), pod)
