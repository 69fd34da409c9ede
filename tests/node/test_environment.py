"""Variables, commands and arguments."""

from __future__ import annotations

import base64

import pytest
from pods import container, pod

from netkube.node.downward import PodFacts, UnsupportedField, field_value, resource_value
from netkube.node.environment import ConfigError, Sources, command_line, container_environment, service_environment
from netkube.node.expansion import expand

FACTS = PodFacts(('10.0.0.1', 'fd00::1'), ('10.1.0.2', 'fd00::2'), 'node-1', {'cpu': '4', 'memory': '1Gi'})
CONFIGMAPS = {('ns', 'settings'): {'data': {'colour': 'red', 'a=b': 'x'}}}
SECRETS = {('ns', 'key'): {'data': {'word': base64.b64encode(b'xyzzy').decode()}}}
SOURCES = Sources(lambda *key: CONFIGMAPS.get(key), lambda *key: SECRETS.get(key))


def environment(services=None, **fields):
    one = container(**fields)
    return container_environment(pod(one), one, SOURCES, FACTS, services or {})


def env(name, **source):
    return {'name': name, **({'valueFrom': source} if source else {})}


@pytest.mark.parametrize(
    'text, expected',
    [
        ('$(A)', 'a'), ('x$(A)y$(B)', 'xayb'), ('$$(A)', '$(A)'), ('$(NO)', '$(NO)'), ('$A', '$A'), ('$(A', '$(A'),
        ('$$$(A)', '$a'), ('a$', 'a$'), ('$()', '$()'), ('$($(A))', '$($(A))'),
    ],
)  # fmt: skip
def test_expansion(text, expected):
    assert expand(text, {'A': 'a', 'B': 'b'}) == expected


def test_values_see_what_came_before_them():
    variables = environment(
        env=[{'name': 'A', 'value': '$(HOST)-$(B)'}, {'name': 'B', 'value': '$(A)'}], services={'HOST': 'h'}
    )
    assert (variables['A'], variables['B']) == ('h-$(B)', 'h-$(B)')


def test_sources_of_values():
    reference = {'name': 'settings', 'key': 'colour'}
    variables = environment(
        env=[
            env('COLOUR', configMapKeyRef=reference),
            env('WORD', secretKeyRef={'name': 'key', 'key': 'word'}),
            env('IP', fieldRef={'fieldPath': 'status.podIP'}),
            env('NONE', configMapKeyRef={'name': 'no', 'key': 'no', 'optional': True}),
        ],
        envFrom=[{'prefix': 'P_', 'configMapRef': {'name': 'settings'}}, {'secretRef': {'name': 'key'}}],
    )
    assert variables.items() >= {
        'COLOUR': 'red', 'WORD': 'xyzzy', 'IP': '10.1.0.2', 'P_colour': 'red', 'word': 'xyzzy',
    }.items()  # fmt: skip
    assert 'NONE' not in variables and 'P_a=b' not in variables
    assert variables['PATH'].startswith('/usr/local/sbin:')


