"""The disk under a cluster's state is full: the cluster refuses what needs room, goes on with the rest, and heals."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netkube.api.errors import ApiError
from netkube.api.resources import CONFIGMAPS, NAMESPACES, PODS, Resource
from netkube.cli.connection import Connection
from netkube.cluster.config import RUN_ROOT
from netkube.testing import Cluster, CommandError, eventually
from netkube.testing.objects import container, pod

NO_SPACE = 'etcdserver: mvcc: database space exceeded'
TALKS = container('sh', '-c', 'while :; do echo x; sleep 0.01; done')
FILLS = container('sh', '-c', 'cat /dev/zero > /var/filler; sleep 1000')


@pytest.fixture
def small(own: Cluster) -> Iterator[Cluster]:
    """A cluster whose state is on a disk of 32 MiB."""
    folder = Path(own.state_dir).parent
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=32m', 'tmpfs', str(folder)], check=True)
    try:
        own.up()
        yield own
    finally:
        own.down('--purge')
        subprocess.run(['umount', '--lazy', str(folder)], check=True)


def create(api: Connection, resource: Resource, name: str, **fields: Any) -> None:
    namespace = 'default' if resource.namespaced else ''
    api.create(resource.path(namespace), {'metadata': {'name': name}, **fields})


async def test_a_full_disk_ends_nothing(small: Cluster):
    pids, numbers, api = small.pids(), itertools.count(), Connection(RUN_ROOT / small.name / 'api.sock')
    small.apply(pod('talker', TALKS), pod('filler', FILLS))

    def is_refused() -> bool:
        """Until the disk is full it is not, and some room may be left in files that are there."""
        with pytest.raises(ApiError, match=NO_SPACE) as refused:
            create(api, CONFIGMAPS, f'big{next(numbers)}', data={'x': 'y' * 900_000})
        return refused.value.code == 500

    await eventually(is_refused)
    # Refused before it changes anything, from now on; reading, logs and exec go on.
    with pytest.raises(CommandError, match=f'Error from server: {NO_SPACE}'):
        small.kubectl('create', 'namespace', 'late')
    assert api.get(PODS.path('default', 'talker'))['status']['phase'] == 'Running'
    assert small('logs', 'talker', '--tail=1') == 'x\n'

    # A deletion takes effect, and makes room.
    with contextlib.suppress(ApiError):
        api.delete(PODS.path('default', 'filler'), {'gracePeriodSeconds': 1})

    def is_allowed() -> bool:
        with contextlib.suppress(ApiError):
            create(api, NAMESPACES, f'late{next(numbers)}')
            return True
        return False

    await eventually(is_allowed)
    assert small.pids() == pids
