"""Which resources are served now: Kubernetes' own, and those that CustomResourceDefinitions define.

The storage tells it of each change of a CRD, so what is answered after a write already knows of it.
"""

from __future__ import annotations

from netkube.api.customresources import custom_resources
from netkube.api.errors import no_such_path
from netkube.api.meta import Object
from netkube.api.resources import BY_PATH, SERVED, CustomResource, Resource

_Path = tuple[str, str, str]  # group, version, plural


class Served:
    """``generation`` counts the changes: what is derived from the table is good until it changes."""

    def __init__(self) -> None:
        self._custom: dict[_Path, CustomResource] = {}
        self.generation = 0

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return BY_PATH.get((group, version, plural)) or self._custom.get((group, version, plural))

    def resolve(self, resource: Resource) -> Resource:
        """The resource with its present definition; ApiError 404 when it is not served (any more)."""
        if not resource.group or (resource.group, resource.version, resource.plural) in BY_PATH:
            return resource
        found = self._custom.get((resource.group, resource.version, resource.plural))
        if found is None:
            raise no_such_path()
        return found

    def all(self) -> tuple[Resource, ...]:
        return (*SERVED, *self._custom.values())

    def change(self, old: Object | None, new: Object | None) -> None:
        """A CRD has changed; None before it was made and after it is gone."""
        served = {_path(one): one for one in custom_resources(new)} if new is not None else {}
        for resource in custom_resources(old) if old is not None else ():
            self._custom.pop(_path(resource), None)
        self._custom.update(served)
        self.generation += 1


def _path(resource: Resource) -> _Path:
    return resource.group, resource.version, resource.plural
