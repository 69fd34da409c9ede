"""kubeconfig files: the cluster's entries beside whatever was there."""

import base64
import stat

import pytest

from netkube.client.kubeconfig import kubeconfig, merge, read, write

OURS = kubeconfig('netkube-shop', 'https://127.0.0.1:6443', b'ca', b'certificate', b'key')


def test_one_context():
    assert OURS['current-context'] == 'netkube-shop'
    assert OURS['contexts'] == [
        {'name': 'netkube-shop', 'context': {'cluster': 'netkube-shop', 'user': 'netkube-shop'}}
    ]
    assert base64.b64decode(OURS['users'][0]['user']['client-key-data']) == b'key'
    assert base64.b64decode(OURS['clusters'][0]['cluster']['certificate-authority-data']) == b'ca'


@pytest.mark.parametrize('before', [{}, {'clusters': None, 'users': None, 'contexts': None}, {'clusters': []}])
def test_merged_into_nothing(before):
    merged = merge(before, OURS)
    assert {key: merged[key] for key in OURS} == OURS


def test_others_stay_and_ours_is_replaced():
    old = kubeconfig('netkube-shop', 'https://127.0.0.1:1', b'', b'', b'')
    work = kubeconfig('work', 'https://work', b'', b'', b'')
    merged = merge(merge(work, old) | {'preferences': {'colors': True}, 'extra': 1}, OURS)
    assert [entry['name'] for entry in merged['clusters']] == ['work', 'netkube-shop']
    assert merged['clusters'][1]['cluster']['server'] == 'https://127.0.0.1:6443'
    assert merged['current-context'] == 'netkube-shop'
    assert (merged['preferences'], merged['extra']) == ({'colors': True}, 1)


def test_a_file_is_its_owners_alone_and_replaced_at_once(tmp_path):
    path = tmp_path / 'new' / 'config'
    write(path, {'a': 1})
    write(path, OURS)
    assert read(path) == OURS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_is_not_there_or_empty(tmp_path):
    (tmp_path / 'empty').touch()
    assert read(tmp_path / 'empty') == read(tmp_path / 'absent') == {}