@pytest.mark.parametrize(
    'fields, message',
    [
        ({'env': [env('A', configMapKeyRef={'name': 'no', 'key': 'k'})]}, 'configmap "no" not found'),
        ({'env': [env('A', secretKeyRef={'name': 'no', 'key': 'k'})]}, 'secret "no" not found'),
        ({'env': [env('A', configMapKeyRef={'name': 'settings', 'key': 'k'})]},
         "couldn't find key k in ConfigMap ns/settings"),
        ({'env': [env('A', secretKeyRef={'name': 'key', 'key': 'k'})]}, "couldn't find key k in Secret ns/key"),
        ({'envFrom': [{'configMapRef': {'name': 'no'}}]}, 'configmap "no" not found'),
        ({'envFrom': [{'secretRef': {'name': 'no'}}]}, 'secret "no" not found'),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(fields, message):
    with pytest.raises(ConfigError) as error:
        environment(**fields)
    assert str(error.value) == message


def test_commands_and_arguments_are_expanded():
    one = container(command=['run', '$(A)'], args=['$(B)'])
    assert command_line(one, {'A': '1', 'B': '2'}) == ('run', '1', '2')


def service(name, namespace='ns', ip='10.96.0.5', *ports):
    return {'metadata': {'name': name, 'namespace': namespace}, 'spec': {'clusterIP': ip, 'ports': list(ports)}}


KUBERNETES = service('kubernetes', 'default', '10.96.0.1', {'name': 'https', 'port': 443})
REDIS = service('redis-db', 'ns', '10.96.0.5', {'name': 'main', 'port': 6379}, {'port': 53, 'protocol': 'UDP'})


def test_service_variables_are_those_of_kubernetes():
    assert service_environment('ns', [REDIS], links=True) == {
        'REDIS_DB_SERVICE_HOST': '10.96.0.5', 'REDIS_DB_SERVICE_PORT': '6379', 'REDIS_DB_SERVICE_PORT_MAIN': '6379',
        'REDIS_DB_PORT': 'tcp://10.96.0.5:6379',
        'REDIS_DB_PORT_6379_TCP': 'tcp://10.96.0.5:6379', 'REDIS_DB_PORT_6379_TCP_PROTO': 'tcp',
        'REDIS_DB_PORT_6379_TCP_PORT': '6379', 'REDIS_DB_PORT_6379_TCP_ADDR': '10.96.0.5',
        'REDIS_DB_PORT_53_UDP': 'udp://10.96.0.5:53', 'REDIS_DB_PORT_53_UDP_PROTO': 'udp',
        'REDIS_DB_PORT_53_UDP_PORT': '53', 'REDIS_DB_PORT_53_UDP_ADDR': '10.96.0.5',
    }  # fmt: skip


def test_only_the_api_server_is_there_without_links():
    found = service_environment('ns', [KUBERNETES, REDIS], links=False)
    assert found['KUBERNETES_SERVICE_HOST'] == '10.96.0.1' and 'REDIS_DB_SERVICE_HOST' not in found


def test_services_without_an_address_and_of_other_namespaces_are_left_out():
    others = [service('headless', 'ns', 'None', {'port': 1}), service('far', 'other', '10.96.0.9', {'port': 1})]
    assert service_environment('ns', others, links=True) == {}


@pytest.mark.parametrize(
    'path, expected',
    [
        ('metadata.name', 'p'), ('metadata.namespace', 'ns'), ('spec.nodeName', 'node-1'),
        ('status.hostIP', '10.0.0.1'),
        ('status.hostIPs', '10.0.0.1,fd00::1'),
        ('status.podIP', '10.1.0.2'),
        ('status.podIPs', '10.1.0.2,fd00::2'),
        ("metadata.labels['app']", 'k'), ("metadata.labels['no']", ''),
        ('metadata.labels', 'app="k"\nrole="x \\"y\\""'),
    ],
)  # fmt: skip
def test_fields(path, expected):
    one = pod()
    one['metadata']['labels'] = {'role': 'x "y"', 'app': 'k'}
    assert field_value(one, path, FACTS) == expected


def test_an_unknown_field_is_refused():
    with pytest.raises(UnsupportedField):
        field_value(pod(), 'spec.nothing', FACTS)


@pytest.mark.parametrize(
    'resource, divisor, expected',
    [
        ('limits.cpu', '1', '2'), ('limits.cpu', '1m', '1500'), ('limits.memory', '1', '1073741824'),
        ('limits.memory', '1Mi', '1024'), ('requests.memory', '1Mi', '0'), ('requests.cpu', '', '1'),
    ],
)  # fmt: skip
def test_resources_are_rounded_up_and_fall_back_to_the_node(resource, divisor, expected):
    one = container(resources={'limits': {'cpu': '1500m'}, 'requests': {'cpu': '250m'}})
    assert resource_value(one, resource, divisor, FACTS) == expected
