"""What is in volumes, and how it changes on disk."""

from __future__ import annotations

import base64
import os
import socket
from pathlib import Path

import pytest
from pods import NOW, container, pod

from netkube.node.atomicwriter import File, write_payload
from netkube.node.downward import PodFacts
from netkube.node.environment import Sources
from netkube.node.hostfiles import HostFiles
from netkube.node.hostpath import check_host_paths
from netkube.node.volumes import MountFailed, VolumeContext, VolumeRoots, payload_of, write_volumes

FACTS = PodFacts(('10.0.0.1',), ('10.1.0.2',), 'node-1', {})
BINARY = {'c': base64.b64encode(b'\xff').decode()}
CONFIGMAPS = {('ns', 'settings'): {'data': {'a': '1', 'b': '2'}, 'binaryData': BINARY}}
SECRETS = {('ns', 'key'): {'data': {'word': base64.b64encode(b'xyzzy').decode()}}}
SOURCES = Sources(lambda *key: CONFIGMAPS.get(key), lambda *key: SECRETS.get(key))
POD = pod(container(resources={'limits': {'cpu': '2'}}))
POD['metadata']['labels'] = {'app': 'k'}


def content(**volume):
    payload = payload_of({'name': 'v', **volume}, VolumeContext(POD, SOURCES, FACTS))
    return None if payload is None else {path: (file.content, file.mode) for path, file in payload.items()}


LABELS = {'path': 'labels', 'fieldRef': {'fieldPath': 'metadata.labels'}}
CPU = {'path': 'cpu', 'mode': 0o600, 'resourceFieldRef': {'containerName': 'c', 'resource': 'limits.cpu'}}


@pytest.mark.parametrize(
    'volume, expected',
    [
        ({'configMap': {'name': 'settings'}}, {'a': (b'1', 0o644), 'b': (b'2', 0o644), 'c': (b'\xff', 0o644)}),
        ({'configMap': {'name': 'settings', 'defaultMode': 0o400, 'items': [
            {'key': 'a', 'path': 'x/y'}, {'key': 'b', 'path': 'z', 'mode': 0o777}]}},
         {'x/y': (b'1', 0o400), 'z': (b'2', 0o777)}),
        ({'configMap': {'name': 'no', 'optional': True}}, {}),
        ({'configMap': {'name': 'settings', 'optional': True, 'items': [{'key': 'no', 'path': 'p'}]}}, {}),
        ({'secret': {'secretName': 'key'}}, {'word': (b'xyzzy', 0o644)}),
        ({'downwardAPI': {'items': [LABELS, CPU]}}, {'labels': (b'app="k"', 0o644), 'cpu': (b'2', 0o600)}),
        ({'projected': {'defaultMode': 0o440, 'sources': [
            {'configMap': {'name': 'settings', 'items': [{'key': 'a', 'path': 'a'}]}}, {'secret': {'name': 'key'}},
            {'downwardAPI': {'items': [LABELS]}}]}},
         {'a': (b'1', 0o440), 'word': (b'xyzzy', 0o440), 'labels': (b'app="k"', 0o440)}),
        ({'emptyDir': {}}, None),
        ({'hostPath': {'path': '/x'}}, None),
    ],
)  # fmt: skip
def test_content(volume, expected):
    assert content(**volume) == expected


