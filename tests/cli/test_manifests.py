"""Manifests: every document on its own, each fault with file, document and line."""

import pytest

from netkube.api.resources import CONFIGMAPS, DEPLOYMENTS
from netkube.cli.manifests import Document, ManifestError, Undiscovered, parse, read


def parsed(text):
    return list(parse('app.yaml', text))


def config_map(name):
    return f'apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n'


def test_documents_in_order_with_the_lines_they_begin_at():
    found = parsed(config_map('a') + '---\n' + config_map('b') + '--- # and the last\n\n' + config_map('c'))
    assert [entry.object['metadata']['name'] for entry in found] == ['a', 'b', 'c']
    assert [entry.source for entry in found] == [
        'app.yaml: document 1 (line 1)',
        'app.yaml: document 2 (line 5)',
        'app.yaml: document 3 (line 10)',
    ]


@pytest.mark.parametrize('kind', ['{apiVersion: v1, kind: Frob', '{apiVersion: v2, kind: Pod'])
def test_what_the_table_does_not_have_is_for_the_server_to_say(kind):
    (found,) = parsed(f'{kind}, metadata: {{name: x}}}}')
    assert isinstance(found, Undiscovered)


def test_each_document_knows_its_resource():
    (found,) = parsed('apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n')
    assert found.resource is DEPLOYMENTS


@pytest.mark.parametrize('text', ['', '---\n', '# only words\n---\n# and more\n', '---\n---\n', 'null\n', '{}'[:0]])
def test_nothing_is_no_document(text):
    assert parsed(text) == []


def test_comments_before_the_first_separator_are_no_document():
    (found,) = parsed('# license\n---\n' + config_map('a'))
    assert found.source == 'app.yaml: document 1 (line 3)'


def test_three_dashes_inside_a_text_are_no_separator():
    (found,) = parsed(config_map('a') + 'data:\n  text: |\n    one\n    ---\n    two\n')
    assert found.object['data']['text'] == 'one\n---\ntwo\n'


def test_json_is_yaml():
    (found,) = parsed('{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}')
    assert found.resource is CONFIGMAPS


@pytest.mark.parametrize(
    ('text', 'line'),
    [
        ('a: [1\nb: 2\n', 2),
        ('a: 1\n  b: 2\n', 2),
        ('a: "open\n', 2),
        ('a: 1\nb: \t- x\n', 2),
        ('a: &x 1\nb: *y\n', 2),
    ],
)
def test_malformed_yaml_is_told_with_document_and_line(text, line):
    error, after = parsed('\n'.join(['# head', '---', text.rstrip('\n'), '---', config_map('ok')]))
    assert isinstance(error, ManifestError)
    assert str(error).startswith(f'app.yaml: document 1, line {line + 2}: ')
    assert isinstance(after, Document)


@pytest.mark.parametrize(
    ('text', 'fault'),
    [
        ('kind: Pod\n', 'error validating data: apiVersion not set'),
        ('apiVersion: v1\n', 'error validating data: kind not set'),
        ('apiVersion: v1\nkind: Pod\n', 'Pod: metadata.name: Required value: name or generateName is required'),
        ('apiVersion: v1\nkind: Pod\nmetadata: {}\n', 'metadata.name: Required value'),
        ('apiVersion: v1\nkind: Pod\nmetadata: web\n', 'metadata.name: Required value'),
        ('apiVersion: [v1]\nkind: Pod\n', "error validating data: apiVersion is no text but ['v1']"),
        ('apiVersion: v1\nkind: 7\n', 'error validating data: kind is no text but 7'),
        (
            'apiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: [b]}\n',
            'Pod: metadata.annotations: a map was expected',
        ),
        ('apiVersion: v1\nkind: List\nitems: 7\n', 'an object was expected, not int'),
        ('- a\n- b\n', 'an object was expected, not list'),
        ('just words\n', 'an object was expected, not str'),
    ],
)
def test_what_cannot_be_used_is_told_and_the_next_document_counts(text, fault):
    error, after = parsed(f'{text}---\n{config_map("ok")}')
    assert isinstance(error, ManifestError)
    assert str(error).startswith('app.yaml: document 1 (line 1): ')
    assert fault in str(error)
    assert after.object['metadata']['name'] == 'ok'


def test_a_list_is_its_items():
    first, second, error = parsed(
        'apiVersion: v1\nkind: List\nitems:\n'
        '- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n'
        '- {apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}]}\n'
        '- 7\n'
    )
    assert [first.object['metadata']['name'], second.object['metadata']['name']] == ['a', 'b']
    assert 'an object was expected, not int' in str(error)


def test_a_folder_is_its_manifests_by_name(tmp_path):
    for name in ('b.yaml', 'a.yml', 'c.json', 'd.txt', 'deeper/e.yaml'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(config_map(name.replace('/', '-')))
    names = [entry.object['metadata']['name'] for entry in read((str(tmp_path),))]
    assert names == ['a.yml', 'b.yaml', 'c.json']
    assert len(list(read((str(tmp_path),), recursive=True))) == 4


def test_a_file_may_be_called_anything(tmp_path):
    (tmp_path / 'manifest').write_text(config_map('a'))
    assert len(list(read((str(tmp_path / 'manifest'),)))) == 1
