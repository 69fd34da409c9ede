"""The real kubectl, a verb at a time, on a running cluster."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from netkube.testing import Cluster, CommandError
from netkube.testing.objects import config_map, container, deployment, pod, server, service
from netkube.testing.tools import tool


@pytest.fixture(scope='module', autouse=True)
def workload(shop: Cluster) -> None:
    shop.apply(deployment('web', server(), replicas=2), service('web', 80), pod('talker'))


def kubectl(shop: Cluster, *words: str, stdin: str = '', **environment: str) -> subprocess.CompletedProcess[str]:
    """With the exit code and stderr, which ``shop.kubectl`` keeps to itself."""
    command = [str(tool('kubectl')), '--kubeconfig', shop('kubeconfig').strip(), *words]
    return subprocess.run(
        command, input=stdin, text=True, capture_output=True, timeout=180, env={**shop.clients, **environment}
    )


def found(shop: Cluster, *words: str) -> Any:
    return json.loads(shop.kubectl('get', *words, '-o', 'json'))


def manifest(tmp_path: Path, *objects: Any) -> str:
    path = tmp_path / 'manifest.yaml'
    path.write_text(yaml.safe_dump_all(objects))
    return str(path)


class TestObjects:
    """What makes, changes and removes objects."""

    def test_create_in_its_many_forms(self, shop, tmp_path):
        made = {
            'create configmap made --from-literal=a=1': 'configmap/made created\n',
            'create secret generic made --from-literal=a=1': 'secret/made created\n',
            'create namespace made': 'namespace/made created\n',
            'create serviceaccount made': 'serviceaccount/made created\n',
            'create deployment made --image=none --replicas=0 -- sleep inf': 'deployment.apps/made created\n',
            'create service clusterip made --tcp=80:8080': 'service/made created\n',
        }
        for words, said in made.items():
            assert shop.kubectl(*words.split()) == said
        assert shop.kubectl('create', '-f', manifest(tmp_path, config_map('file', a='1'))) == 'configmap/file created\n'
        again = kubectl(shop, 'create', 'namespace', 'made')
        assert again.stderr == 'Error from server (AlreadyExists): namespaces "made" already exists\n'

    def test_apply_and_diff_of_the_client(self, shop, tmp_path):
        path = manifest(tmp_path, config_map('applied', a='1'))
        assert shop.kubectl('apply', '-f', path) == 'configmap/applied created\n'
        assert shop.kubectl('apply', '-f', path) == 'configmap/applied unchanged\n'
        assert kubectl(shop, 'diff', '-f', path).returncode == 0
        path = manifest(tmp_path, config_map('applied', b='2'))
        diff = kubectl(shop, 'diff', '-f', path)
        assert (diff.returncode, '-  a: "1"' in diff.stdout, '+  b: "2"' in diff.stdout) == (1, True, True)
        assert shop.kubectl('apply', '-f', path) == 'configmap/applied configured\n'
        assert found(shop, 'configmap', 'applied')['data'] == {'b': '2'}

    def test_apply_prunes_what_the_manifest_no_longer_has(self, shop, tmp_path):
        labels = {'set': 'pruned'}
        both = [config_map(name, a='1') for name in ('kept', 'dropped')]
        for one in both:
            one['metadata']['labels'] = labels
        prune = ('--prune', '-l', 'set=pruned', '--prune-allowlist=core/v1/ConfigMap')
        shop.kubectl('apply', '-f', manifest(tmp_path, *both), *prune)
        said = shop.kubectl('apply', '-f', manifest(tmp_path, both[0]), *prune)
        assert said.splitlines() == ['configmap/kept unchanged', 'configmap/dropped pruned']

    def test_apply_a_directory_with_kustomize(self, shop, tmp_path):
        (tmp_path / 'kustomization.yaml').write_text(
            'resources: [one.yaml]\nnamePrefix: dev-\nlabels: [{pairs: {team: red}}]\n'
        )
        (tmp_path / 'one.yaml').write_text(yaml.safe_dump(config_map('one', a='1')))
        assert shop.kubectl('apply', '-k', str(tmp_path)) == 'configmap/dev-one created\n'
        assert shop.kubectl('get', 'configmap', '-l', 'team=red', '-o', 'name') == 'configmap/dev-one\n'

    def test_edit(self, shop, tmp_path):
        shop.kubectl('create', 'configmap', 'edited', '--from-literal=a=1')
        editor = tmp_path / 'editor'
        editor.write_text('#!/bin/sh\nsed -i \'s/a: "1"/a: "2"/\' "$1"\n')
        editor.chmod(0o755)
        done = kubectl(shop, 'edit', 'configmap', 'edited', KUBE_EDITOR=str(editor))
        assert done.stdout == 'configmap/edited edited\n'
        assert found(shop, 'configmap', 'edited')['data'] == {'a': '2'}

    @pytest.mark.parametrize(
        'kind, patch',
        [
            ('strategic', {'spec': {'template': {'spec': {'containers': [{'name': 'main', 'workingDir': '/srv'}]}}}}),
            ('merge', {'spec': {'replicas': 0, 'template': {'metadata': {'labels': {'x': 'y'}}}}}),
            ('json', [{'op': 'add', 'path': '/metadata/labels/x', 'value': 'y'}]),
        ],
    )
    def test_patch(self, shop, kind, patch):
        name = f'patched-{kind}'
        shop.apply(deployment(name, container('sleep', 'inf'), replicas=0), wait=False)
        words = ('patch', 'deployment', name, '--type', kind, '-p', json.dumps(patch))
        assert shop.kubectl(*words) == f'deployment.apps/{name} patched\n'
        assert shop.kubectl(*words) == f'deployment.apps/{name} patched (no change)\n'
        assert len(found(shop, 'deployment', name)['spec']['template']['spec']['containers']) == 1

    def test_patch_of_a_status(self, shop):
        patch = '{"status": {"conditions": [{"type": "example.com/x", "status": "True"}]}}'
        assert shop.kubectl('patch', 'pod', 'talker', '--subresource=status', '-p', patch) == 'pod/talker patched\n'
        assert 'example.com/x' in shop.kubectl('get', 'pod', 'talker', '-o', 'jsonpath={.status.conditions[*].type}')

    def test_replace(self, shop, tmp_path):
        shop.kubectl('create', 'configmap', 'replaced', '--from-literal=a=1')
        path = manifest(tmp_path, config_map('replaced', b='2'))
        assert shop.kubectl('replace', '-f', path) == 'configmap/replaced replaced\n'
        assert found(shop, 'configmap', 'replaced')['data'] == {'b': '2'}
        forced = shop.kubectl('replace', '--force', '-f', path).splitlines()
        assert forced == ['configmap "replaced" deleted from default namespace', 'configmap/replaced replaced']

    def test_label_and_annotate(self, shop):
        assert shop.kubectl('label', 'pod', 'talker', 'tier=x') == 'pod/talker labeled\n'
        refused = kubectl(shop, 'label', 'pod', 'talker', 'tier=y')
        assert "'tier' already has a value (x), and --overwrite is false" in refused.stderr
        assert shop.kubectl('label', 'pod', 'talker', 'tier-') == 'pod/talker unlabeled\n'
        assert shop.kubectl('annotate', 'pod', 'talker', 'note=hello there') == 'pod/talker annotated\n'
        assert found(shop, 'pod', 'talker')['metadata']['annotations']['note'] == 'hello there'

    def test_set_image_env_and_resources(self, shop):
        shop.apply(deployment('configured', container('sleep', 'inf'), replicas=0), wait=False)
        shop.kubectl('set', 'image', 'deployment/configured', 'main=other')
        shop.kubectl('set', 'env', 'deployment/configured', 'COLOUR=grey')
        shop.kubectl('set', 'resources', 'deployment/configured', '--requests=cpu=10m')
        shop.kubectl('set', 'serviceaccount', 'deployment/configured', 'default')
        spec = found(shop, 'deployment', 'configured')['spec']['template']['spec']
        [only] = spec['containers']
        assert (only['image'], only['env'], only['resources']['requests']) == (
            'other', [{'name': 'COLOUR', 'value': 'grey'}], {'cpu': '10m'}
        )  # fmt: skip

    def test_delete_by_name_label_and_file(self, shop, tmp_path):
        path = manifest(tmp_path, config_map('goes', a='1'))
        for words in (('configmap', 'goes'), ('configmap', '-l', 'set=goes'), ('-f', path)):
            shop.kubectl('apply', '-f', path)
            shop.kubectl('label', 'configmap', 'goes', 'set=goes')
            assert shop.kubectl('delete', *words) == 'configmap "goes" deleted from default namespace\n'
        gone = kubectl(shop, 'delete', 'configmap', 'goes')
        assert gone.stderr == 'Error from server (NotFound): configmaps "goes" not found\n'
        assert kubectl(shop, 'delete', 'configmap', 'goes', '--ignore-not-found').returncode == 0


class TestReading:
    def test_get_as_table_wide_names_custom_columns_and_template(self, shop):
        header, *rows = shop.kubectl('get', 'pods', '-l', 'app=web', '-o', 'wide').splitlines()
        assert header.split()[:6] == ['NAME', 'READY', 'STATUS', 'RESTARTS', 'AGE', 'IP']
        assert {row.split()[1] for row in rows} == {'1/1'}
        columns = shop.kubectl('get', 'svc', 'web', '-o', 'custom-columns=N:.metadata.name,P:.spec.ports[0].port')
        assert columns.split() == ['N', 'P', 'web', '80']
        template = '{{range .items}}{{.metadata.labels.app}} {{end}}'
        assert shop.kubectl('get', 'pods', '-l', 'app=web', '-o', f'go-template={template}') == 'web web '

    def test_get_sorted_in_chunks_and_by_field(self, shop):
        names = shop.kubectl('get', 'configmaps', '-A', '-o', 'name', '--sort-by=.metadata.name').splitlines()
        assert sorted(names) == sorted(shop.kubectl('get', 'configmaps', '-A', '-o', 'name', '--chunk-size=1').split())
        selector = '--field-selector=status.phase=Running,metadata.name=talker'
        assert shop.kubectl('get', 'pods', selector, '-o', 'name') == 'pod/talker\n'

    def test_get_and_watch(self, shop):
        command = [str(tool('kubectl')), '--kubeconfig', shop('kubeconfig').strip()]
        watch = subprocess.Popen(
            [*command, 'get', 'configmap', '-w', '-o', 'name', '-l', 'set=watched'], stdout=subprocess.PIPE, text=True
        )
        try:
            one = config_map('watched', a='1')
            one['metadata']['labels'] = {'set': 'watched'}
            shop.apply(one)
            assert watch.stdout
            assert watch.stdout.readline() == 'configmap/watched\n'
        finally:
            watch.kill()
            watch.communicate()

    def test_describe(self, shop):
        text = shop.kubectl('describe', 'pod', 'talker')
        assert 'Status:           Running' in text
        assert 'Started' in text.partition('Events:')[2]
        assert 'Endpoints:' in shop.kubectl('describe', 'service', 'web')
        assert 'NewReplicaSet:' in shop.kubectl('describe', 'deployment', 'web')
        assert 'Allocated resources:' in shop.kubectl('describe', 'node')

    def test_events(self, shop):
        lines = shop.kubectl('events', '--for', 'pod/talker').splitlines()
        assert lines[0].split() == ['LAST', 'SEEN', 'TYPE', 'REASON', 'OBJECT', 'MESSAGE']
        assert {'Scheduled', 'Created', 'Started'} <= {word for line in lines for word in line.split()}

    def test_explain_api_resources_and_versions(self, shop):
        assert 'containerPort' in shop.kubectl('explain', 'deployment.spec.template.spec.containers.ports')
        assert 'FIELD: strategy' in shop.kubectl('explain', 'deployment.spec.strategy')
        resources = shop.kubectl('api-resources', '-o', 'name').split()
        assert {'pods', 'deployments.apps', 'endpointslices.discovery.k8s.io'} <= set(resources)
        assert 'apps/v1' in shop.kubectl('api-versions').split()

    def test_cluster_info_and_version(self, shop):
        assert 'is running at' in shop.kubectl('cluster-info')
        assert 'Server Version: v1.37' in shop.kubectl('version')

    def test_wait(self, shop):
        said = shop.kubectl('wait', '--for=condition=Available', 'deployment/web', '--timeout=60s')
        assert said == 'deployment.apps/web condition met\n'
        phase = '--for=jsonpath={.status.phase}=Running'
        assert shop.kubectl('wait', phase, 'pod/talker', '--timeout=60s') == 'pod/talker condition met\n'
        shop.apply(config_map('waited', a='1'))
        shop.kubectl('delete', 'configmap', 'waited', '--wait=false')
        shop.kubectl('wait', '--for=delete', 'configmap/waited', '--timeout=60s')
        with pytest.raises(CommandError, match='timed out waiting for the condition'):
            shop.kubectl('wait', '--for=condition=Nothing', 'pod/talker', '--timeout=0.1s')


class TestWorkloads:
    def test_rollout(self, shop):
        shop.apply(deployment('rolled', container('sleep', 'inf')))
        said = shop.kubectl('rollout', 'restart', 'deployment/rolled')
        assert said == 'deployment.apps/rolled restarted\n'
        status = shop.kubectl('rollout', 'status', 'deployment/rolled', '--timeout=60s')
        assert status.endswith('successfully rolled out\n')
        history = shop.kubectl('rollout', 'history', 'deployment/rolled').split()
        assert history[-4:] == ['1', '<none>', '2', '<none>']
        shop.kubectl('rollout', 'pause', 'deployment/rolled')
        assert found(shop, 'deployment', 'rolled')['spec']['paused'] is True
        shop.kubectl('rollout', 'resume', 'deployment/rolled')
        assert shop.kubectl('rollout', 'undo', 'deployment/rolled') == 'deployment.apps/rolled rolled back\n'
        shop.kubectl('rollout', 'status', 'deployment/rolled', '--timeout=60s')
        annotations = found(shop, 'deployment', 'rolled')['spec']['template']['metadata'].get('annotations', {})
        assert 'kubectl.kubernetes.io/restartedAt' not in annotations

    def test_scale(self, shop):
        shop.apply(deployment('scaled', container('sleep', 'inf')))
        said = shop.kubectl('scale', 'deployment/scaled', '--replicas=3', '--current-replicas=1')
        assert said == 'deployment.apps/scaled scaled\n'
        shop.kubectl('wait', '--for=jsonpath={.status.readyReplicas}=3', 'deployment/scaled', '--timeout=60s')

    def test_expose(self, shop):
        shop.apply(deployment('exposed', server()))
        assert shop.kubectl('expose', 'deployment', 'exposed', '--port=8080', '--target-port=80') == (
            'service/exposed exposed\n'
        )  # fmt: skip
        answer = shop('exec', 'talker', '--', 'curl', '-s', '--retry', '5', '--retry-connrefused', 'http://exposed:8080/')
        assert answer.startswith('exposed-')

    def test_run_and_logs(self, shop):
        words = ('run', 'once', '--image=none', '--restart=Never', '--command', '--', 'echo', 'hello')
        assert shop.kubectl(*words) == 'pod/once created\n'
        shop.kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/once', '--timeout=60s')
        assert shop.kubectl('logs', 'once') == 'hello\n'
        assert shop.kubectl('logs', '-l', 'run=once', '--prefix').endswith('] hello\n')

    def test_exec_and_cp(self, shop, tmp_path):
        (tmp_path / 'sent').write_text('some text\n')
        shop.kubectl('cp', str(tmp_path / 'sent'), 'talker:/tmp/received')
        assert shop.kubectl('exec', 'talker', '--', 'cat', '/tmp/received') == 'some text\n'
        shop.kubectl('cp', 'talker:/tmp/received', str(tmp_path / 'back'))
        assert (tmp_path / 'back').read_text() == 'some text\n'


class TestNode:
    def test_cordon_taint_and_drain(self, shop):
        node = f'{shop.name}-node-1'
        assert shop.kubectl('cordon', node) == f'node/{node} cordoned\n'
        assert 'SchedulingDisabled' in shop.kubectl('get', 'node', node)
        assert shop.kubectl('uncordon', node) == f'node/{node} uncordoned\n'
        assert shop.kubectl('taint', 'node', node, 'for=tests:NoSchedule') == f'node/{node} tainted\n'
        assert shop.kubectl('taint', 'node', node, 'for-') == f'node/{node} untainted\n'
        said = shop.kubectl('drain', node, '--force', '--ignore-daemonsets', '--timeout=60s')
        assert said.endswith(f'node/{node} drained\n')
        names = shop.kubectl('get', 'pods', '--field-selector=status.phase=Running', '-o', 'name')
        assert names == ''
        shop.kubectl('uncordon', node)
        shop.kubectl('wait', '--for=condition=Available', 'deployment/web', '--timeout=60s')
