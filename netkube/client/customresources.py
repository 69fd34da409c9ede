"""The kinds that CustomResourceDefinitions define now, for who looks after objects of every kind."""

from __future__ import annotations

from collections.abc import Callable

from netkube.api.customresources import custom_resources
from netkube.api.meta import Object
from netkube.api.resources import CUSTOMRESOURCEDEFINITIONS, Resource
from netkube.client.informer import Informers

Follow = Callable[[Resource], None]


class CustomResources:
    """Follows the definitions by their informer; of each kind one version, the one that is preferred."""

    def __init__(self, informers: Informers) -> None:
        self._informers = informers
        self._definitions = informers[CUSTOMRESOURCEDEFINITIONS]

    def current(self) -> list[Resource]:
        return [resource for crd in self._definitions.list() if (resource := preferred(crd)) is not None]

    def follow(self, added: Follow, removed: Follow = lambda resource: None) -> None:
        """Call ``added`` for each kind that is there and that comes, ``removed`` when it has gone."""

        def changed(old: Object | None, new: Object | None) -> None:
            before = preferred(old) if old is not None else None
            after = preferred(new) if new is not None else None
            if before == after:
                return
            if before is not None:
                removed(before)
                self._informers.remove(before)
            if after is not None:
                added(after)

        self._definitions.subscribe(changed)


def preferred(crd: Object) -> Resource | None:
    """None while it is not established."""
    found = custom_resources(crd)
    return found[0].plain if found else None
