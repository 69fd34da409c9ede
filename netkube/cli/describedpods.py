"""What ``netkube describe`` tells of Pods and their containers."""

from __future__ import annotations

from collections.abc import Iterator

from netkube.api.meta import Object
from netkube.cli.describedlines import NONE, Line, condition_lines, mapping_lines


def pod_lines(obj: Object) -> Iterator[Line]:
    spec, status = obj['spec'], obj.get('status', {})
    yield 0, 'Service Account', spec.get('serviceAccountName', NONE)
    yield (
        0,
        'Node',
        f'{spec.get("nodeName", NONE)}/{status["hostIP"]}' if 'hostIP' in status else spec.get('nodeName', NONE),
    )
    yield 0, 'Start Time', status.get('startTime', NONE)
    yield 0, 'Status', status.get('phase', 'Unknown')
    for key in ('reason', 'message'):
        if status.get(key):
            yield 0, key.capitalize(), status[key]
    yield 0, 'IP', status.get('podIP', NONE)
    yield 0, 'IPs', ','.join(one['ip'] for one in status.get('podIPs') or ()) or NONE
    states = {s['name']: s for s in [*status.get('initContainerStatuses', ()), *status.get('containerStatuses', ())]}
    for title, containers in (('Init Containers', spec.get('initContainers')), ('Containers', spec['containers'])):
        if containers:
            yield 0, title, ''
            for container in containers:
                yield from container_lines(container, states.get(container['name'], {}))
    yield from condition_lines(status)
    yield from _volumes(spec)
    yield 0, 'QoS Class', status.get('qosClass', NONE)
    yield from mapping_lines('Node-Selectors', spec.get('nodeSelector'))
    tolerations = [_toleration(each) for each in spec.get('tolerations') or ()] or [NONE]
    yield 0, 'Tolerations', tolerations[0]
    for each in tolerations[1:]:
        yield 0, '', each


def _toleration(each: Object) -> str:
    text = each.get('key', '') + (f'={each["value"]}' if each.get('value') else '')
    text += f':{each["effect"]}' if each.get('effect') else ''
    text += ' op=Exists' if each.get('operator') == 'Exists' else ''
    return text + (f' for {each["tolerationSeconds"]}s' if 'tolerationSeconds' in each else '')


def container_lines(container: Object, state: Object) -> Iterator[Line]:
    yield 1, container['name'], ''
    yield 2, 'Container ID', state.get('containerID', '')
    yield 2, 'Image', container.get('image', '')
    ports = ', '.join(f'{port["containerPort"]}/{port.get("protocol", "TCP")}' for port in container.get('ports') or ())
    yield 2, 'Port', ports or NONE
    for key in ('command', 'args'):
        if container.get(key):
            yield 2, key.capitalize(), ''
            for line in (line for word in container[key] for line in word.split('\n')):
                yield 3, '', line
    yield from _container_state('State', state.get('state', {}))
    if state.get('lastState'):
        yield from _container_state('Last State', state['lastState'])
    yield 2, 'Ready', str(state.get('ready', False))
    yield 2, 'Restart Count', str(state.get('restartCount', 0))
    for kind in ('liveness', 'readiness', 'startup'):
        if f'{kind}Probe' in container:
            yield 2, kind.capitalize(), _probe(container[f'{kind}Probe'])
    env = [f'{entry["name"]}: {entry.get("value", _source(entry))}' for entry in container.get('env') or ()]
    yield 2, 'Environment', '' if env else NONE
    for entry in env:
        yield 3, '', entry
    mounts = container.get('volumeMounts') or ()
    yield 2, 'Mounts', '' if mounts else NONE
    for mount in mounts:
        yield 3, '', f'{mount["mountPath"]} from {mount["name"]} ({"ro" if mount.get("readOnly") else "rw"})'


def _source(entry: Object) -> str:
    ((kind, source),) = entry.get('valueFrom', {'nothing': {}}).items()
    if kind in ('configMapKeyRef', 'secretKeyRef'):
        where = 'config map' if kind == 'configMapKeyRef' else 'secret'
        return f"<set to the key '{source['key']}' of {where} '{source['name']}'>"
    return f'({source.get("apiVersion", "v1")}:{source["fieldPath"]})' if kind == 'fieldRef' else f'({kind})'


def _container_state(label: str, state: Object) -> Iterator[Line]:
    if not state:
        yield 2, label, 'Waiting'
        return
    ((name, detail),) = state.items()
    yield 2, label, name.capitalize()
    keys = (('Reason', 'reason'), ('Message', 'message'), ('Exit Code', 'exitCode'), ('Signal', 'signal'),
            ('Started', 'startedAt'), ('Finished', 'finishedAt'))  # fmt: skip
    for title, key in keys:
        if key in detail:
            yield 3, title, str(detail[key])


def _probe(probe: Object) -> str:
    numbers = (
        f'delay={probe.get("initialDelaySeconds", 0)}s timeout={probe.get("timeoutSeconds", 1)}s '
        f'period={probe.get("periodSeconds", 10)}s #success={probe.get("successThreshold", 1)} '
        f'#failure={probe.get("failureThreshold", 3)}'
    )
    if 'httpGet' in probe:
        get = probe['httpGet']
        url = f'{get.get("scheme", "HTTP").lower()}://{get.get("host", "")}:{get["port"]}{get.get("path", "/")}'
        return f'http-get {url} {numbers}'
    if 'tcpSocket' in probe:
        return f'tcp-socket {probe["tcpSocket"].get("host", "")}:{probe["tcpSocket"]["port"]} {numbers}'
    if 'exec' in probe:
        return f'exec [{" ".join(probe["exec"].get("command") or ())}] {numbers}'
    return numbers


def _volumes(spec: Object) -> Iterator[Line]:
    volumes = spec.get('volumes')
    yield 0, 'Volumes', '' if volumes else NONE
    for volume in volumes or ():
        yield 1, volume['name'], ''
        for kind, source in volume.items():
            if kind != 'name':
                yield 2, 'Type', kind[0].upper() + kind[1:]
                name = source.get('name') or source.get('secretName') or source.get('path')
                if name:
                    yield 2, 'Name', name
