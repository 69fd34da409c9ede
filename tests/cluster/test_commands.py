"""The commands of people, on a running cluster: kubectl's flags, kubectl's output."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml

from netkube.testing import Cluster, eventually
from netkube.testing.objects import config_map, container, deployment, pod, server, service

STEADY = ('sh', '-c', 'for n in 1 2 3 4 5; do echo line $n; done; echo to stderr >&2; exec sleep inf')


@pytest.fixture(scope='module', autouse=True)
def workload(shop: Cluster) -> None:
    shop.apply(
        deployment('web', server(), replicas=2),
        service('web', 80),
        pod('talker', container(*STEADY)),
        pod('pair', container('sleep', 'inf', name='first'), container(*STEADY, name='second')),
    )


class TestGet:
    def test_a_table(self, shop):
        header, row = shop('get', 'pod', 'talker').splitlines()
        assert header.split() == ['NAME', 'READY', 'STATUS', 'RESTARTS', 'AGE']
        assert row.split()[:4] == ['talker', '1/1', 'Running', '0']

    def test_several_kinds(self, shop):
        blocks = shop('get', 'deploy,svc').strip().split('\n\n')
        assert [block.splitlines()[0].split()[0] for block in blocks] == ['NAME', 'NAME']
        assert blocks[0].splitlines()[1].startswith('deployment.apps/web')
        assert any(line.startswith('service/web') for line in blocks[1].splitlines())

    def test_by_label(self, shop):
        names = shop('get', 'pods', '-l', 'app=web', '-o', 'name').split()
        assert len(names) == 2
        assert all(name.startswith('pod/web-') for name in names)
        assert shop('get', 'pods', '-l', 'app in (talker, pair)', '-o', 'name').split() == ['pod/pair', 'pod/talker']

    def test_in_all_namespaces(self, shop):
        header, *rows = shop('get', 'services', '-A').splitlines()
        assert header.split()[0] == 'NAMESPACE'
        assert ['kube-system', 'kube-dns'] in [row.split()[:2] for row in rows]

    def test_managed_fields_are_shown_when_asked_for(self, shop):
        assert 'managedFields' not in shop('get', 'deploy/web', '-o', 'yaml')
        assert 'managedFields' not in shop('get', 'deploy', '-o', 'json')
        shown = json.loads(shop('get', 'deploy/web', '-o', 'json', '--show-managed-fields'))
        managers = [entry['manager'] for entry in shown['metadata']['managedFields']]
        assert managers == ['kubectl-client-side-apply', 'netkube']

    def test_nothing(self, shop):
        done = shop.run('get', 'pods', '-n', 'kube-public')
        assert (done.returncode, done.stdout) == (0, '')
        assert done.stderr == 'No resources found in kube-public namespace.\n'

    def test_json_and_yaml_are_the_same_object(self, shop):
        as_json = json.loads(shop('get', 'pod', 'talker', '-o', 'json'))
        assert (as_json['apiVersion'], as_json['kind']) == ('v1', 'Pod')
        assert yaml.safe_load(shop('get', 'pod', 'talker', '-o', 'yaml')) == as_json
        several = json.loads(shop('get', 'pods', '-o', 'json'))
        assert (several['kind'], len(several['items'])) == ('List', 4)

    def test_the_format_before_the_command(self, shop):
        assert shop('-o', 'name', '-n', 'kube-system', 'get', 'svc') == 'service/kube-dns\n'

    async def test_watch(self, shop):
        with background(shop, 'get', 'configmaps', '-w', '--field-selector', 'metadata.name=seen') as lines:
            shop.apply(config_map('seen'))
            shop.apply(config_map('seen', a='1'))
            shop('delete', 'configmap', 'seen')
            assert next(lines).split() == ['NAME', 'DATA', 'AGE']
            assert [next(lines).split()[:2] for _ in range(3)] == [['seen', '0'], ['seen', '1'], ['seen', '1']]

    def test_the_same_words_as_kubectl(self, shop):
        for words in (
            ['get', 'pods', '-o', 'wide'],
            ['get', 'deploy,svc,rs'],
            ['get', 'svc', '-A'],
            ['get', 'pods', '--show-labels'],
            ['get', 'endpointslices'],
            ['get', 'nodes', '-o', 'wide'],
            ['get', 'pods', '-l', 'app=web', '-o', 'name'],
            ['get', 'pod/talker', 'svc/web'],
        ):
            assert ageless(shop(*words)) == ageless(shop.kubectl(*words)), words


def ageless(text: str) -> str:
    """Without times, and as many blanks as columns need for them."""
    return re.sub(r' +', ' ', re.sub(r'\b(\d+[smh])+\b', 'AGE', text))


@contextmanager
def background(cluster: Cluster, *words: str) -> Iterator[Iterator[str]]:
    """The lines of a command that goes on for ever, from when it has connected."""
    process = cluster.start(*words)
    assert process.stdout
    try:
        yield iter(process.stdout.readline, '')
    finally:
        process.kill()
        process.communicate()


class TestDescribe:
    def test_a_pod_with_its_events(self, shop):
        text = shop('describe', 'pod', 'talker')
        lines = {line.split(':')[0].strip(): line.partition(':')[2].strip() for line in text.splitlines()}
        assert lines['Name'] == 'talker'
        assert lines['Status'] == 'Running'
        assert lines['IP'] == shop.get('pod', 'talker')['status']['podIP']
        assert re.search(r'Normal +Scheduled .*default-scheduler +Successfully assigned default/talker to', text)
        assert re.search(r'Normal +Started ', text)

    @pytest.mark.parametrize('kind', ['deploy', 'rs', 'svc', 'node', 'cm', 'ns', 'endpointslice', 'sa', 'lease -A'])
    def test_every_kind(self, shop, kind):
        assert 'Name: ' in shop('describe', *kind.split())

    def test_a_service_names_its_endpoints(self, shop):
        text = shop('describe', 'svc', 'web')
        for each in shop.get('pods', '-l', 'app=web'):
            assert f'{each["status"]["podIP"]}:80' in text

    def test_a_load_balancer_says_how_it_is_reached(self, shop):
        shop.apply(service('front', 80, type='LoadBalancer', externalTrafficPolicy='Local', externalIPs=['192.0.2.1']))
        front = shop.get('svc', 'front')
        lines = {tuple(line.split(':', 1)) for line in shop('describe', 'svc', 'front').splitlines() if ':' in line}
        said = {label: value.strip() for label, value in lines}
        assert said['LoadBalancer Ingress'] == front['status']['loadBalancer']['ingress'][0]['ip']
        assert said['NodePort'] == f'<unset>  {front["spec"]["ports"][0]["nodePort"]}/TCP'
        assert said['External IPs'] == '192.0.2.1'
        assert said['External Traffic Policy'] == 'Local'
        assert said['HealthCheck NodePort'] == str(front['spec']['healthCheckNodePort'])


class TestLogs:
    LINES = [f'line {number}' for number in range(1, 6)]

    def test_all_of_it(self, shop):
        assert sorted(shop('logs', 'talker').splitlines()) == [*self.LINES, 'to stderr']

    def test_tail(self, shop):
        assert len(shop('logs', 'talker', '--tail', '2').splitlines()) == 2

    def test_timestamps(self, shop):
        stamped = [line.split(' ', 1) for line in shop('logs', 'talker', '--timestamps').splitlines()]
        assert all(re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z', stamp) for stamp, _ in stamped)
        assert sorted(text for _, text in stamped) == [*self.LINES, 'to stderr']

    def test_of_a_container(self, shop):
        assert shop('logs', 'pair', '-c', 'second').splitlines()[0] == 'line 1'
        done = shop.run('logs', 'pair')
        assert (done.stdout, done.stderr) == ('', 'Defaulted container "first" out of: first, second\n')

    def test_of_a_container_that_there_is_not(self, shop):
        done = shop.run('logs', 'pair', '-c', 'third')
        assert done.returncode == 1
        assert 'container third is not valid for pod pair' in done.stderr

    def test_by_label(self, shop):
        lines = shop('logs', '-l', 'app in (talker, pair)', '--all-containers', '--prefix', '--tail', '-1').splitlines()
        assert '[pod/talker/main] line 5' in lines
        assert '[pod/pair/second] line 5' in lines

    def test_follow(self, shop):
        shop.apply(pod('clock', container('sh', '-c', 'while :; do echo tick; sleep 0.05; done')))
        with background(shop, 'logs', '-f', 'clock', '--tail', '1') as lines:
            assert [next(lines) for _ in range(20)] == ['tick\n'] * 20
        shop('delete', 'pod', 'clock')

    def test_follow_ends_with_the_container(self, shop):
        shop.apply(pod('brief', container('sh', '-c', 'sleep 0.3; echo bye'), restartPolicy='Never'), wait=False)
        shop('wait', 'pod/brief')
        assert shop('logs', '-f', 'brief') == 'bye\n'

    async def test_previous(self, shop):
        script = 'if [ -e /data/again ]; then echo second; exec sleep inf; fi; touch /data/again; echo first; exit 3'
        volume = {'volumes': [{'name': 'data', 'emptyDir': {}}]}
        mount = [{'name': 'data', 'mountPath': '/data'}]
        shop.apply(pod('again', container('sh', '-c', script, volumeMounts=mount), **volume), wait=False)
        await eventually(lambda: shop.run('logs', 'again').stdout == 'second\n')
        assert shop('logs', 'again', '--previous') == 'first\n'
        (status,) = shop.get('pod', 'again')['status']['containerStatuses']
        assert (status['restartCount'], status['lastState']['terminated']['exitCode']) == (1, 3)


# The size follows the start, as with kubectl.
SIZE = 'tty; until stty size | grep -v "^0 0"; do :; done'


class TestExec:
    def test_output_and_exit_code(self, shop):
        done = shop.run('exec', 'talker', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7')
        assert (done.returncode, done.stdout) == (7, 'out\n')
        assert done.stderr.startswith('err\n')

    def test_stdin(self, shop):
        assert shop('exec', '-i', 'talker', '--', 'wc', '-c', stdin='x' * 500_000) == '500000\n'

    def test_without_stdin_it_is_empty(self, shop):
        assert shop('exec', 'talker', '--', 'cat', stdin='not for you') == ''

    def test_much_output(self, shop):
        assert len(shop('exec', 'talker', '--', 'sh', '-c', 'yes | head -c 3000000')) == 3_000_000

    def test_by_deployment_and_container(self, shop):
        assert shop('exec', 'deploy/web', '--', 'hostname').startswith('web-')
        assert shop('exec', 'pair', '-c', 'second', '--', 'cat', '/proc/1/comm') == 'sleep\n'

    def test_options_after_the_pod(self, shop):
        assert shop('exec', 'talker', '-n', 'default', '-i', '--', 'cat', stdin='hi') == 'hi'

    def test_a_command_that_there_is_not(self, shop):
        done = shop.run('exec', 'talker', '--', 'no-such-program')
        assert done.returncode != 0
        assert 'exec: "no-such-program": executable file not found in $PATH' in done.stderr
        assert 'Traceback' not in done.stderr

    def test_without_a_terminal_it_says_so_and_goes_on(self, shop):
        done = shop.run('exec', '-it', 'talker', '--', 'echo', 'hi')
        assert done.stdout == 'hi\n'
        assert done.stderr == 'Unable to use a TTY - input is not a terminal or the right kind of file\n'

    def test_on_a_terminal(self, shop):
        command = subprocess.list2cmdline(shop.command('exec', '-it', 'talker', '--', 'sh', '-c', SIZE))
        done = subprocess.run(
            ['script', '-qec', f'stty rows 33 cols 77; COLUMNS=80 LINES=24 {command}', '/dev/null'],
            text=True,
            capture_output=True,
        )
        assert '/dev/pts/' in done.stdout
        assert '33 77' in done.stdout


class TestApply:
    def test_created_unchanged_configured(self, shop):
        assert shop.apply(config_map('k', a='1')) == 'configmap/k created\n'
        assert shop.apply(config_map('k', a='1')) == 'configmap/k unchanged\n'
        assert shop.apply(config_map('k', a='2')) == 'configmap/k configured\n'
        assert shop.get('configmap', 'k')['data'] == {'a': '2'}

    def test_what_the_manifest_drops_goes_and_what_others_added_stays(self, shop):
        shop.apply(config_map('m', a='1', b='2'))
        shop.kubectl('patch', 'configmap', 'm', '-p', '{"data": {"c": "3"}}')
        shop.apply(config_map('m', a='1'))
        assert shop.get('configmap', 'm')['data'] == {'a': '1', 'c': '3'}

    def test_a_dry_run_changes_nothing(self, shop):
        said = shop('apply', '--dry-run', 'server', '-f', '-', stdin=json.dumps(config_map('dry')))
        assert said == 'configmap/dry created (server dry run)\n'
        assert shop.run('get', 'configmap', 'dry').returncode == 1

    def test_a_folder_in_order(self, shop, tmp_path):
        for name in ('b', 'a'):
            (tmp_path / f'{name}.yaml').write_text(yaml.safe_dump(config_map(f'from-{name}')))
        (tmp_path / 'notes.txt').write_text('not a manifest')
        assert shop('apply', '-f', str(tmp_path)).splitlines() == [
            'configmap/from-a created', 'configmap/from-b created',
        ]  # fmt: skip
        assert shop('delete', '-f', str(tmp_path)).splitlines() == [
            'configmap "from-a" deleted from default namespace', 'configmap "from-b" deleted from default namespace',
        ]  # fmt: skip

    def test_waiting_in_vain_says_for_what(self, shop):
        manifest = json.dumps(deployment('hopeless', container('/no/such/program')))
        done = shop.run('apply', '--wait', '--timeout', '1', '-f', '-', stdin=manifest)
        assert done.returncode == 1
        assert done.stdout == 'deployment.apps/hopeless created\n'
        failure, detail = done.stderr.splitlines()
        assert failure == ('error: deployment.apps/hopeless: timed out: 0 of 1 updated replicas are available')
        assert re.match(r'  pod hopeless-\S+, container main: (CrashLoopBackOff|StartError): ', detail)
        shop('delete', 'deploy', 'hopeless')

    def test_scale(self, shop):
        assert shop('scale', 'deploy/web', '--replicas', '3') == 'deployment.apps/web scaled\n'
        shop('wait', 'deploy/web')
        assert len(shop.get('pods', '-l', 'app=web')) == 3
        shop('scale', 'deploy', 'web', '--replicas', '2')


class TestDelete:
    def test_by_name_label_and_all(self, shop):
        for name in ('one', 'two', 'three'):
            shop.apply(config_map(name, namespace='kube-public') | {'metadata': {
                'name': name, 'namespace': 'kube-public', 'labels': {'n': name}}})  # fmt: skip
        where = ('-n', 'kube-public')
        assert shop('delete', 'cm', 'one', *where) == 'configmap "one" deleted from kube-public namespace\n'
        assert shop('delete', 'cm', '-l', 'n=two', *where) == 'configmap "two" deleted from kube-public namespace\n'
        assert 'configmap "three" deleted' in shop('delete', 'cm', '--all', *where)
        assert shop('delete', 'cm/three', '--ignore-not-found', *where) == ''

    def test_a_pod_is_gone_when_it_returns_and_had_its_grace(self, shop):
        script = 'trap "echo asked; exit 0" TERM; echo ready; while :; do sleep 0.05; done'
        shop.apply(pod('polite', container('sh', '-c', script), terminationGracePeriodSeconds=20))
        with background(shop, 'logs', '-f', 'polite') as lines:
            assert next(lines) == 'ready\n'
            assert shop('delete', 'pod', 'polite') == 'pod "polite" deleted from default namespace\n'
            assert next(lines) == 'asked\n'
        assert shop.run('get', 'pod', 'polite').returncode == 1


def test_kubectl_goes_on_server_side_with_what_netkube_applied(shop):
    shop.apply(config_map('handed-over', kept='1', dropped='1'))
    manifest = json.dumps(config_map('handed-over', kept='2'))
    shop.kubectl('apply', '--server-side', '-f', '-', stdin=manifest)
    assert shop.get('configmap', 'handed-over')['data'] == {'kept': '2'}
