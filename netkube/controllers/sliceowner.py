"""Whose an EndpointSlice is: labels that both slice controllers write and find their slices by."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from netkube.api.meta import Key, Object

SERVICE_NAME = 'kubernetes.io/service-name'
MANAGED_BY = 'endpointslice.kubernetes.io/managed-by'


def owner_of(manager: str) -> Callable[[Object], Iterable[Key]]:
    """Index function: the Service (or Endpoints, of the same name) of a slice that ``manager`` keeps."""

    def key(each: Object) -> Iterable[Key]:
        labels = each['metadata'].get('labels') or {}
        if labels.get(MANAGED_BY) == manager and labels.get(SERVICE_NAME):
            return ((each['metadata']['namespace'], labels[SERVICE_NAME]),)
        return ()

    return key
