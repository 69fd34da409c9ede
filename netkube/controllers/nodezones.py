"""The zone of each Node, from its label."""

from __future__ import annotations

from collections.abc import Callable

from netkube.api.meta import Object
from netkube.api.resources import NODES
from netkube.client.informer import Informers

ZONE = 'topology.kubernetes.io/zone'


class NodeZones:
    """``zones``: by the name of each Node that there is; '' for one without the label.

    ``changed(name)`` is called when a Node comes, goes, or changes its zone; not for its heartbeats.
    """

    def __init__(self, informers: Informers, changed: Callable[[str], None]) -> None:
        self.zones: dict[str, str] = {}
        self._changed = changed
        informers[NODES].subscribe(self._observe)

    def _observe(self, old: Object | None, new: Object | None) -> None:
        name = (new or old or {})['metadata']['name']
        zone = None if new is None else (new['metadata'].get('labels') or {}).get(ZONE, '')
        if zone == self.zones.get(name):
            return
        if zone is None:
            del self.zones[name]
        else:
            self.zones[name] = zone
        self._changed(name)
