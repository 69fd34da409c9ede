"""``netkube describe``: kubectl's layout; which lines a kind has is a table of functions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import datetime

import click

from netkube.api import resources
from netkube.api.durations import human_duration
from netkube.api.errors import ApiError
from netkube.api.meta import Object, parse_timestamp, utc_now
from netkube.api.resources import Resource
from netkube.cli.connection import Connection
from netkube.cli.describedlines import NONE, Line, condition_lines, mapping_lines, selector_text
from netkube.cli.describedpods import container_lines, pod_lines
from netkube.cli.output import dump, refusal, table
from netkube.cli.settings import Settings, common_options
from netkube.cli.targets import Target, parse_targets


@click.command()
@click.argument('targets', nargs=-1, required=True, metavar='TYPE [NAME...] | TYPE/NAME...')
@click.option('-A', '--all-namespaces', is_flag=True, help='In all namespaces.')
@click.option('-l', '--selector', default='', help='Label selector.')
@click.option('--show-events/--no-show-events', default=True, show_default=True)
@common_options(output=False)
def describe(
    settings: Settings, targets: tuple[str, ...], all_namespaces: bool, selector: str, show_events: bool
) -> None:
    """Show objects in detail, with their events."""
    connection = settings.connect()
    namespace = '' if all_namespaces else settings.in_namespace
    texts, failed = [], False
    for target in parse_targets(targets, connection):
        try:
            for obj in _objects(connection, target, namespace, selector):
                if target.resource is resources.SERVICES:
                    obj = _with_slices(connection, obj)
                events = _events(connection, obj) if show_events else []
                texts.append(render(target.resource, obj, events, utc_now()))
        except ApiError as error:
            click.echo(refusal(error), err=True)
            failed = True
    if texts:
        click.echo('\n\n\n'.join(texts))
    elif not failed:
        click.echo(f'No resources found in {namespace} namespace.' if namespace else 'No resources found', err=True)
    if failed:
        sys.exit(1)


def _objects(connection: Connection, target: Target, namespace: str, selector: str) -> list[Object]:
    if target.name:
        return [connection.get(target.resource.path(namespace, target.name))]
    return connection.get(target.resource.path(namespace), labelSelector=selector)['items']


def _with_slices(connection: Connection, service: Object) -> Object:
    """The Service, and in ``endpointSlices`` the EndpointSlices that say who answers."""
    metadata = service['metadata']
    selector = f'kubernetes.io/service-name={metadata["name"]}'
    slices = connection.get(resources.ENDPOINTSLICES.path(metadata['namespace']), labelSelector=selector)
    return {**service, 'endpointSlices': slices['items']}


def _events(connection: Connection, obj: Object) -> list[Object]:
    metadata = obj['metadata']
    path = resources.EVENTS.path(metadata.get('namespace') or 'default')
    found = connection.get(path, fieldSelector=f'involvedObject.uid={metadata["uid"]}')['items']
    return sorted(found, key=lambda event: event.get('lastTimestamp') or event['metadata']['creationTimestamp'])


def render(resource: Resource, obj: Object, events: list[Object], now: datetime) -> str:
    lines = [*_metadata(resource, obj), *DETAILS.get(resource, _anything)(obj)]
    width = max(len(label) for level, label, value in lines if level == 0 and value) + 1
    text = [_format(line, max(width, 14)) for line in lines]
    return '\n'.join([*text, *(_event_lines(events, now) or [_format((0, 'Events', NONE), max(width, 14))])])


def _format(line: Line, width: int) -> str:
    level, label, value = line
    indent = '  ' * level
    if not label:
        return f'{indent}{value}' if level else ' ' * (width + 2) + value
    padded = f'{label}:'.ljust(max(width + 2 - len(indent), len(label) + 3)) if value else f'{label}:'
    return f'{indent}{padded}{value}'.rstrip()


def _event_lines(events: list[Object], now: datetime) -> list[str]:
    if not events:
        return []
    rows = []
    for event in events:
        source = event.get('source', {}).get('component') or event.get('reportingComponent', '')
        rows.append((event['type'], event['reason'], _event_age(event, now), source, event['message'].strip()))
    dashes = ('----', '------', '----', '----', '-------')
    text = table(('Type', 'Reason', 'Age', 'From', 'Message'), [dashes, *rows])
    return ['Events:', *(f'  {line}' for line in text.splitlines())]


def _event_age(event: Object, now: datetime) -> str:
    def since(key: str) -> str:
        stamp = event.get(key) or event['metadata']['creationTimestamp']
        return human_duration(now - parse_timestamp(stamp))

    count = event.get('count', 1)
    return (
        f'{since("lastTimestamp")} (x{count} over {since("firstTimestamp")})' if count > 1 else since('firstTimestamp')
    )


def _metadata(resource: Resource, obj: Object) -> Iterator[Line]:
    metadata = obj['metadata']
    yield 0, 'Name', metadata['name']
    if resource.namespaced:
        yield 0, 'Namespace', metadata['namespace']
    annotations = {
        key: value
        for key, value in (metadata.get('annotations') or {}).items()
        if not key.endswith('/last-applied-configuration')
    }
    yield from mapping_lines('Labels', metadata.get('labels'))
    yield from mapping_lines('Annotations', annotations, ': ')
    if 'deletionTimestamp' in metadata:
        yield 0, 'Status', f'Terminating (since {metadata["deletionTimestamp"]})'
    for reference in metadata.get('ownerReferences') or ():
        if reference.get('controller'):
            yield 0, 'Controlled By', f'{reference["kind"]}/{reference["name"]}'


def _replicas(obj: Object) -> Iterator[Line]:
    spec, status = obj['spec'], obj.get('status', {})
    yield 0, 'Selector', selector_text(spec.get('selector'))
    if obj['kind'] == 'Deployment':
        updated, total = status.get('updatedReplicas', 0), status.get('replicas', 0)
        available, unavailable = status.get('availableReplicas', 0), status.get('unavailableReplicas', 0)
        counts = f'{updated} updated | {total} total | {available} available | {unavailable} unavailable'
        yield 0, 'Replicas', f'{spec["replicas"]} desired | {counts}'
        yield 0, 'StrategyType', spec['strategy']['type']
        yield 0, 'MinReadySeconds', str(spec.get('minReadySeconds', 0))
        rolling = spec['strategy'].get('rollingUpdate')
        if rolling:
            yield (
                0,
                'RollingUpdateStrategy',
                f'{rolling["maxUnavailable"]} max unavailable, {rolling["maxSurge"]} max surge',
            )
    else:
        yield 0, 'Replicas', f'{status.get("replicas", 0)} current / {spec["replicas"]} desired'
    template = spec['template']
    yield 0, 'Pod Template', ''
    yield 1, 'Labels', selector_text(template.get('metadata', {}).get('labels'))
    yield 1, 'Containers', ''
    for container in template['spec']['containers']:
        for level, label, value in container_lines(container, {}):
            if label not in ('Container ID', 'State', 'Ready', 'Restart Count'):
                yield level + 1, label, value
    yield from condition_lines(status)


def _service(obj: Object) -> Iterator[Line]:
    spec = obj['spec']
    yield 0, 'Selector', selector_text(spec.get('selector'))
    yield 0, 'Type', spec['type']
    yield 0, 'IP Family Policy', spec.get('ipFamilyPolicy', NONE)
    yield 0, 'IP Families', ','.join(spec.get('ipFamilies') or [NONE])
    yield 0, 'IP', spec.get('clusterIP', NONE)
    yield 0, 'IPs', ','.join(spec.get('clusterIPs') or [NONE])
    yield from _reached_from_outside(spec, obj.get('status', {}))
    for port in spec.get('ports') or ():
        yield 0, 'Port', f'{port.get("name", "<unset>")}  {port["port"]}/{port["protocol"]}'
        yield 0, 'TargetPort', f'{port["targetPort"]}/{port["protocol"]}'
        if port.get('nodePort'):
            yield 0, 'NodePort', f'{port.get("name", "<unset>")}  {port["nodePort"]}/{port["protocol"]}'
        yield 0, 'Endpoints', ','.join(_ready_endpoints(obj, port.get('name', ''))) or NONE
    yield 0, 'Session Affinity', spec.get('sessionAffinity', 'None')
    for label, field in POLICIES.items():
        if spec.get(field):
            yield 0, label, str(spec[field])
    if spec.get('loadBalancerSourceRanges'):
        yield 0, 'LoadBalancer Source Ranges', ','.join(spec['loadBalancerSourceRanges'])


POLICIES = {
    'External Traffic Policy': 'externalTrafficPolicy',
    'Internal Traffic Policy': 'internalTrafficPolicy',
    'Traffic Distribution': 'trafficDistribution',
    'HealthCheck NodePort': 'healthCheckNodePort',
}


def _reached_from_outside(spec: Object, status: Object) -> Iterator[Line]:
    if spec.get('externalIPs'):
        yield 0, 'External IPs', ','.join(spec['externalIPs'])
    ingress = status.get('loadBalancer', {}).get('ingress')
    if ingress:
        yield 0, 'LoadBalancer Ingress', ', '.join(one.get('ip') or one.get('hostname') or '' for one in ingress)
    if spec.get('externalName'):
        yield 0, 'External Name', spec['externalName']


def _ready_endpoints(service: Object, port_name: str) -> Iterator[str]:
    """``address:port`` of each that the port's connections go to."""
    for each in service['endpointSlices']:
        for port in each.get('ports') or ():
            for endpoint in each.get('endpoints') or () if (port.get('name') or '') == port_name else ():
                if endpoint.get('conditions', {}).get('ready', True):
                    address = endpoint['addresses'][0]
                    yield f'[{address}]:{port["port"]}' if ':' in address else f'{address}:{port["port"]}'


