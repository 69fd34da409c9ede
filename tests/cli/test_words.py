"""What people type, and the tables that they get."""

import click
import pytest

from netkube.api.errors import ApiError
from netkube.api.resources import DEPLOYMENTS, PODS, REPLICASETS, SERVICES
from netkube.cli.logs import _seconds
from netkube.cli.output import as_list, check_format, dump, qualified_name, refusal, table
from netkube.cli.pods import _as_text, default_container
from netkube.cli.targets import Target, parse_targets


class TestTargets:
    @pytest.mark.parametrize('word', ['pod', 'pods', 'po', 'Pod', 'Pods'])
    def test_any_name_of_a_type(self, word):
        assert parse_targets((word,)) == [Target(PODS)]

    @pytest.mark.parametrize('word', ['deploy', 'deployments', 'deployments.apps'])
    def test_a_type_with_its_group(self, word):
        assert parse_targets((word,)) == [Target(DEPLOYMENTS)]

    def test_names_of_one_type(self):
        assert parse_targets(('po', 'a', 'b')) == [Target(PODS, 'a'), Target(PODS, 'b')]

    def test_several_types(self):
        assert parse_targets(('po,svc',)) == [Target(PODS), Target(SERVICES)]

    def test_types_with_names(self):
        assert parse_targets(('po/a', 'deploy/b')) == [Target(PODS, 'a'), Target(DEPLOYMENTS, 'b')]

    def test_all_is_a_category(self):
        kinds = [target.resource for target in parse_targets(('all',))]
        assert kinds[:4] == [PODS, SERVICES, DEPLOYMENTS, REPLICASETS]
        assert [kind.plural for kind in kinds].count('horizontalpodautoscalers') == 1

    @pytest.mark.parametrize('words', [('po/a', 'b'), ('po', 'svc/a')])
    def test_both_ways_at_once(self, words):
        with pytest.raises(click.ClickException, match='there is no need to specify a resource type'):
            parse_targets(words)

    @pytest.mark.parametrize('words', [('frobs',), ('po,frobs',), ('frobs/a',)])
    def test_an_unknown_type(self, words):
        with pytest.raises(click.ClickException, match='the server doesn\'t have a resource type "frobs"'):
            parse_targets(words)

    def test_nothing(self):
        with pytest.raises(click.UsageError):
            parse_targets(())


class TestTable:
    def test_columns_are_three_apart_and_the_last_is_not_padded(self):
        assert table(('NAME', 'AGE'), [('a-long-one', '5s'), ('b', '10m')]) == (
            'NAME         AGE\na-long-one   5s\nb            10m'
        )

    def test_empty_cells_leave_no_blanks_at_the_end(self):
        assert table(('A', 'B'), [('x', '')]) == 'A   B\nx'

    def test_without_header(self):
        assert table(('NAME', 'AGE'), [('a', '5s')], no_headers=True) == 'a   5s'

    def test_no_rows(self):
        assert table(('NAME', 'AGE'), []) == 'NAME   AGE'


class TestOutput:
    def test_names(self):
        assert qualified_name(PODS, 'web') == 'pod/web'
        assert qualified_name(DEPLOYMENTS, 'web') == 'deployment.apps/web'

    @pytest.mark.parametrize('output', ['', 'wide', 'json', 'yaml', 'name'])
    def test_formats(self, output):
        check_format(output)

    def test_other_formats(self):
        with pytest.raises(click.ClickException, match='allowed formats are: json,name,wide,yaml'):
            check_format('xml')

    @pytest.mark.parametrize('output', ['json', 'yaml'])
    def test_texts_end_with_one_line_feed_and_keep_letters(self, output):
        text = dump(output, as_list([{'name': 'Känguru'}]))
        assert text.endswith('\n') and not text.endswith('\n\n')
        assert 'Känguru' in text

    def test_refusals(self):
        assert refusal(ApiError(404, 'NotFound', 'no')) == 'Error from server (NotFound): no'
        assert refusal(ApiError(500, '', 'no')) == 'Error from server: no'
        assert refusal(ApiError(404, 'NotFound', 'no'), 'a.yaml') == 'Error from server (NotFound): a.yaml: no'


class TestPodsOf:
    @pytest.mark.parametrize(
        ('selector', 'text'),
        [
            ({'app': 'web', 'tier': 'x'}, 'app=web,tier=x'),
            ({'matchLabels': {'app': 'web'}}, 'app=web'),
            (
                {
                    'matchLabels': {'app': 'web'},
                    'matchExpressions': [
                        {'key': 'a', 'operator': 'In', 'values': ['1', '2']},
                        {'key': 'b', 'operator': 'NotIn', 'values': ['3']},
                        {'key': 'c', 'operator': 'Exists'},
                        {'key': 'd', 'operator': 'DoesNotExist'},
                    ],
                },
                'app=web,a in (1,2),b notin (3),c,!d',
            ),
        ],
    )
    def test_a_selector_in_the_selector_grammar(self, selector, text):
        assert _as_text(selector) == text

    def test_the_default_container(self, capsys):
        pod = {'metadata': {}, 'spec': {'containers': [{'name': 'a'}, {'name': 'b'}]}}
        assert default_container(pod) == 'a'
        assert capsys.readouterr().err == 'Defaulted container "a" out of: a, b\n'
        pod['metadata']['annotations'] = {'kubectl.kubernetes.io/default-container': 'b'}
        assert default_container(pod) == 'b'
        assert capsys.readouterr().err == ''


@pytest.mark.parametrize(('text', 'seconds'), [('5s', '5'), ('2m', '120'), ('3h', '10800'), ('1h2m3s', '3723')])
def test_since(text, seconds):
    assert _seconds(text) == seconds


@pytest.mark.parametrize('text', ['5', 's', '5x', '-5s', '5s!', '5 s'])
def test_since_what(text):
    with pytest.raises(click.ClickException, match='--since'):
        _seconds(text)
