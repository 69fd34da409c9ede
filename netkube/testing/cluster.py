r"""A whole cluster for a test: real processes, real network, driven through the command line.

    with cluster('shop') as shop:
        shop.apply(pod('web', server()), service('web', 80), pod('client'))
        assert shop('exec', 'client', '--', 'curl', '-s', 'http://web/') == 'web\n'
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netkube.api.meta import Object
from netkube.testing.tools import tool

PATIENCE = int(os.environ.get('NETKUBE_TEST_PATIENCE', '180'))  # seconds that any command may take
STATES = '/var/tmp'  # not below /tmp or /run: those are every container's own


class CommandError(AssertionError):
    """A command failed; the text holds all it said."""


class Cluster:
    """One cluster by name. ``up`` starts it with ``options``; the command line sees ``environment``, too."""

    def __init__(self, name: str, state_dir: str, options: tuple[str, ...] = ()) -> None:
        self.name, self.state_dir, self.options = name, state_dir, options
        self.environment: Mapping[str, str] = os.environ

    def up(self) -> str:
        return self('up', '--state-dir', self.state_dir, *self.options)

    def down(self, *options: str) -> str:
        return self('down', *options)

    def __call__(self, *words: str, stdin: str = '') -> str:
        """What ``netkube WORDS`` prints; CommandError when it fails."""
        done = self.run(*words, stdin=stdin)
        if done.returncode:
            raise CommandError(f'netkube {" ".join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}')
        return done.stdout

    def run(self, *words: str, stdin: str = '') -> subprocess.CompletedProcess[str]:
        """How ``netkube WORDS`` ended, and what it printed."""
        return subprocess.run(
            self.command(*words), env=self.environment, input=stdin, text=True, capture_output=True, timeout=PATIENCE
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """``netkube WORDS`` in the background, its output a pipe. Whoever starts it ends it."""
        return subprocess.Popen(self.command(*words), env=self.environment, text=True, stdout=subprocess.PIPE)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, '-E', '-s', '-m', 'netkube.cli.main', '--cluster', self.name, *words]

    def kubectl(self, *words: str, stdin: str = '') -> str:
        """What the real ``kubectl WORDS`` prints; CommandError when it fails."""
        command = [str(tool('kubectl')), '--kubeconfig', self('kubeconfig').strip(), *words]
        done = subprocess.run(
            command, env=self.clients, input=stdin, text=True, capture_output=True, timeout=PATIENCE
        )
        if done.returncode:
            raise CommandError(f'kubectl {" ".join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}')
        return done.stdout

    @property
    def clients(self) -> dict[str, str]:
        """What kubectl and helm run with; their cache is this cluster's own, because others have its address."""
        cache = str(Path(self.state_dir).with_name('cache'))
        return {**self.environment, 'KUBECONFIG': self('kubeconfig').strip(), 'KUBECACHEDIR': cache}

    def apply(self, *objects: Object, wait: bool = True) -> str:
        """Apply the objects and return when they are ready."""
        manifest = json.dumps({'apiVersion': 'v1', 'kind': 'List', 'items': objects})
        waiting = ('--wait', '--timeout', str(PATIENCE * 2 // 3)) if wait else ()
        return self('apply', '-f', '-', *waiting, stdin=manifest)

    def get(self, *words: str) -> Any:
        """The object, or the list's items, as the server has them."""
        found = json.loads(self('get', *words, '-o', 'json'))
        return found['items'] if found['kind'] == 'List' else found

    def pids(self) -> dict[str, int]:
        """Of each process of the cluster itself that runs."""
        status = json.loads(self.run('status', '-o', 'json').stdout)
        return {role: status[role]['pid'] for role in ('daemon', 'runtime', 'dns') if status[role]}

    def kill(self, *roles: str) -> None:
        """SIGKILL to each: 'daemon', 'runtime', 'dns'."""
        pids = self.pids()
        for role in roles:
            os.kill(pids[role], signal.SIGKILL)


@contextmanager
def cluster(name: str, *options: str) -> Iterator[Cluster]:
    """A running cluster with state of its own, removed without a trace at the end, whatever the test did."""
    with new_cluster(name, *options) as made:
        made.up()
        yield made


@contextmanager
def new_cluster(name: str, *options: str) -> Iterator[Cluster]:
    """As ``cluster``, but not started yet."""
    folder = tempfile.mkdtemp(prefix=f'netkube-{name}-', dir=STATES)
    made = Cluster(name, str(Path(folder) / 'state'), options)
    try:
        yield made
    finally:
        try:
            made.down('--purge')
        finally:
            shutil.rmtree(folder)
