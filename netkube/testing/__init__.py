"""What tests build clusters and objects with: ours, and those of people who test against netkube."""

from netkube.testing.api import memory_api
from netkube.testing.cluster import Cluster, CommandError, cluster, new_cluster
from netkube.testing.waiting import eventually

__all__ = ['Cluster', 'CommandError', 'cluster', 'eventually', 'memory_api', 'new_cluster']
