"""Fields of a Pod, on a whole Node: what a program in it sees of them."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from node_lab import Lab, condition, container, waiting_reason

from netkube.api.resources import CONFIGMAPS, PODS, SECRETS, SERVICEACCOUNTS
from netkube.client.interface import STRATEGIC_MERGE_PATCH

FOREVER = ('sleep', 'infinity')


async def make_sources(kubelet: Lab) -> None:
    metadata = {'name': 'source', 'namespace': 'default'}
    await kubelet.client.create(CONFIGMAPS, {'metadata': metadata, 'data': {'colour': 'red'}})
    secret = base64.b64encode(b'xyzzy').decode()
    await kubelet.client.create(SECRETS, {'metadata': metadata, 'data': {'word': secret}})


async def test_variables_of_every_source(kubelet: Lab) -> None:
    await make_sources(kubelet)
    source = {'name': 'source'}
    env_from = [{'prefix': 'C_', 'configMapRef': source}, {'secretRef': source}]
    sources = {
        'KEY': {'secretKeyRef': {**source, 'key': 'word'}},
        'CPU': {'resourceFieldRef': {'resource': 'limits.cpu', 'divisor': '1m'}},
        'THEIRS': {'resourceFieldRef': {'containerName': 'c', 'resource': 'requests.memory', 'divisor': '1Mi'}},
    }
    env = [{'name': name, 'valueFrom': value} for name, value in sources.items()]
    resources = {'limits': {'cpu': '1500m', 'memory': '64Mi'}}
    await kubelet.create_pod(*FOREVER, env=env, envFrom=env_from, resources=resources, wait=True)
    assert await kubelet.sh('echo $C_colour $word $KEY $CPU $THEIRS') == 'red xyzzy xyzzy 1500 64\n'


async def test_without_service_links(kubelet: Lab) -> None:
    await kubelet.create_pod(*FOREVER, spec={'enableServiceLinks': False}, wait=True)
    assert '_SERVICE_HOST' not in await kubelet.sh('env')


@pytest.mark.parametrize(
    ('spec', 'seen'),
    [
        ({'hostname': 'roo', 'subdomain': 'mob'}, 'roo roo.mob.default.svc.cluster.local'),
        ({'hostname': 'roo', 'subdomain': 'mob', 'setHostnameAsFQDN': True},
         'roo.mob.default.svc.cluster.local roo.mob.default.svc.cluster.local'),
        ({'hostname': 'roo', 'hostnameOverride': 'joey.example'}, 'joey.example joey.example'),
    ],
)  # fmt: skip
async def test_names(kubelet: Lab, spec: dict[str, Any], seen: str) -> None:
    await kubelet.create_pod(*FOREVER, spec=spec, wait=True)
    name, fqdn = seen.split()
    assert await kubelet.sh('hostname; cat /etc/hostname; echo $HOSTNAME') == f'{name}\n' * 3
    assert fqdn in (await kubelet.sh('cat /etc/hosts')).split()


async def test_what_the_resolver_is_told(kubelet: Lab) -> None:
    config = {'searches': ['mob.example'], 'options': [{'name': 'timeout', 'value': '3'}], 'nameservers': ['10.1.1.1']}
    await kubelet.create_pod(*FOREVER, spec={'dnsPolicy': 'None', 'dnsConfig': config}, wait=True)
    assert await kubelet.sh('cat /etc/resolv.conf') == 'search mob.example\nnameserver 10.1.1.1\noptions timeout:3\n'


async def test_a_container_that_may_gain_nothing_and_write_nothing(kubelet: Lab) -> None:
    security = {'allowPrivilegeEscalation': False, 'readOnlyRootFilesystem': True, 'runAsNonRoot': True}
    await kubelet.create_pod(*FOREVER, securityContext={**security, 'runAsUser': 1234}, wait=True)
    assert 'NoNewPrivs:\t1\n' in await kubelet.sh('cat /proc/self/status')
    assert 'Read-only file system' in await kubelet.sh('touch /made 2>&1 || true')


@pytest.mark.parametrize('where', ['spec', 'container'])
async def test_root_is_refused_where_nobody_may_be_root(kubelet: Lab, where: str) -> None:
    security = {'securityContext': {'runAsNonRoot': True}}
    await kubelet.create_pod(*FOREVER, **({'spec': security} if where == 'spec' else security))
    pod = await kubelet.until(lambda pod: waiting_reason(pod) == 'CreateContainerConfigError')
    assert 'image will run as root' in container(pod)['state']['waiting']['message']


async def test_the_termination_message_is_where_the_container_says(kubelet: Lab) -> None:
    script = 'echo done > /run/last-words'
    spec = {'restartPolicy': 'Never'}
    await kubelet.create_pod('sh', '-c', script, terminationMessagePath='/run/last-words', spec=spec)
    pod = await kubelet.until(lambda pod: 'terminated' in container(pod)['state'])
    assert container(pod)['state']['terminated']['message'] == 'done\n'


async def test_volumes_in_memory_and_of_the_downward_api(kubelet: Lab) -> None:
    items = [
        {'path': 'name', 'fieldRef': {'fieldPath': 'metadata.name'}},
        {'path': 'cpu', 'resourceFieldRef': {'containerName': 'c', 'resource': 'limits.cpu'}, 'mode': 0o440},
    ]
    volumes = [
        {'name': 'memory', 'emptyDir': {'medium': 'Memory'}},
        {'name': 'own', 'downwardAPI': {'items': items}},
        {'name': 'all', 'projected': {'sources': [{'downwardAPI': {'items': items}}]}},
    ]
    mounts = [{'name': volume['name'], 'mountPath': f'/{volume["name"]}'} for volume in volumes]
    limits = {'limits': {'cpu': '2'}}
    await kubelet.create_pod(*FOREVER, volumeMounts=mounts, resources=limits, spec={'volumes': volumes}, wait=True)
    assert await kubelet.sh('stat -fc %T /memory') == 'tmpfs\n'
    for place in ('own', 'all'):
        seen = await kubelet.sh(f'cat /{place}/name; echo; cat /{place}/cpu; echo; stat -Lc %a /{place}/cpu')
        assert seen == 'p\n2\n440\n'


async def test_a_sub_path_of_a_variable(kubelet: Lab) -> None:
    env = [{'name': 'WHO', 'valueFrom': {'fieldRef': {'fieldPath': 'metadata.name'}}}]
    mounts = [{'name': 'v', 'mountPath': '/mine', 'subPathExpr': 'of-$(WHO)'}, {'name': 'v', 'mountPath': '/all'}]
    spec = {'volumes': [{'name': 'v', 'emptyDir': {}}]}
    await kubelet.create_pod(*FOREVER, env=env, volumeMounts=mounts, spec=spec, wait=True)
    assert await kubelet.sh('touch /mine/file; ls /all/of-p') == 'file\n'


async def test_a_mount_that_must_be_shared_and_is_not(kubelet: Lab, tmp_path: Path) -> None:
    mount = {'name': 'v', 'mountPath': '/v', 'mountPropagation': 'HostToContainer'}
    spec = {'volumes': [{'name': 'v', 'hostPath': {'path': str(tmp_path)}}], 'restartPolicy': 'Never'}
    await kubelet.create_pod(*FOREVER, volumeMounts=[mount], spec=spec)
    pod = await kubelet.until(lambda pod: 'terminated' in container(pod)['state'])
    assert container(pod)['state']['terminated']['exitCode'] == 128
    assert re.search('it is not a shared or slave mount', container(pod)['state']['terminated']['message'])


ANSWERING = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.path, self.headers.get('X-Word'), flush=True)
        self.send_response(200 if self.headers.get('X-Word') == 'please' else 500)
        self.end_headers()
    def log_message(self, *words): pass
http.server.HTTPServer(('', 80), Handler).serve_forever()
"""