def _endpointslice(obj: Object) -> Iterator[Line]:
    yield 0, 'AddressType', obj['addressType']
    yield 0, 'Ports', '' if obj.get('ports') else NONE
    for port in obj.get('ports') or ():
        yield 1, port.get('name') or '<unset>', f'{port.get("port")}/{port.get("protocol")}'
    yield 0, 'Endpoints', '' if obj.get('endpoints') else NONE
    for endpoint in obj.get('endpoints') or ():
        target = endpoint.get('targetRef', {})
        conditions = ', '.join(f'{k}={v}' for k, v in sorted(endpoint.get('conditions', {}).items()))
        yield 1, ','.join(endpoint['addresses']), f'{target.get("kind", "")}/{target.get("name", "")}  {conditions}'


def _node(obj: Object) -> Iterator[Line]:
    spec, status = obj.get('spec', {}), obj.get('status', {})
    taints = [f'{t["key"]}={t.get("value", "")}:{t["effect"]}' for t in spec.get('taints') or ()]
    yield 0, 'Taints', ', '.join(taints) or NONE
    yield 0, 'Unschedulable', str(spec.get('unschedulable', False)).lower()
    yield from condition_lines(status)
    yield 0, 'Addresses', ''
    for address in status.get('addresses') or ():
        yield 1, address['type'], address['address']
    for label in ('capacity', 'allocatable'):
        yield 0, label.capitalize(), ''
        for key, value in sorted((status.get(label) or {}).items()):
            yield 1, key, str(value)
    yield 0, 'System Info', ''
    for key, value in sorted((status.get('nodeInfo') or {}).items()):
        if value:
            yield 1, key, str(value)
    yield 0, 'PodCIDR', spec.get('podCIDR', NONE)


