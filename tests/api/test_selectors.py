"""Label selectors: the grammar, what they match, and the words of a refusal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netkube.api.errors import ApiError
from netkube.api.selectors import from_label_selector, from_labels, parse_selector

LABELS = {'app': 'web', 'tier': 'front', 'n': '7'}


@pytest.mark.parametrize('text, matches', [
    ('', True), ('app=web', True), ('app==web', True), ('app=db', False), ('app!=db', True), ('gone!=x', True),
    ('app', True), ('!app', False), ('!gone', True), ('app in (web,db)', True), ('app notin (web)', False),
    ('gone notin (web)', True), ('n>5', True), ('n<7', False), ('app=web, tier=front', True), ('app=web,!tier', False),
    ('gone=', False), ('app in (in, web)', True),
])  # fmt: skip
def test_matches(text, matches):
    assert parse_selector(text).matches(LABELS) is matches


@pytest.mark.parametrize('text, printed', [
    ('b in (z, a),a', 'a,b in (a,z)'), (' a = 1 ', 'a=1'), ('a==1', 'a==1'), ('!a', '!a'), ('a notin ()', 'a notin ()'),
])  # fmt: skip
def test_prints_in_canonical_form(text, printed):
    assert str(parse_selector(text)) == printed


@pytest.mark.parametrize('text, message', [
    ('a in', "unable to parse requirement: found '' expected: '('"),
    ('x y', "unable to parse requirement: found 'y', expected: in, notin, =, ==, !=, gt, lt"),
    (',', "found ',', expected: !, identifier, or 'end of string'"),
    ('a,', "found '', expected: identifier after ','"),
    ('a=b=c', "found '=', expected: ',' or 'end of string'"),
    ('a=!', "unable to parse requirement: found '!', expected: identifier"),
    ('n>x', "unable to parse requirement: values[0]: Invalid value: \"x\": "
            "for 'Gt', 'Lt' operators, the value must be an integer"),
])  # fmt: skip
def test_refuses_bad_syntax(text, message):
    with pytest.raises(ApiError) as refusal:
        parse_selector(text)
    assert (refusal.value.code, refusal.value.message) == (400, message)


def test_names_the_label_whose_value_is_bad():
    with pytest.raises(ApiError, match=r'values\[0\]\[a\]: Invalid value: "b_": a valid label must be'):
        parse_selector('a=b_')


def test_absent_selector_selects_nothing_and_an_empty_one_everything():
    assert not from_label_selector(None).matches({})
    assert from_label_selector({}).matches(LABELS)


def test_selector_of_an_object():
    selector = from_label_selector({'matchLabels': {'app': 'web'},
                                    'matchExpressions': [{'key': 'tier', 'operator': 'In', 'values': ['front']},
                                                         {'key': 'gone', 'operator': 'DoesNotExist'}]})  # fmt: skip
    assert selector.matches(LABELS)
    assert str(selector) == 'app=web,!gone,tier in (front)'


_words = st.from_regex(r'[a-z]([-a-z0-9]{0,8}[a-z0-9])?', fullmatch=True)


@given(st.dictionaries(_words, _words, max_size=4))
def test_labels_select_themselves(labels):
    selector = from_labels(labels)
    assert selector.matches(labels)
    assert parse_selector(str(selector)).matches(labels)


@given(st.text(max_size=30))
def test_any_text_is_parsed_or_refused(text):
    try:
        parse_selector(text)
    except ApiError as refusal:
        assert refusal.code == 400