async def test_a_startup_probe_comes_first_and_says_please(kubelet: Lab) -> None:
    """Until it has succeeded the others wait; and they ask as they are told to."""
    get = {'port': 80, 'path': '/started', 'scheme': 'HTTP', 'httpHeaders': [{'name': 'X-Word', 'value': 'please'}]}
    startup = {'httpGet': get, 'periodSeconds': 1, 'initialDelaySeconds': 1}
    ready = {'httpGet': {**get, 'path': '/ready'}, 'periodSeconds': 1, 'successThreshold': 2}
    await kubelet.create_pod('python3', '-c', ANSWERING, startupProbe=startup, readinessProbe=ready)
    await kubelet.until(lambda pod: condition(pod, 'Ready')['status'] == 'True', timeout=20)
    asked = (await kubelet.logs()).split('\n')
    assert asked[0] == '/started please' and asked.count('/ready please') >= 2
    first = asked.index('/ready please')
    assert set(asked[:first]) == {'/started please'}


async def test_a_readiness_gate_is_somebody_elses_word(kubelet: Lab) -> None:
    gate = 'example.com/fed'
    await kubelet.create_pod(*FOREVER, spec={'readinessGates': [{'conditionType': gate}]}, wait=True)
    pod = await kubelet.until(lambda pod: condition(pod, 'ContainersReady')['status'] == 'True')
    assert condition(pod, 'Ready')['reason'] == 'ReadinessGatesNotReady'
    fed = {'status': {'conditions': [{'type': gate, 'status': 'True'}]}}
    await kubelet.client.patch(PODS, 'default', 'p', fed, STRATEGIC_MERGE_PATCH, 'status')
    await kubelet.until(lambda pod: condition(pod, 'Ready')['status'] == 'True')


async def test_the_old_name_of_the_service_account(kubelet: Lab) -> None:
    await kubelet.client.create(SERVICEACCOUNTS, {'metadata': {'name': 'keeper', 'namespace': 'default'}})
    await kubelet.create_pod(*FOREVER, spec={'serviceAccount': 'keeper'}, wait=True)
    token = await kubelet.sh('cat /var/run/secrets/kubernetes.io/serviceaccount/token')
    claims = json.loads(base64.urlsafe_b64decode(token.split('.')[1] + '=='))
    assert claims['sub'] == 'system:serviceaccount:default:keeper'


async def test_a_part_of_a_volume_that_is_read_only_all_the_way_down(kubelet: Lab) -> None:
    only = {'readOnly': True, 'recursiveReadOnly': 'Enabled'}
    mounts = [{'name': 'v', 'mountPath': '/all'}, {'name': 'v', 'mountPath': '/part', 'subPath': 'a/b', **only}]
    spec = {'volumes': [{'name': 'v', 'emptyDir': {}}]}
    await kubelet.create_pod(*FOREVER, volumeMounts=mounts, spec=spec, wait=True)
    assert await kubelet.sh('touch /all/a/b/file; ls /part') == 'file\n'
    assert 'Read-only file system' in await kubelet.sh('touch /part/made 2>&1 || true')
