"""What of a Pod's use of the disk is too much, in the kubelet's words."""

from __future__ import annotations

from typing import Any

import pytest
from pods import container, pod

from netkube.api.meta import Object
from netkube.node.localstorage import StorageUsage, excess, storage_limits

MIB = 2**20


def limited(name: str, limit: str, **fields: Any) -> Object:
    return container(name, resources={'limits': {'ephemeral-storage': limit}}, **fields)


def empty_dir(name: str, **source: Any) -> Object:
    return {'name': name, 'emptyDir': source}


@pytest.mark.parametrize(
    'one',
    [
        pod(),
        pod(volumes=[empty_dir('v'), {'name': 'c', 'configMap': {'name': 'c'}}]),
        pod(volumes=[empty_dir('v', sizeLimit='0')]),
        pod(volumes=[empty_dir('v', sizeLimit='1Mi', medium='Memory')]),
        pod(container(resources={'limits': {'memory': '1Mi'}, 'requests': {'ephemeral-storage': '1Mi'}})),
    ],
    ids=['plain', 'volumes without a limit', '0 is none', 'a tmpfs limits itself', 'a request is none'],
)
def test_a_pod_without_limits_is_not_measured(one: Object):
    assert storage_limits(one) is None


@pytest.mark.parametrize(
    'one, volumes, containers, message',
    [
        (pod(volumes=[empty_dir('v', sizeLimit='1Mi')]), {'v': MIB}, {'c': 9 * MIB}, ''),
        (pod(volumes=[empty_dir('u'), empty_dir('v', sizeLimit='1Mi')]), {'u': 9 * MIB, 'v': MIB + 1}, {},
         'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '),
        (pod(limited('a', '1Mi'), limited('b', '2Mi')), {}, {'a': MIB, 'b': 2 * MIB}, ''),
        (pod(limited('a', '1Mi'), limited('b', '2Mi')), {}, {'a': MIB + 1},
         'Container a exceeded its local ephemeral storage limit "1Mi". '),
        (pod(limited('a', '1Mi'), limited('b', '2Mi')), {'v': 3 * MIB}, {'a': 1},
         'Pod ephemeral local storage usage exceeds the total limit of containers 3Mi. '),
        (pod(limited('a', '1M'), container('b')), {}, {'b': MIB},
         'Pod ephemeral local storage usage exceeds the total limit of containers 1M. '),
        (pod(limited('a', '1Gi'), initContainers=[limited('i', '3Gi'), limited('s', '1Gi', restartPolicy='Always')]),
         {'v': 3 * 2**30 + 1}, {}, 'Pod ephemeral local storage usage exceeds the total limit of containers 3Gi. '),
    ],
    ids=['as much as it may', 'a volume', 'containers', 'one container', 'together', 'one without a limit', 'init'],
)  # fmt: skip
def test_excess(one: Object, volumes: dict[str, int], containers: dict[str, int], message: str):
    limits = storage_limits(one)
    assert limits is not None
    assert excess(limits, StorageUsage(volumes, containers)) == message
