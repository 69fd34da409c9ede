"""Programs in place of images, from ``up --images`` and from the ConfigMap."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from netkube.testing import Cluster, eventually
from netkube.testing.objects import pod

TABLE = """
- match: greeter
  entrypoint: [sh, -c, 'echo "$GREETING from $(pwd)"; exec "$@"', sh]
  cmd: [sleep, inf]
  env: {GREETING: hello}
  workingDir: /srv
"""


def of_image(name: str, image: str, **fields: object) -> dict:
    return pod(name, {'name': 'main', 'image': image, **fields})


def events(cluster: Cluster, reason: str) -> list[dict]:
    return [event for event in cluster.get('events', '-n', 'kube-system') if event['reason'] == reason]


async def test_a_pod_without_a_command_runs_what_its_image_stands_for(own, tmp_path: Path) -> None:
    table = tmp_path / 'images.yaml'
    table.write_text(TABLE)
    own('up', '--state-dir', own.state_dir, '--images', str(table))
    own.apply(of_image('plain', 'greeter:1.0'), of_image('other', 'greeter', args=['sleep', '1000']))
    assert own('logs', 'plain') == 'hello from /srv\n'
    assert own('exec', 'other', '--', 'cat', '/proc/1/cmdline') == 'sleep\x001000\x00'
    own.apply(of_image('waiting', 'unknown'), wait=False)
    waiting = await eventually(lambda: own.get('pod', 'waiting')['status']['containerStatuses'][0]['state']['waiting'])
    assert waiting['reason'] == 'ErrImageNeverPull'
    assert 'netkube up --images FILE' in waiting['message']

    patch = {'data': {'images.yaml': TABLE + '- match: unknown\n  entrypoint: [sleep, inf]\n'}}
    own.kubectl('patch', 'configmap', 'netkube-images', '-n', 'kube-system', '-p', json.dumps(patch))
    own('wait', 'pod/waiting', '--timeout', '30')

    patch = {'data': {'images.yaml': '- match: [\n'}}
    own.kubectl('patch', 'configmap', 'netkube-images', '-n', 'kube-system', '-p', json.dumps(patch))
    [event] = await eventually(lambda: events(own, 'InvalidImages'))
    assert 'the last table without fault stays in force' in event['message']
    own.apply(of_image('still', 'unknown'))


def test_a_table_that_is_none_is_refused_and_nothing_is_started(own, tmp_path: Path) -> None:
    table = tmp_path / 'images.yaml'
    table.write_text('- match: x\n  comand: [x]\n')
    done = own.run('up', '--state-dir', own.state_dir, '--images', str(table))
    assert done.returncode == 1
    assert done.stderr == f'error: --images {table}: Object contains unknown field `comand` - at `$[0]`\n'
    assert own.run('status').returncode != 0


def test_a_directory_can_be_the_root(own, tmp_path: Path) -> None:
    root = tmp_path / 'root'
    (root / 'bin').mkdir(parents=True)
    (root / 'etc').mkdir()
    (root / 'etc/motd').write_text('a root of its own\n')
    copy_programs(root)
    table = tmp_path / 'images.yaml'
    table.write_text(f'- match: rooted\n  cmd: [sleep, inf]\n  rootfs: {root}\n')
    own('up', '--state-dir', own.state_dir, '--images', str(table))
    own.apply(of_image('rooted', 'rooted'))
    assert own('exec', 'rooted', '--', 'cat', '/etc/motd') == 'a root of its own\n'
    own('exec', 'rooted', '--', 'sh', '-c', 'echo changed > /etc/motd')
    assert (root / 'etc/motd').read_text() == 'a root of its own\n'
    assert not own.run('exec', 'rooted', '--', 'ls', '/home').stdout


def copy_programs(root: Path) -> None:
    """sh, cat, sleep and ls, with the libraries that they need."""
    for program in ('sh', 'cat', 'sleep', 'ls'):
        path = subprocess.run(['which', program], capture_output=True, text=True, check=True).stdout.strip()
        libraries = [word for word in subprocess.run(['ldd', path], capture_output=True, text=True).stdout.split()
                     if word.startswith('/')]  # fmt: skip
        for source in (path, *libraries):
            target = root / (f'bin/{program}' if source == path else source.lstrip('/'))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(Path(source).read_bytes())
            target.chmod(0o755)
