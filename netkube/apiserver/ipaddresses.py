"""IPAddress objects: the mirror of who has which ClusterIP, and what others have taken by an object of their own.

The truth is the Services' clusterIPs, and their IPAddresses are written in the same turn of the event loop: no
reader ever sees one without the other, and there is nothing to repair later (upstream it is the other way round, and
a repair loop looks after it: pkg/registry/core/service/ipallocator/controller/repairip.go). An IPAddress whose
Service has that ClusterIP comes back when somebody deletes it; any other one keeps Services away from its address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from netkube.api.meta import Key, Object, timestamp
from netkube.api.resources import IPADDRESSES, SERVICES, Resource
from netkube.apiserver.allocation import cluster_ips
from netkube.store.store import Entry

if TYPE_CHECKING:
    from netkube.apiserver.storage import Storage

FAMILY_LABEL = 'ipaddress.kubernetes.io/ip-family'
MANAGED_LABEL, MANAGER = 'ipaddress.kubernetes.io/managed-by', 'ipallocator.k8s.io'


class IPAddresses:
    """Belongs to a ``Storage``, which tells it of every change."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def start(self) -> None:
        """Bring the objects in line with the Services of a store that was written by another process."""
        wanted = {address for entry in self._entries(SERVICES) for address in cluster_ips(self._storage.object(entry))}
        for entry in self._entries(IPADDRESSES):
            name = entry.key.rpartition('/')[2]
            if name in wanted:  # there may be thousands, and it takes a while to decode them
                continue
            obj = self._storage.object(entry)
            if _is_mirror(obj):
                self._storage.remove(IPADDRESSES, self._copy(obj), entry)
            else:
                self.address_changed(None, obj)
        for entry in self._entries(SERVICES):
            self.service_changed(None, self._storage.object(entry))

    def service_changed(self, old: Object | None, new: Object | None) -> None:
        before, after = (cluster_ips(service) if service else [] for service in (old, new))
        for address in before:
            if address not in after:
                self._remove(address)
        for address in after:
            if address not in before and new is not None:
                self._create(address, new)

    def address_changed(self, old: Object | None, new: Object | None) -> None:
        """An IPAddress was written, by anybody."""
        name = (new or old or {})['metadata']['name']
        service = self._service_of(old, name) if new is None else self._service_of(new, name)
        if new is None:
            self._storage.services.unreserve(name, _owner(name))
            if service is not None:
                self._create(name, service)
        elif service is None:
            self._storage.services.reserve(name, _owner(name))

    def _create(self, address: str, service: Object) -> None:
        if self._storage.find(IPADDRESSES, None, address) is None:
            made = ip_address_of(service, address, timestamp(self._storage.now()))
            self._storage.create(IPADDRESSES, made).decoded = None  # hardly anybody ever reads one: keep its bytes only

    def _remove(self, address: str) -> None:
        entry = self._storage.find(IPADDRESSES, None, address)
        if entry is not None and _is_mirror(self._storage.object(entry)):
            self._storage.remove(IPADDRESSES, self._copy(self._storage.object(entry)), entry)

    def _service_of(self, obj: Object | None, address: str) -> Object | None:
        """The Service that an IPAddress is of, if it still has that address."""
        parent = ((obj or {}).get('spec') or {}).get('parentRef') or {}
        if parent.get('group') or parent.get('resource') != SERVICES.plural or not parent.get('name'):
            return None
        entry = self._storage.find(SERVICES, parent.get('namespace'), parent['name'])
        service = self._storage.object(entry) if entry else None
        return service if service is not None and address in cluster_ips(service) else None

    def _entries(self, resource: Resource) -> list[Entry]:
        return self._storage.store.list(f'{resource.group_resource}/')

    @staticmethod
    def _copy(obj: Object) -> Object:
        return {**obj, 'metadata': {**obj['metadata']}}


def ip_address_of(service: Object, address: str, now: str) -> Object:
    """The mirror of one address of a Service."""
    metadata = service['metadata']
    labels = {FAMILY_LABEL: 'IPv6' if ':' in address else 'IPv4', MANAGED_LABEL: MANAGER}
    return {
        'apiVersion': IPADDRESSES.api_version, 'kind': IPADDRESSES.kind,
        'metadata': {'name': address, 'uid': str(uuid4()), 'creationTimestamp': now, 'labels': labels},
        'spec': {'parentRef': {'resource': SERVICES.plural, 'namespace': metadata['namespace'],
                               'name': metadata['name']}},
    }  # fmt: skip


def _is_mirror(obj: Object) -> bool:
    return (obj['metadata'].get('labels') or {}).get(MANAGED_LABEL) == MANAGER


def _owner(name: str) -> Key:
    return '', f'{IPADDRESSES.plural}/{name}'