def _configmap(obj: Object) -> Iterator[Line]:
    yield 0, 'Data', '' if obj.get('data') else NONE
    for key, value in sorted((obj.get('data') or {}).items()):
        yield 0, '', ''
        yield 1, key, ''
        yield 1, '', '----'
        for line in value.splitlines():
            yield 1, '', line


def _secret(obj: Object) -> Iterator[Line]:
    import base64

    yield 0, 'Type', obj.get('type', 'Opaque')
    yield 0, 'Data', '' if obj.get('data') else NONE
    for key, value in sorted((obj.get('data') or {}).items()):
        yield 1, key, f'{len(base64.b64decode(value))} bytes'


def _namespace(obj: Object) -> Iterator[Line]:
    yield 0, 'Status', obj.get('status', {}).get('phase', 'Active')


def _anything(obj: Object) -> Iterator[Line]:
    rest = {key: value for key, value in obj.items() if key not in ('metadata', 'apiVersion', 'kind')}
    for line in dump('yaml', rest).splitlines() if rest else ():
        yield 1, '', line


DETAILS: dict[Resource, Callable[[Object], Iterator[Line]]] = {
    resources.PODS: pod_lines,
    resources.DEPLOYMENTS: _replicas,
    resources.REPLICASETS: _replicas,
    resources.SERVICES: _service,
    resources.ENDPOINTSLICES: _endpointslice,
    resources.NODES: _node,
    resources.CONFIGMAPS: _configmap,
    resources.SECRETS: _secret,
    resources.NAMESPACES: _namespace,
}
