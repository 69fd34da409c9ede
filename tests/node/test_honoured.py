"""What a Pod asks for and does not get is named by its path."""

from netkube.node.honoured import unhonoured


def test_an_init_container_is_named_as_one():
    asked = {'initContainers': [{'name': 'first', 'volumeDevices': [{}]}], 'containers': []}
    assert unhonoured({'spec': asked}, ()) == ['spec.initContainers[first].volumeDevices']


def test_a_profile_that_says_unconfined_asks_for_nothing():
    asked = {'containers': [], 'securityContext': {'seccompProfile': {'type': 'Unconfined'}}}
    assert unhonoured({'spec': asked}, ()) == []


def test_a_port_of_loopback_and_user_namespaces():
    port = {'containerPort': 80, 'hostPort': 8080}
    ports = [port, {**port, 'containerPort': 81, 'hostIP': '127.0.0.1'}]
    asked = {'hostUsers': False, 'containers': [{'name': 'c', 'ports': ports}]}
    assert unhonoured({'spec': asked}, ()) == ['spec.hostUsers', 'spec.containers[c].ports[81].hostPort']


def test_an_unmasked_proc_comes_with_a_user_namespace_or_not_at_all():
    unmasked = {'name': 'c', 'securityContext': {'procMount': 'Unmasked'}}
    fields = ['spec.hostUsers', 'spec.containers[c].securityContext.procMount']
    assert unhonoured({'spec': {'hostUsers': False, 'containers': [unmasked]}}, ()) == fields
