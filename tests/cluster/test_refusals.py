"""Bad input: a Status with the field's path, exit code 1, and nothing changed."""

from __future__ import annotations

import json

import pytest

from netkube.testing.objects import config_map, container, deployment, pod, service


def changed(base: dict, path: str, value: object) -> dict:
    """``base`` with the value at ``a.b.c``."""
    *parents, last = path.split('.')
    at = base
    for key in parents:
        at = at[int(key)] if isinstance(at, list) else at[key]
    at[last] = value
    return base


UNMATCHED = changed(deployment('web'), 'spec.selector.matchLabels', {'app': 'other'})
REFUSED = {
    'unknown kind': (
        {'apiVersion': 'v1', 'kind': 'Frob', 'metadata': {'name': 'x'}},
        'error: standard input: document 1 (line 1): no matches for kind "Frob" in version "v1"',
    ),
    'no kind': ({'apiVersion': 'v1', 'metadata': {'name': 'x'}}, 'error validating data: kind not set'),
    'no name': (changed(config_map('x'), 'metadata', {}), 'metadata.name: Required value'),
    'no containers': (
        changed(pod('x'), 'spec', {}),
        'Error from server (Invalid): standard input: document 1 (line 1): '
        'Pod "x" is invalid: spec.containers: Required value',
    ),
    'invalid name': (
        config_map('Bad_Name'),
        'ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name"',
    ),
    'invalid container port': (
        pod('x', container('true', ports=[{'containerPort': 70000}])),
        'spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive',
    ),
    'invalid service port': (
        service('x', 70000, 80),
        'Service "x" is invalid: spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive',
    ),
    'selector that does not match its template': (
        UNMATCHED,
        'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`',
    ),
    'duplicate nodePort': (
        service('x', 80, type='NodePort', ports=[{'port': 80, 'nodePort': 30123}]),
        'Service "x" is invalid: spec.ports[0].nodePort: Invalid value: 30123: provided port is already allocated',
    ),
    'clusterIP out of range': (
        service('x', 80, clusterIP='192.168.1.1'),
        'Service "x" is invalid: spec.clusterIPs: Invalid value: ["192.168.1.1"]: failed to allocate IP 192.168.1.1',
    ),
    'unknown field': (changed(pod('x'), 'spec.containrs', []), 'strict decoding error: unknown field "spec.containrs"'),
    'wrong type': (
        changed(pod('x'), 'spec.containers', 'one'),
        'json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container',
    ),
    'unknown namespace': (config_map('x', 'nowhere'), 'namespaces "nowhere" not found'),
}


@pytest.fixture(scope='module', autouse=True)
def taken(shop):
    shop.apply(service('taken', 80, type='NodePort', ports=[{'port': 80, 'nodePort': 30123}]))


@pytest.mark.parametrize('case', list(REFUSED))
def test_refused(shop, case):
    manifest, words = REFUSED[case]
    before = shop('get', 'all,configmaps', '-A', '-o', 'name')
    done = shop.run('apply', '-f', '-', stdin=json.dumps(manifest))
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count('\n') == 1
    assert done.stdout == ''
    assert shop('get', 'all,configmaps', '-A', '-o', 'name') == before


def test_a_duplicate_cluster_ip(shop):
    address = shop.get('service', 'taken')['spec']['clusterIP']
    done = shop.run('apply', '-f', '-', stdin=json.dumps(service('x', 80, clusterIP=address)))
    assert done.returncode == 1
    assert f'failed to allocate IP {address}: provided IP is already allocated' in done.stderr


def test_a_stale_resource_version_is_a_conflict(shop):
    shop.apply(config_map('contended', turn='1'))
    old = shop.get('configmap', 'contended')
    shop.apply(config_map('contended', turn='2'))
    old['data'] = {'turn': '3'}
    done = shop.run('apply', '-f', '-', stdin=json.dumps(old))
    assert done.returncode == 1
    assert 'Error from server (Conflict)' in done.stderr
    assert 'Operation cannot be fulfilled on configmaps "contended": the object has been modified' in done.stderr
    assert shop.get('configmap', 'contended')['data'] == {'turn': '2'}


NO_DEPLOYMENT = 'Error from server (NotFound): deployments.apps "nope" not found'
MIXED = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: first}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: [broken
---
apiVersion: v1
kind: ConfigMap
metadata: {name: Wrong}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: last}
"""


def test_apply_goes_on_past_a_bad_document_and_reports_each(shop, tmp_path):
    file = tmp_path / 'mixed.yaml'
    file.write_text(MIXED)
    done = shop.run('apply', '-f', str(file))
    assert done.returncode == 1
    assert done.stdout.splitlines() == ['configmap/first created', 'configmap/last created']
    malformed, invalid = done.stderr.splitlines()
    assert malformed.startswith(f'error: {file}: document 2, line 9: ')
    assert invalid.startswith(
        f'Error from server (Invalid): {file}: document 3 (line 10): ConfigMap "Wrong" is invalid'
    )


def test_namespaces_that_contradict_one_another(shop):
    done = shop.run('apply', '-n', 'kube-system', '-f', '-', stdin=json.dumps(config_map('x')))
    assert done.returncode == 1
    assert 'the namespace from the provided object "default" does not match the namespace "kube-system"' in done.stderr


@pytest.mark.parametrize(
    ('words', 'answer'),
    [
        (['get', 'pods', 'nope'], 'Error from server (NotFound): pods "nope" not found'),
        (['get', 'frobs'], 'error: the server doesn\'t have a resource type "frobs"'),
        (['get', 'pods', '-o', 'frob'], 'error: unable to match a printer suitable for the output format "frob"'),
        (['get', 'pods', '-l', 'a=b=c'], "Error from server (BadRequest): found '=', expected: ',' or 'end of string'"),
        (['describe', 'deploy', 'nope'], NO_DEPLOYMENT),
        (['logs', 'nope'], 'Error from server (NotFound): pods "nope" not found'),
        (['exec', 'nope', '--', 'true'], 'Error from server (NotFound): pods "nope" not found'),
        (['exec', 'nope'], 'error: you must specify at least one command for the container'),
        (['delete', 'pod', 'nope'], 'Error from server (NotFound): pods "nope" not found'),
        (['delete', 'pods'], 'error: resource(s) were provided, but no name was specified'),
        (['scale', 'deploy/nope', '--replicas', '2'], NO_DEPLOYMENT),
        (['scale', 'svc/taken', '--replicas', '2'], 'error: cannot scale a Service: it has no replicas'),
        (['wait', 'deploy/nope'], NO_DEPLOYMENT),
        (['apply', '-f', '/no/file'], 'error: the path "/no/file" does not exist'),
    ],
)  # fmt: skip
def test_commands_fail_in_one_line(shop, words, answer):
    done = shop.run(*words)
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr.startswith(answer)
    assert done.stderr.count('\n') == 1
