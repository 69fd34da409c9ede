"""Field selectors: which fields each kind offers."""

from __future__ import annotations

import pytest

from netkube.api.errors import ApiError
from netkube.api.fields import parse_field_selector
from netkube.api.resources import CONFIGMAPS, EVENTS, NAMESPACES, NODES, PODS, SECRETS

POD = {'metadata': {'name': 'a', 'namespace': 'x'}, 'spec': {'nodeName': 'n1'}, 'status': {'phase': 'Running'}}


@pytest.mark.parametrize('text, matches', [
    ('', True), ('spec.nodeName=n1', True), ('spec.nodeName!=n1', False),
    ('spec.nodeName==n1,status.phase=Running', True),
    ('metadata.name=b', False), ('metadata.namespace=x', True), ('status.podIP=', True),
    ('spec.hostNetwork=false', True),
])  # fmt: skip
def test_matches_pods(text, matches):
    assert parse_field_selector(text, PODS).matches(POD) is matches


@pytest.mark.parametrize('resource, text, obj', [
    (NODES, 'spec.unschedulable=false', {'metadata': {'name': 'n'}, 'spec': {}}),
    (SECRETS, 'type=Opaque', {'metadata': {'name': 's'}, 'type': 'Opaque'}),
    (NAMESPACES, 'status.phase=Active', {'metadata': {'name': 's'}, 'status': {'phase': 'Active'}}),
    (EVENTS, 'involvedObject.kind=Pod,source=kubelet',
     {'metadata': {'name': 'e'}, 'involvedObject': {'kind': 'Pod'}, 'source': {'component': 'kubelet'}}),
])  # fmt: skip
def test_matches_other_kinds(resource, text, obj):
    assert parse_field_selector(text, resource).matches(obj)


@pytest.mark.parametrize('resource, text, message', [
    (PODS, 'spec.foo=1', 'field label not supported: spec.foo'),
    (CONFIGMAPS, 'data.a=1', '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"'),
    (PODS, 'a', "invalid selector: 'a'; can't understand 'a'"),
])  # fmt: skip
def test_refuses_other_fields(resource, text, message):
    with pytest.raises(ApiError) as refusal:
        parse_field_selector(text, resource)
    assert (refusal.value.code, refusal.value.message) == (400, message)


def test_values_may_be_escaped():
    selector = parse_field_selector(r'metadata.name=a\,b\=c', PODS)
    assert selector.matches({'metadata': {'name': 'a,b=c'}})
    assert str(selector) == r'metadata.name=a\,b\=c'


def test_tells_the_name_it_asks_for():
    assert parse_field_selector('metadata.name=a', PODS).exact('metadata.name') == 'a'
    assert parse_field_selector('metadata.name!=a', PODS).exact('metadata.name') is None