@pytest.mark.parametrize(
    'volume, message',
    [
        ({'configMap': {'name': 'no'}}, 'configmap "no" not found'),
        ({'secret': {'secretName': 'no'}}, 'secret "no" not found'),
        ({'configMap': {'name': 'settings', 'items': [{'key': 'no', 'path': 'p'}]}},
         'configmap references non-existent config key: no'),
        ({'secret': {'secretName': 'key', 'items': [{'key': 'no', 'path': 'p'}]}},
         'references non-existent secret key: no'),
        ({'projected': {'sources': [{'serviceAccountToken': {'path': 't', 'expirationSeconds': 3600}}]}},
         'failed to fetch token'),
        ({'projected': {'sources': [{'clusterTrustBundle': {'path': 't'}}]}},
         'netkube cannot project a clusterTrustBundle yet'),
        ({'nfs': {'server': 's', 'path': '/'}}, 'netkube has no volumes of type nfs yet'),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_said(volume, message):
    with pytest.raises(MountFailed) as error:
        content(**volume)
    assert str(error.value) == f'MountVolume.SetUp failed for volume "v" : {message}'


def files(directory: Path) -> dict[str, bytes]:
    """As a reader sees them: without what begins with two dots."""
    shown = (path for path in directory.iterdir() if not path.name.startswith('..'))
    return {path.name: path.read_bytes() for path in shown if path.is_file()}


def test_all_files_change_at_once(tmp_path):
    volume = tmp_path / 'v'
    assert write_payload(volume, {'a': File(b'1', 0o644), 'b': File(b'1', 0o644)}, NOW)
    before = os.readlink(volume / '..data')
    reader = os.open(volume / '..data', os.O_RDONLY)
    assert write_payload(volume, {'a': File(b'2', 0o600), 'c': File(b'2', 0o644)}, NOW)
    assert files(volume) == {'a': b'2', 'c': b'2'}
    assert os.readlink(volume / '..data') != before and not (volume / before).exists()
    assert os.readlink(volume / 'a') == '..data/a' and (volume / 'a').stat().st_mode & 0o777 == 0o600
    os.close(reader)


def test_nothing_is_written_when_nothing_changed(tmp_path):
    payload = {'a': File(b'1', 0o644), 'deep/er': File(b'', 0o644)}
    assert write_payload(tmp_path, payload, NOW)
    before = os.readlink(tmp_path / '..data')
    assert not write_payload(tmp_path, payload, NOW)
    assert os.readlink(tmp_path / '..data') == before
    assert (tmp_path / 'deep' / 'er').exists()


def test_a_volume_can_become_empty(tmp_path):
    write_payload(tmp_path, {'a': File(b'1', 0o644)}, NOW)
    write_payload(tmp_path, {}, NOW)
    assert files(tmp_path) == {}


def mount(tmp_path: Path, spec: dict | None = None, **volume) -> Path:
    one = pod(volumes=[{'name': 'v', **volume}], **(spec or {}))
    roots = VolumeRoots(tmp_path / 'disk', tmp_path / 'memory')
    context = VolumeContext(one, SOURCES, FACTS)
    write_volumes(one, {'v': payload_of(one['spec']['volumes'][0], context)}, roots, NOW)
    return roots.of(one['spec']['volumes'][0])


def test_an_empty_dir_belongs_to_everyone_and_keeps_its_content(tmp_path):
    directory = mount(tmp_path, emptyDir={})
    assert directory.stat().st_mode & 0o7777 == 0o777
    (directory / 'x').touch()
    assert (mount(tmp_path, emptyDir={}) / 'x').exists()


@pytest.mark.parametrize(
    'volume, place',
    [
        ({'emptyDir': {'medium': 'Memory'}}, 'memory'),
        ({'secret': {'secretName': 'key'}}, 'memory'),
        ({'emptyDir': {}}, 'disk'),
        ({'configMap': {'name': 'settings'}}, 'disk'),
    ],
)
def test_secrets_stay_in_memory(tmp_path, volume, place):
    assert mount(tmp_path, **volume).is_relative_to(tmp_path / place)


def test_fs_group_owns_the_files(tmp_path):
    secret = {'secretName': 'key', 'defaultMode': 0o400}
    directory = mount(tmp_path, {'securityContext': {'fsGroup': 1234}}, secret=secret)
    status = (directory / 'word').stat()
    assert (status.st_gid, status.st_mode & 0o777) == (1234, 0o440)


async def test_host_path_types(tmp_path):
    (tmp_path / 'file').touch()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / 'socket'))

    async def check(name, wanted):
        volume = {'name': 'v', 'hostPath': {'path': str(tmp_path / name), 'type': wanted}}
        return await check_host_paths(pod(volumes=[volume]), HostFiles())

    good = {'file': 'File', '.': 'Directory', 'socket': 'Socket', 'new': 'DirectoryOrCreate', 'new2': 'FileOrCreate'}
    for name, wanted in {**good, 'made': ''}.items():
        assert await check(name, wanted) == '' and (tmp_path / name).exists()
    bad = (('file', 'Directory', 'directory'), ('no', 'File', 'file'), ('file', 'BlockDevice', 'block device'))
    for name, wanted, words in bad:
        why = f'hostPath type check failed: {tmp_path / name} is not a {words}'
        assert await check(name, wanted) == f'MountVolume.SetUp failed for volume "v" : {why}'
