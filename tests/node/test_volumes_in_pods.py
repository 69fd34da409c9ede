"""Volumes, variables and files as the containers see them."""

from __future__ import annotations

import base64

from node_lab import Lab, container, waiting_reason

from netkube.api.resources import CONFIGMAPS, PODS, SECRETS, SERVICES
from netkube.testing import eventually

FOREVER = ('sleep', 'infinity')


async def create_configmap(lab: Lab, name: str = 'settings', **data: str) -> None:
    metadata = {'name': name, 'namespace': 'default'}
    await lab.client.create(CONFIGMAPS, {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': metadata, 'data': data})


async def test_a_configmap_volume_follows_its_object(kubelet: Lab) -> None:
    await create_configmap(kubelet, colour='red', shape='round')
    volume = {'name': 'v', 'configMap': {'name': 'settings'}}
    mounts = [{'name': 'v', 'mountPath': '/etc/settings'}]
    await kubelet.create_pod(*FOREVER, volumeMounts=mounts, spec={'volumes': [volume]}, wait=True)
    assert await kubelet.sh('cd /etc/settings; cat colour shape; ls') == 'redroundcolour\nshape\n'
    await kubelet.client.patch(CONFIGMAPS, 'default', 'settings', {'data': {'colour': 'blue', 'shape': None}})

    async def changed() -> bool:
        return await kubelet.sh('cd /etc/settings; cat colour; ls') == 'bluecolour\n'

    await eventually(changed)


async def test_a_missing_configmap_volume_waits_for_its_object(kubelet: Lab) -> None:
    volume = {'name': 'v', 'configMap': {'name': 'settings'}}
    mounts = [{'name': 'v', 'mountPath': '/etc/settings'}]
    await kubelet.create_pod(*FOREVER, volumeMounts=mounts, spec={'volumes': [volume]})
    await kubelet.has_event(
        'Warning', 'FailedMount', 'MountVolume.SetUp failed for volume "v" : configmap "settings" not found'
    )
    await kubelet.until(lambda pod: waiting_reason(pod) == 'ContainerCreating')
    await create_configmap(kubelet, colour='red')
    await kubelet.until(lambda pod: 'running' in container(pod)['state'])


async def test_a_missing_key_is_a_configuration_error_until_it_is_there(kubelet: Lab) -> None:
    await create_configmap(kubelet, shape='round')
    env = [{'name': 'COLOUR', 'valueFrom': {'configMapKeyRef': {'name': 'settings', 'key': 'colour'}}}]
    await kubelet.create_pod(*FOREVER, env=env)
    pod = await kubelet.until(lambda pod: waiting_reason(pod) == 'CreateContainerConfigError')
    message = "couldn't find key colour in ConfigMap default/settings"
    assert container(pod)['state']['waiting']['message'] == message
    await kubelet.has_event('Warning', 'Failed', f'Error: {message}')
    await kubelet.client.patch(CONFIGMAPS, 'default', 'settings', {'data': {'colour': 'red'}})
    await kubelet.until(lambda pod: 'running' in container(pod)['state'])
    assert await kubelet.sh('echo $COLOUR') == 'red\n'


async def test_secrets_are_on_a_tmpfs_and_go_with_the_pod(kubelet: Lab) -> None:
    metadata = {'name': 'key', 'namespace': 'default'}
    data = {'key': base64.b64encode(b'xyzzy').decode()}
    await kubelet.client.create(SECRETS, {'apiVersion': 'v1', 'kind': 'Secret', 'metadata': metadata, 'data': data})
    volume = {'name': 'v', 'secret': {'secretName': 'key', 'defaultMode': 0o400}}
    mounts = [{'name': 'v', 'mountPath': '/key', 'readOnly': True}]
    pod = await kubelet.create_pod(*FOREVER, volumeMounts=mounts, spec={'volumes': [volume]}, wait=True)
    assert await kubelet.sh('cat /key/key; stat -f -c %T /key; stat -L -c %a /key/key') == 'xyzzytmpfs\n400\n'
    assert await kubelet.sh('touch /key/x 2>&1 || echo refused') != ''
    directory = kubelet.config.pod_memory_dir(pod['metadata']['uid'])
    assert directory.exists()
    await kubelet.client.delete(PODS, 'default', 'p', grace_period_seconds=2)
    await kubelet.gone()
    assert not directory.exists()


async def test_containers_of_a_pod_share_an_empty_dir_and_their_network(kubelet: Lab) -> None:
    mounts = [{'name': 'shared', 'mountPath': '/shared'}]
    other = {'name': 'other', 'image': 'i', 'command': list(FOREVER), 'volumeMounts': mounts}
    one = {'name': 'c', 'image': 'i', 'command': list(FOREVER), 'volumeMounts': mounts}
    spec = {'volumes': [{'name': 'shared', 'emptyDir': {}}], 'containers': [one, other]}
    await kubelet.create_pod(spec=spec)
    await kubelet.until(lambda pod: all('running' in row['state'] for row in pod['status']['containerStatuses']))
    await kubelet.sh('echo hello > /shared/word; stat -c %a /shared')
    assert await kubelet.sh('cat /shared/word; readlink /proc/self/ns/net', container='other') == (
        'hello\n' + await kubelet.sh('readlink /proc/self/ns/net')
    )


async def test_the_downward_api_knows_the_pods_address(kubelet: Lab) -> None:
    paths = ('metadata.name', 'status.podIP', 'status.hostIP', 'spec.nodeName')
    env = [{'name': f'V{i}', 'valueFrom': {'fieldRef': {'fieldPath': path}}} for i, path in enumerate(paths)]
    await kubelet.create_pod(*FOREVER, env=env, wait=True)
    assert await kubelet.sh('echo $V0 $V1 $V2 $V3') == 'p 10.244.0.2 10.244.240.2 node-1\n'


async def test_services_are_in_the_environment(kubelet: Lab) -> None:
    spec = {'clusterIP': '10.96.0.77', 'ports': [{'port': 8080}]}
    metadata = {'name': 'kangaroo-backend', 'namespace': 'default'}
    await kubelet.client.create(SERVICES, {'apiVersion': 'v1', 'kind': 'Service', 'metadata': metadata, 'spec': spec})
    await eventually(lambda: kubelet.agent._services.list('default'))
    await kubelet.create_pod('sh', '-c', 'echo $(KANGAROO_BACKEND_SERVICE_HOST); exec sleep infinity', wait=True)
    await kubelet.prints('10.96.0.77\n')


async def test_the_termination_message_is_read_from_its_file(kubelet: Lab) -> None:
    await kubelet.create_pod(
        'sh', '-c', 'echo -n because > /dev/termination-log; exit 1', spec={'restartPolicy': 'Never'}
    )
    pod = await kubelet.until(lambda pod: pod['status']['phase'] == 'Failed')
    assert container(pod)['state']['terminated']['message'] == 'because'


async def test_the_end_of_the_log_can_be_the_termination_message(kubelet: Lab) -> None:
    policy = {'terminationMessagePolicy': 'FallbackToLogsOnError'}
    await kubelet.create_pod('sh', '-c', 'echo because; exit 1', spec={'restartPolicy': 'Never'}, **policy)
    pod = await kubelet.until(lambda pod: pod['status']['phase'] == 'Failed')
    assert container(pod)['state']['terminated']['message'] == 'because\n'


async def test_users_groups_and_capabilities(kubelet: Lab) -> None:
    context = {'runAsUser': 1234, 'runAsGroup': 2345, 'capabilities': {'drop': ['ALL']}}
    spec = {'securityContext': {'fsGroup': 3456}, 'volumes': [{'name': 'v', 'emptyDir': {}}]}
    mounts = [{'name': 'v', 'mountPath': '/v'}]
    await kubelet.create_pod(*FOREVER, securityContext=context, volumeMounts=mounts, spec=spec, wait=True)
    assert await kubelet.sh('id -u; id -g; id -G; touch /v/x; stat -c %g /v/x') == '1234\n2345\n2345 3456\n3456\n'
    assert 'CapEff:\t0000000000000000' in await kubelet.sh('cat /proc/self/status')


async def test_what_we_write_to_a_container_cannot(kubelet: Lab) -> None:
    """As root it could lead our writes, and what we delete, to other files of the machine (CVE-2017-1002102)."""
    sources = {'configMap': {'name': 'settings'}, 'downwardAPI': {'items': []}, 'projected': {'sources': []}}
    await kubelet.client.create(CONFIGMAPS, {'metadata': {'name': 'settings', 'namespace': 'default'}, 'data': {}})
    volumes = [{'name': kind.lower(), kind: source} for kind, source in sources.items()]
    mounts = [{'name': volume['name'], 'mountPath': f'/v/{volume["name"]}'} for volume in volumes]
    await kubelet.create_pod('sleep', 'infinity', volumeMounts=mounts, spec={'volumes': volumes}, wait=True)
    script = 'for each in /v/*; do ln -sfn /etc $each/..data 2>&1 || true; done'
    assert (await kubelet.sh(script)).count('Read-only file system') == len(sources)
