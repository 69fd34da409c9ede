"""Endpoints into slices, with as few writes as a change needs.

Source: k8s.io/endpointslice, reconciler.go. Endpoints that exist stay in the slice they are in; new ones fill
up slices that are written anyway, then the fullest that has room, then new slices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from netkube.api.meta import Object
from netkube.controllers.pods import is_ready
from netkube.controllers.servicepods import (
    Port,
    addresses_of,
    has_endpoint,
    hostname,
    resolve_ports,
    target_ref,
)

MAX_ENDPOINTS = 100  # in a slice
CLOSE = ('PreferClose', 'PreferSameZone', 'PreferSameNode')  # trafficDistribution; PreferClose is the old name

Ports = tuple[Port, ...]
Endpoints = dict[str, Object]  # by the uid of the Pod


class SlicePlan(msgspec.Struct, frozen=True):
    """``create``: (ports, endpoints) of new slices; ``update``: whole slices; ``delete``: slices."""

    create: list[tuple[Ports, list[Object]]] = msgspec.field(default_factory=list)
    update: list[Object] = msgspec.field(default_factory=list)
    delete: list[Object] = msgspec.field(default_factory=list)


def render_endpoint(service: Object, pod: Object, addresses: Sequence[str], zone: str = '') -> Object:
    serving, terminating = is_ready(pod), 'deletionTimestamp' in pod['metadata']
    publish_all = bool(service['spec'].get('publishNotReadyAddresses'))
    endpoint: Object = {
        'addresses': list(addresses),
        'conditions': {
            'ready': publish_all or (serving and not terminating),
            'serving': serving,
            'terminating': terminating,
        },
        'targetRef': target_ref(pod),
    }
    if pod['spec'].get('nodeName'):
        endpoint['nodeName'] = pod['spec']['nodeName']
    name = hostname(service, pod)
    endpoint |= ({'hostname': name} if name else {}) | ({'zone': zone} if zone else {})
    hints = render_hints(service['spec'].get('trafficDistribution') or '', endpoint)
    return endpoint | ({'hints': hints} if hints else {})


def render_hints(distribution: str, endpoint: Object) -> Object:
    """From where a ready endpoint is best reached. Source: k8s.io/endpointslice/trafficdist."""
    if distribution not in CLOSE or not endpoint['conditions']['ready']:
        return {}
    hints: Object = {'forZones': [{'name': endpoint['zone']}]} if endpoint.get('zone') else {}
    if distribution == 'PreferSameNode' and endpoint.get('nodeName'):
        hints['forNodes'] = [{'name': endpoint['nodeName']}]
    return hints


def desired_endpoints(
    service: Object, pods: Iterable[Object], family: str, zones: Mapping[str, str]
) -> dict[Ports, Endpoints]:
    """Grouped by the ports the Pods offer: Pods whose named ports have different numbers need different slices.

    ``zones``: by Node. A Pod whose Node is not there is left out, unless its address is to be published anyway.
    """
    publish_all = bool(service['spec'].get('publishNotReadyAddresses'))
    desired: dict[Ports, Endpoints] = defaultdict(dict)
    for pod in pods:
        node = pod['spec'].get('nodeName') or ''
        reachable = has_endpoint(pod) and (not node or node in zones or publish_all)
        if reachable and (addresses := addresses_of(pod, family)):
            endpoint = render_endpoint(service, pod, addresses, zones.get(node, ''))
            desired[resolve_ports(service, pod)][pod['metadata']['uid']] = endpoint
    return dict(desired)


def plan_slices(desired: Mapping[Ports, Endpoints], existing: Sequence[Object], labels: Mapping[str, str]) -> SlicePlan:
    """``existing``: the slices of one Service and family; ``labels``: what each of them has to carry.

    A Service without endpoints keeps one slice without anything: a reader can tell it from an unknown one.
    """
    by_ports: dict[Ports, list[Object]] = defaultdict(list)
    for each in sorted(existing, key=lambda obj: obj['metadata']['name']):
        by_ports[slice_ports(each)].append(each)
    plan = SlicePlan()
    for ports in sorted(desired.keys() | by_ports.keys()):
        _plan_group(plan, ports, desired.get(ports, {}), by_ports.get(ports, []), labels)
    if not plan.create and len(plan.delete) == len(existing):
        plan.create.append(((), []))
    return _reuse(plan, labels)


def slice_ports(each: Object) -> Ports:
    return tuple(
        Port(port.get('name') or '', port['port'], port.get('protocol', 'TCP'), port.get('appProtocol') or '')
        for port in each.get('ports') or ()
    )


def _plan_group(
    plan: SlicePlan, ports: Ports, desired: Endpoints, slices: Sequence[Object], labels: Mapping[str, str]
) -> None:
    missing = dict(desired)
    kept = [(each, _take_desired(each, missing)) for each in slices]
    plan.create.extend((ports, endpoints) for endpoints in _place(list(missing.values()), kept, labels))
    for each, endpoints in kept:
        if not endpoints:
            plan.delete.append(each)
        elif _changes(each, endpoints, labels):
            plan.update.append(_rewrite(each, ports, endpoints, labels))


def _take_desired(each: Object, missing: Endpoints) -> list[Object]:
    """The slice's endpoints as they should be now; they are taken out of ``missing``."""
    found = (missing.pop((endpoint.get('targetRef') or {}).get('uid', ''), None) for endpoint in _endpoints(each))
    return [endpoint for endpoint in found if endpoint is not None]


def _place(
    new: list[Object], kept: Sequence[tuple[Object, list[Object]]], labels: Mapping[str, str]
) -> list[list[Object]]:
    """Put new endpoints into slices that exist, in place; the endpoints of slices to create."""
    for each, endpoints in kept:
        if endpoints and _changes(each, endpoints, labels):
            room = MAX_ENDPOINTS - len(endpoints)
            endpoints += new[:room]
            del new[:room]
    chunks = [new[start : start + MAX_ENDPOINTS] for start in range(0, len(new), MAX_ENDPOINTS)]
    if chunks and len(chunks[-1]) < MAX_ENDPOINTS:
        fitting = [endpoints for _, endpoints in kept if 0 < len(endpoints) <= MAX_ENDPOINTS - len(chunks[-1])]
        if fitting:
            max(fitting, key=len).extend(chunks.pop())
    return chunks


def _reuse(plan: SlicePlan, labels: Mapping[str, str]) -> SlicePlan:
    """A slice that would go takes what a new one would hold: one write, not two."""
    update = list(plan.update)
    for (ports, endpoints), each in zip(plan.create, plan.delete, strict=False):
        if ports != slice_ports(each) or _changes(each, endpoints, labels):
            update.append(_rewrite(each, ports, endpoints, labels))
    both = min(len(plan.create), len(plan.delete))
    return SlicePlan(plan.create[both:], update, plan.delete[both:])


def _endpoints(each: Object) -> list[Object]:
    return each.get('endpoints') or []


def _changes(each: Object, endpoints: Sequence[Object], labels: Mapping[str, str]) -> bool:
    return list(endpoints) != _endpoints(each) or dict(labels) != (each['metadata'].get('labels') or {})


def _rewrite(each: Object, ports: Ports, endpoints: Sequence[Object], labels: Mapping[str, str]) -> Object:
    metadata = each['metadata'] | {'labels': dict(labels)}
    return each | {'metadata': metadata, 'ports': [port.render() for port in ports], 'endpoints': list(endpoints)}
