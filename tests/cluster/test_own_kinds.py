"""``netkube get|describe|apply|wait|scale|delete`` of kinds that only the server knows."""

from __future__ import annotations

import json
import textwrap

import pytest

from netkube.api.resources import ALL
from netkube.testing import Cluster, CommandError

CRD = textwrap.dedent("""
    apiVersion: apiextensions.k8s.io/v1
    kind: CustomResourceDefinition
    metadata: {name: boats.example.com}
    spec:
      group: example.com
      scope: Namespaced
      names: {plural: boats, singular: boat, kind: Boat, shortNames: [bt], categories: [all, fleet]}
      versions:
      - name: v1
        served: true
        storage: true
        subresources: {status: {}, scale: {specReplicasPath: .spec.oars, statusReplicasPath: .status.oars}}
        additionalPrinterColumns: [{name: Oars, type: integer, jsonPath: .spec.oars}]
        schema: &schema
          openAPIV3Schema:
            type: object
            properties:
              spec:
                type: object
                properties: {oars: {type: integer}, crew: {type: array, items: {type: string}}}
              status: {type: object, x-kubernetes-preserve-unknown-fields: true}
      - {name: v1beta1, served: true, storage: false, schema: *schema}
    """)
BOAT = """
apiVersion: example.com/v1
kind: Boat
metadata: {name: argo, namespace: default}
spec: {oars: 50, crew: [jason, orpheus]}
"""


@pytest.fixture(scope='module')
def argo(shop: Cluster) -> Cluster:
    """The definition and an object of it in one manifest."""
    said = shop('apply', '--wait', '-f', '-', stdin=f'{CRD}---{BOAT}')
    assert said.splitlines() == [
        'customresourcedefinition.apiextensions.k8s.io/boats.example.com created', 'boat.example.com/argo created'
    ]  # fmt: skip
    return shop


@pytest.mark.parametrize('word', ['boats', 'boat', 'Boat', 'bt', 'boats.example.com', 'boats.v1beta1.example.com'])
def test_get_by_all_its_names(argo: Cluster, word: str) -> None:
    header, row = argo('get', word, 'argo').splitlines()
    columns = ['NAME', 'AGE'] if 'v1beta1' in word else ['NAME', 'OARS']
    assert (header.split(), row.split()[0]) == (columns, 'argo')


def test_get_beside_others_and_by_category(argo: Cluster) -> None:
    assert argo('get', 'bt,svc', '-o', 'name').split() == ['boat.example.com/argo', 'service/kubernetes']
    assert argo('get', 'fleet', '-o', 'name') == 'boat.example.com/argo\n'
    assert 'boat.example.com/argo' in argo('get', 'all').split()


def test_apply_again_replaces_lists_and_keeps_what_others_wrote(argo: Cluster) -> None:
    assert argo('apply', '-f', '-', stdin=BOAT) == 'boat.example.com/argo unchanged\n'
    argo.kubectl('label', 'boat', 'argo', 'painted=yes')
    changed = BOAT.replace('[jason, orpheus]', '[jason]')
    assert argo('apply', '-f', '-', stdin=changed) == 'boat.example.com/argo configured\n'
    boat = argo.get('boat', 'argo')
    assert (boat['spec']['crew'], boat['metadata']['labels']) == (['jason'], {'painted': 'yes'})
    assert argo.kubectl('apply', '-f', '-', stdin=changed) == 'boat.example.com/argo unchanged\n'


def test_the_server_s_refusals(argo: Cluster) -> None:
    wrong = argo.run('apply', '-f', '-', stdin=BOAT.replace('oars: 50', 'oars: many'))
    assert 'spec.oars: Invalid value: "string": spec.oars in body must be of type integer' in wrong.stderr
    unknown = argo.run('apply', '-f', '-', stdin=BOAT.replace('kind: Boat', 'kind: Ship'))
    assert 'no matches for kind "Ship" in version "example.com/v1"' in unknown.stderr and unknown.returncode == 1
    assert argo.run('get', 'ships').stderr == 'error: the server doesn\'t have a resource type "ships"\n'


def test_describe(argo: Cluster) -> None:
    lines = argo('describe', 'boat/argo').splitlines()
    assert lines[0].split() == ['Name:', 'argo'] and any('oars: ' in line for line in lines)


def test_scale(argo: Cluster) -> None:
    assert argo('scale', 'boat/argo', '--replicas', '20') == 'boat.example.com/argo scaled\n'
    assert argo.get('boat', 'argo')['spec']['oars'] == 20


def test_wait_reads_the_condition_ready(argo: Cluster) -> None:
    argo('wait', 'crd/boats.example.com')
    argo('wait', 'boat/argo')

    def set_ready(status: str) -> None:
        patch = {'status': {'conditions': [{'type': 'Ready', 'status': status, 'message': 'it leaks'}]}}
        argo.kubectl('patch', 'boat', 'argo', '--subresource=status', '--type=merge', '-p', json.dumps(patch))

    set_ready('False')
    with pytest.raises(CommandError, match='boat.example.com/argo: timed out: it leaks'):
        argo('wait', 'boat/argo', '--timeout', '0.2')
    set_ready('True')
    argo('wait', 'boat/argo')


def test_the_server_prints_every_kind_of_its_own(argo: Cluster) -> None:
    words = sorted({resource.group_resource for resource in ALL})
    done = argo.run('get', ','.join(words), '-A')
    assert (done.returncode, done.stderr) == (0, '')
    assert {'clusterrole.rbac.authorization.k8s.io/admin', 'priorityclass.scheduling.k8s.io/system-node-critical',
            'servicecidr.networking.k8s.io/kubernetes'} <= set(done.stdout.split())  # fmt: skip


def test_delete_by_manifest_with_its_definition(argo: Cluster) -> None:
    other = BOAT.replace('argo', 'other')
    argo('apply', '-f', '-', stdin=other)
    assert argo('delete', '-f', '-', stdin=other) == 'boat.example.com "other" deleted from default namespace\n'
    argo('delete', '-f', '-', stdin=f'{CRD}---{BOAT}')
    assert 'have a resource type "boats"' in argo.run('get', 'boats').stderr
