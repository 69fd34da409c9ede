"""The command as a process: who may call it, what it says, and what it does not load."""

import os
import subprocess
import sys

import pytest

from netkube.cli.main import COMMANDS

NOBODY = ('setpriv', '--reuid=65534', '--clear-groups')


def netkube(*words, prefix=()):
    command = [*prefix, sys.executable, '-E', '-s', '-m', 'netkube.cli.main', '--cluster', 'none', *words]
    environment = {**os.environ, 'COLUMNS': '80'}
    return subprocess.run(
        command, env=environment, text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=120
    )


@pytest.mark.parametrize(
    'words',
    [['up'], ['down'], ['status'], ['kubeconfig'], ['get', 'pods'], ['logs', 'a'], ['exec', 'a', '--', 'true']],
    ids=' '.join,
)
def test_not_root_is_told_in_one_line(words):
    done = netkube(*words, prefix=NOBODY)
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr == 'error: netkube changes network namespaces and rules, so it must run as root: use sudo\n'


def test_the_doctor_tells_it_as_a_finding():
    done = netkube('doctor', prefix=NOBODY)
    assert done.returncode == 1
    assert done.stdout.startswith('missing  root: not root\n         remedy: run it with sudo\n')
    assert done.stderr == ''


def test_no_cluster_is_told_in_one_line():
    done = netkube('get', 'pods')
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr == 'error: cluster "none" is not running; start it with: sudo netkube --cluster none up\n'


@pytest.mark.parametrize(
    ('words', 'last'),
    [
        (['frob'], "Error: No such command 'frob'."),
        (['get'], 'Error: name a type of resource, for example: pods'),
        (['get', '--frob'], "Error: No such option '--frob'."),
        (['apply'], "Error: Missing option '-f' / '--filename'."),
        (['exec'], "Error: Missing argument 'POD | TYPE/NAME'."),
        (['exec', 'a', '--frob', '--', 'true'], 'Error: no such option: --frob'),
        (['logs'], 'Error: name a Pod, a TYPE/NAME, or select Pods with -l'),
        (['delete'], 'Error: name either manifests (-f) or a type and names'),
        (['scale', 'deploy/a'], "Error: Missing option '--replicas'."),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else '',
)
def test_wrong_usage_is_2_and_shows_the_usage(words, last):
    done = netkube(*words)
    assert done.returncode == 2
    assert done.stderr.startswith('Usage: netkube')
    assert done.stderr.splitlines()[-1] == last


@pytest.mark.parametrize('command', list(COMMANDS))
def test_every_command_has_its_help(command):
    done = netkube(command, '--help')
    assert done.returncode == 0
    assert done.stdout.startswith(f'Usage: netkube {command}')


def test_help_and_version_need_no_root():
    assert COMMANDS['up'] in netkube('--help', prefix=NOBODY).stdout
    assert netkube('--version', prefix=NOBODY).stdout.startswith('netkube, version ')


LOADED = """
import sys
from netkube.cli import main
sys.argv = ['netkube', '--cluster', 'none', *{words!r}]
try:
    main.main()
except SystemExit:
    pass
print(*sorted(sys.modules), file=sys.stderr)
"""
HEAVY = {'asyncio', 'pyroute2', 'dns', 'nftables', 'cryptography', 'uvicorn', 'websockets', 'rich',
         'sqlite3', 'netkube.network', 'netkube.apiserver', 'yaml', 'kubernetes_validate'}  # fmt: skip


@pytest.mark.parametrize(
    'words', [['get', 'pods'], ['describe', 'pod', 'a'], ['logs', 'a'], ['exec', 'a', '--', 'true'], ['--help']]
)
def test_a_command_loads_only_what_it_needs(words):
    done = subprocess.run(
        [sys.executable, '-c', LOADED.format(words=words)], text=True, capture_output=True, timeout=120
    )
    loaded = set(done.stderr.splitlines()[-1].split())
    assert 'click' in loaded
    assert HEAVY & loaded == set()
