"""Clusters for tests: one for all tests of a module that do not destroy it, or one of a test's own."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest

from netkube.testing import Cluster, cluster, new_cluster

serial = itertools.count(1)


def unique_name() -> str:
    """Names reach beyond a test process's own machine: cgroups are everybody's."""
    return f't{os.getpid()}-{next(serial)}'


@pytest.fixture(scope='module')
def worker_name() -> str:
    return unique_name()


@pytest.fixture(scope='module')
def shop(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A running cluster, shared; ``OPTIONS`` of the module go to its ``up``."""
    with cluster(unique_name(), *getattr(request.module, 'OPTIONS', ())) as running:
        yield running


@pytest.fixture
def own() -> Iterator[Cluster]:
    """A cluster that is not started yet, the test's own."""
    with new_cluster(unique_name()) as made:
        yield made


@pytest.fixture
def other() -> Iterator[Cluster]:
    """A second one."""
    with new_cluster(unique_name()) as made:
        yield made
