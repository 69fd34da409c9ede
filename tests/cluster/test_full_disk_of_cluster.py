"""The disk under a cluster's state is full: the cluster refuses what needs room, goes on with the rest, and heals."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

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


async def test_a_full_disk_ends_nothing(small: Cluster):
    pids, numbers = small.pids(), itertools.count()
    small.apply(pod('talker', TALKS), pod('filler', FILLS))

    def is_refused() -> bool:
        """Until the disk is full it is not, and some room may be left in files that are there."""
        big = {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': f'big{next(numbers)}'}}
        with pytest.raises(CommandError, match=NO_SPACE):
            small.kubectl('create', '-f', '-', stdin=json.dumps({**big, 'data': {'x': 'y' * 900_000}}))
        return True

    await eventually(is_refused)
    # Refused before it changes anything, from now on; reading, logs and exec go on.
    with pytest.raises(CommandError, match=NO_SPACE):
        small.kubectl('create', 'namespace', 'late')
    assert 'talker' in small.kubectl('get', 'pods')
    assert small.kubectl('logs', 'talker', '--tail=1') == 'x\n'
    small.kubectl('exec', 'talker', '--', 'true')

    # A deletion takes effect, and makes room.
    small.kubectl('delete', 'pod', 'filler', '--wait=false', '--grace-period=1')
    await eventually(lambda: 'namespace/late' in small.kubectl('create', 'namespace', 'late'))
    assert small.pids() == pids
