"""``netkube run``: a folder's command as a Deployment."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from netkube.testing import Cluster

APP = """
import http.server
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'VERSION\\n')
http.server.ThreadingHTTPServer(('', 8080), Answer).serve_forever()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / 'app.py').write_text(APP.replace('VERSION', 'first'))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(os.sys.path))
    yield tmp_path


def answer(shop: Cluster, name: str) -> str:
    address = shop.get('service', name)['spec']['clusterIP']
    return subprocess.run(['curl', '-s', f'http://{address}:8080/'], capture_output=True, text=True, timeout=60).stdout


def test_a_command_of_this_folder(shop, folder):
    said = shop('run', 'once', '--replicas', '2', '--port', '8080', '--', 'python3', 'app.py')
    assert said == 'deployment.apps/once created\nservice/once created\n'
    assert answer(shop, 'once') == 'first\n'
    assert shop.get('deployment', 'once')['status']['readyReplicas'] == 2
    assert shop('run', 'once', '--port', '8080', '--', 'python3', 'app.py').splitlines()[0].endswith(' configured')


def test_a_saved_file_begins_it_anew(shop, folder):
    process = shop.start('run', 'live', '--port', '8080', '--watch', '.', '--', 'python3', 'app.py')
    try:
        assert process.stdout
        assert [process.stdout.readline() for _ in range(2)] == [
            'deployment.apps/live created\n', 'service/live created\n'
        ]  # fmt: skip
        for version in ('second', 'third'):
            (folder / 'app.py').write_text(APP.replace('VERSION', version))  # the first while it is not even ready
            line = process.stdout.readline()
            assert line.startswith('app.py changed: live began anew in ')
            assert answer(shop, 'live') == f'{version}\n'
    finally:
        process.kill()
        process.communicate()
    assert answer(shop, 'live') == 'third\n'


def test_a_command_that_ends_says_why(shop, folder):
    done = shop.run('run', 'broken', '--port', '1', '--timeout', '2', '--', 'python3', 'missing.py')
    assert done.returncode == 1
    assert 'CrashLoopBackOff' in done.stderr
