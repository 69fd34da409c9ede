"""The controllers of kube-controller-manager, one file each.

Every one is made with ``(informers, recorder, now)``, its recorder reporting as its ``component``, and runs for ever;
``RootCAController`` and ``ServiceAccountTokenController`` also want the CA's certificate, and so are not in the table.
"""

from __future__ import annotations

from typing import Any

from netkube.controllers.clusterroleaggregation import ClusterRoleAggregationController
from netkube.controllers.customresourcecleanup import CustomResourceCleanup
from netkube.controllers.deployment import DeploymentController
from netkube.controllers.disruption import DisruptionController
from netkube.controllers.endpoints import EndpointsController
from netkube.controllers.endpointslice import EndpointSliceController
from netkube.controllers.endpointslicemirroring import EndpointSliceMirroringController
from netkube.controllers.garbagecollector import GarbageCollector
from netkube.controllers.namespace import NamespaceController
from netkube.controllers.nodelifecycle import NodeLifecycleController
from netkube.controllers.podgc import PodGCController
from netkube.controllers.replicaset import ReplicaSetController
from netkube.controllers.rootca import RootCAController
from netkube.controllers.serviceaccount import ServiceAccountController
from netkube.controllers.serviceaccounttoken import ServiceAccountTokenController
from netkube.controllers.servicecidrs import ServiceCIDRController
from netkube.controllers.tainteviction import TaintEvictionController

CONTROLLERS: tuple[Any, ...] = (
    NamespaceController,
    ServiceAccountController,
    DeploymentController,
    ReplicaSetController,
    EndpointSliceController,
    EndpointsController,
    EndpointSliceMirroringController,
    GarbageCollector,
    NodeLifecycleController,
    PodGCController,
    TaintEvictionController,
    DisruptionController,
    ServiceCIDRController,
    CustomResourceCleanup,
    ClusterRoleAggregationController,
)

__all__ = ['CONTROLLERS', 'RootCAController', 'ServiceAccountTokenController']
