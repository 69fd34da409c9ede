"""``up`` and ``down``: what they take, what they refuse, what they keep."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from netkube.network import sysctl
from netkube.network.forwarding import FORWARD
from netkube.testing import Cluster, CommandError
from netkube.testing.objects import config_map, pod, server, service


def refusal(cluster: Cluster, *words: str) -> str:
    """The one line that a command is refused with."""
    done = cluster.run(*words)
    assert done.returncode == 1, done
    assert done.stderr.startswith('error: ') and done.stderr.count('\n') == 1, done.stderr
    return done.stderr.removeprefix('error: ').rstrip('\n')


class TestRunning:
    def test_status_names_each_process(self, shop):
        status = json.loads(shop('status', '-o', 'json'))
        assert list(status)[0] == 'daemon'
        for role in ('daemon', 'runtime', 'dns'):
            assert Path(f'/proc/{status[role]["pid"]}').exists()
        assert status['ready'] is True
        assert status['memoryKiB'] == sum(status[role]['memoryKiB'] for role in ('daemon', 'runtime', 'dns'))

    def test_status_for_people(self, shop):
        text = shop('status')
        assert f'cluster  {shop.name} (ready)' in text
        assert 'cluster.local, DNS at' in text

    def test_up_again_is_up(self, shop):
        pids = shop.pids()
        assert shop.run('up').stderr == f'cluster "{shop.name}" is running already\n'
        shop.up()
        assert shop.pids() == pids

    @pytest.mark.parametrize(
        ('option', 'value', 'words'),
        [
            ('--cluster-domain', 'other.com', 'exists with --cluster-domain cluster.local'),
            ('--pod-cidr', '10.7.0.0/16', 'exists with --pod-cidr 10.'),
            ('--service-cidr', '10.7.0.0/16', 'exists with --service-cidr 10.'),
            ('--api-port', '7999', 'runs with other options; stop it first'),
            ('--state-dir', '/var/tmp/elsewhere', 'runs with --state-dir /var/tmp/'),
        ],
    )
    def test_options_that_it_does_not_have(self, shop, option, value, words):
        assert words in refusal(shop, 'up', option, value)
        assert not Path('/var/tmp/elsewhere').exists()

    def test_host_access_cannot_be_taken_from_a_running_cluster(self, shop):
        assert 'runs with other options' in refusal(shop, 'up', '--no-host-access')
        assert shop('status')

    def test_the_kubeconfig_is_its_owners_alone(self, shop):
        path = Path(shop('kubeconfig').strip())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.stat().st_uid == 0

    def test_the_kubeconfig_of_who_called_sudo_is_theirs(self, shop):
        shop.environment = {**os.environ, 'SUDO_UID': '1000', 'SUDO_GID': '1001'}
        path = Path(shop('kubeconfig').strip())
        shop.environment = os.environ
        assert (path.stat().st_uid, path.stat().st_gid) == (1000, 1001)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_a_merged_kubeconfig_keeps_what_was_there(self, shop, tmp_path):
        file = tmp_path / 'config'
        work = {'name': 'work', 'cluster': {'server': 'https://work'}}
        file.write_text(yaml.safe_dump({'clusters': [work], 'current-context': 'work'}))
        shop.environment = {**os.environ, 'KUBECONFIG': str(file)}
        assert shop('kubeconfig', '--merge') == f'{file}\n'
        shop.environment = os.environ
        merged = yaml.safe_load(file.read_text())
        assert [each['name'] for each in merged['clusters']] == ['work', f'netkube-{shop.name}']
        assert merged['current-context'] == f'netkube-{shop.name}'
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_without_kubeconfig_it_goes_to_the_home(self, shop, tmp_path):
        shop.environment = {**os.environ, 'HOME': str(tmp_path)}
        assert shop('kubeconfig', '--merge') == f'{tmp_path}/.kube/config\n'
        shop.environment = os.environ

    def test_the_doctor_finds_nothing(self, shop):
        assert {line.split()[0] for line in shop('doctor').splitlines()} <= {'ok', 'optional'}
        assert all(check['ok'] or not check['required'] for check in json.loads(shop('doctor', '-o', 'json')))


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['--cluster-domain', 'My_Company'], 'invalid --cluster-domain "My_Company": a lowercase RFC 1123 subdomain'),
        (['--pod-cidr', 'many'], 'invalid --pod-cidr "many"'),
        (['--pod-cidr', '10.0.0.0/30'], 'pod CIDR 10.0.0.0/30 is too small: at least a /24 is needed'),
        (['--pod-cidr', '10.0.0.1/16'], 'invalid --pod-cidr "10.0.0.1/16": 10.0.0.1/16 has host bits set'),
        (['--service-cidr', '10.0.0.0/33'], 'invalid --service-cidr "10.0.0.0/33"'),
        (['--pod-cidr', '10.0.0.0/16', '--service-cidr', '10.0.0.0/8'], 'overlap'),
        (['--state-dir', '/etc'], '--state-dir /etc is neither empty nor the state of a cluster'),
    ],
)
def test_what_up_refuses(own, options, words):
    assert words in refusal(own, 'up', *options)
    assert own.run('status').returncode == 1


def test_usage_errors_are_told_as_usage(own):
    done = own.run('up', '--api-port', '99999')
    assert done.returncode == 2
    assert (
        done.stderr.splitlines()[-1] == "Error: Invalid value for '--api-port': 99999 is not in the range 1<=x<=65535."
    )


@pytest.mark.parametrize('name', ['Shop', 'a--b', '-a', 'a' * 33, 'a/b', ''])
@pytest.mark.parametrize('command', ['up', 'down', 'status', 'kubeconfig'])
def test_names_that_no_cluster_can_have(name, command):
    assert 'invalid cluster name' in refusal(Cluster(name, ''), command)


def test_a_port_that_is_taken(own):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = str(taken.getsockname()[1])
        said = refusal(own, 'up', '--state-dir', own.state_dir, '--api-port', port)
        assert said == f'port {port} of 127.0.0.1 is in use; choose another one with --api-port'
    assert own.run('status').returncode == 1
    own.up()
    assert json.loads(own('status', '-o', 'json'))['ready']


def test_a_port_that_is_taken_leaves_nothing_behind(own):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        refusal(own, 'up', '--state-dir', own.state_dir, '--api-port', str(taken.getsockname()[1]))
    assert not Path(own.state_dir).exists()


def test_where_the_state_is_outlives_down(own):
    own.up()
    own.apply(config_map('settings', colour='red'))
    own.down()
    own('up')
    assert own.get('configmap', 'settings')['data'] == {'colour': 'red'}
    assert json.loads(own('status', '-o', 'json'))['stateDir'] == own.state_dir
    own.down('--purge')
    assert not Path(own.state_dir).exists()
    assert not os.path.lexists(f'/var/lib/netkube/{own.name}')


def test_a_network_that_the_machine_has_already(own):
    subprocess.run(['ip', 'route', 'add', 'blackhole', '10.77.5.0/24'], check=True)
    try:
        said = refusal(own, 'up', '--pod-cidr', '10.77.0.0/16')
        assert 'pod CIDR 10.77.0.0/16' in said and 'overlaps 10.77.5.0/24' in said
    finally:
        subprocess.run(['ip', 'route', 'del', 'blackhole', '10.77.5.0/24'], check=True)


def test_objects_survive_down_and_up_and_purge_forgets_them(own):
    own.up()
    own.apply(pod('web', server()), service('web', 80), config_map('settings', colour='red'))
    uid, address = own.get('pod', 'web')['metadata']['uid'], own.get('service', 'web')['spec']['clusterIP']
    own.down()
    assert 'is not running' in refusal(own, 'get', 'pods')
    assert own.run('down').stderr == f'cluster "{own.name}" is not running\n'
    own.up()
    assert own.get('configmap', 'settings')['data'] == {'colour': 'red'}
    assert own.get('pod', 'web')['metadata']['uid'] == uid
    own('wait', 'pod/web', '--timeout', '20')
    assert own.get('service', 'web')['spec']['clusterIP'] == address
    own.down('--purge')
    own.up()
    assert own.run('get', 'configmap', 'settings').returncode == 1


def test_options_are_kept_over_down_and_some_may_change(own):
    own.options = ('--cluster-domain', 'my.org', '--pod-cidr', '10.200.0.0/20', '--service-cidr', '10.201.0.0/24')
    own.up()
    own.down()
    own.options = ('--api-port', '7443', '--no-host-access')
    own.up()
    status = json.loads(own('status', '-o', 'json'))
    assert (status['clusterDomain'], status['podCIDR'], status['serviceCIDR'], status['server']) == (
        'my.org', '10.200.0.0/20', '10.201.0.0/24', 'https://127.0.0.1:7443',
    )  # fmt: skip
    assert own.kubectl('get', 'nodes', '-o', 'name') == f'node/{own.name}-node-1\n'


def test_without_host_access_nothing_of_it_is_on_the_machine(own):
    sysctl.write(FORWARD, 0)
    before = _machine_network()
    own.options = ('--no-host-access',)
    own.up()
    own.apply(pod('web', server()), service('web', 80), pod('client'))
    assert _machine_network() == before
    assert sysctl.read(FORWARD) == '0'
    assert own('exec', 'client', '--', 'curl', '-s', '--max-time', '60', 'http://web/') == 'web\n'
    outside = own.run('exec', 'client', '--', 'curl', '-s', '--max-time', '60', 'http://192.0.2.1/')
    assert outside.returncode == 7  # curl: failed to connect, at once


def _machine_network() -> str:
    commands = ('ip -o link', 'ip -o address', 'ip route show table all', 'nft list ruleset')
    return '\n'.join(subprocess.run(c.split(), text=True, capture_output=True, check=True).stdout for c in commands)


def test_apply_starts_a_cluster_where_there_is_none(own):
    said = own.run('apply', '-f', '-', stdin=json.dumps(config_map('first')))
    assert said.stdout == 'configmap/first created\n'
    assert said.stderr == f'cluster "{own.name}" started\n'
    assert Path(f'/var/lib/netkube/{own.name}').is_dir()


def test_a_manifest_that_is_refused_as_a_whole_starts_nothing(own):
    for text in ('', '# nothing\n'):
        assert 'no objects passed to apply' in own.run('apply', '-f', '-', stdin=text).stderr
    assert own.run('apply', '-f', '/no/such/file').returncode == 1
    assert own.run('status').returncode == 1


def test_commands_on_a_cluster_that_there_is_not(own):
    for words in (['get', 'pods'], ['logs', 'web'], ['exec', 'web', '--', 'true'], ['delete', 'pod', 'web']):
        assert refusal(own, *words) == (
            f'cluster "{own.name}" is not running; start it with: sudo netkube --cluster {own.name} up'
        )
    for command in ('status', 'kubeconfig'):
        assert refusal(own, command) == (
            f'there is no cluster "{own.name}"; start it with: sudo netkube --cluster {own.name} up'
        )
    assert own.run('down').stderr == f'cluster "{own.name}" is not running\n'
    assert own.run('down', '--purge').stderr == f'cluster "{own.name}" is not running\n'


def test_the_cluster_comes_from_the_environment_too(own):
    command = own.command('get', 'pods')
    where = command.index('--cluster')
    del command[where : where + 2]
    environment = {**os.environ, 'NETKUBE_CLUSTER': own.name}
    done = subprocess.run(command, env=environment, text=True, capture_output=True)
    assert f'cluster "{own.name}" is not running' in done.stderr


def test_a_failed_command_raises(own):
    with pytest.raises(CommandError, match='is not running'):
        own('get', 'pods')
