"""docs/pods.md against Kubernetes' own definitions, and against what the Event NotHonoured names."""

from __future__ import annotations

import functools
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from pods import NOW, container, pod, running

from netkube.api import schema
from netkube.node.honoured import SAID, unhonoured
from netkube.node.status import Facts, pod_status

DOCS = Path(__file__).parents[2] / 'docs/pods.md'
CORE = 'io.k8s.api.core.v1.'
SECTIONS = {  # heading -> type
    **{name: name for name in ('PodSpec', 'Container', 'PodSecurityContext', 'SecurityContext')},
    **{name: name for name in ('PodStatus', 'ContainerStatus', 'NodeStatus')},
    'Volumes': 'Volume',
    'VolumeMounts': 'VolumeMount',
}
WORDS = {'yes', 'said', 'none', 'waits', 'refused', 'never', ''}


@functools.cache
def definitions() -> dict[str, Any]:
    found = json.loads(schema.read_definitions())['$defs']
    return {name.removeprefix(CORE): body for name, body in found.items() if name.startswith(CORE)}


def fields_of(type: str) -> set[str]:
    return set(definitions()[type]['properties'])


def reachable(type: str) -> set[str]:
    """All types that fields of this one are made of, and it."""
    found, todo = set(), [type]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += re.findall(r'"#/\$defs/' + re.escape(CORE) + r'(\w+)"', json.dumps(definitions()[name]))
    return found


def tables() -> dict[str, list[list[str]]]:
    """Rows of cells, by the heading that they stand under."""
    found, heading = defaultdict(list), ''
    for line in DOCS.read_text().splitlines():
        if line.startswith('#'):
            heading = line.lstrip('# ')
        elif line.startswith('|') and not line.startswith('|--'):
            found[heading].append([cell.strip() for cell in line.strip('|').split('|')])
    return found


@functools.cache
def documented() -> dict[str, dict[str, set[str]]]:
    """Type -> field -> words."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    rows = tables()
    for heading, type in SECTIONS.items():
        for names, word, *_ in rows[heading][1:]:
            for name in names.split(', '):
                found[type][name].add(word)
    header, *parts = rows['Parts']
    for types, *cells in parts:
        for type in types.split(', '):
            for word, cell in zip(header[1:], cells, strict=True):
                for name in fields_of(type) if cell == 'all' else filter(None, cell.split(', ')):
                    found[type][name].add(word)
    return found


def yes(type: str) -> set[str]:
    return {field for field, words in documented()[type].items() if 'yes' in words}


def test_the_status_of_a_pod_has_the_fields_that_the_docs_say() -> None:
    rich = container(lifecycle={'stopSignal': 'SIGTERM'}, volumeMounts=[{'name': 'v', 'mountPath': '/v'}])
    rich['resources'] = {'requests': {'cpu': '1'}}
    ids = [each._replace(user=(0, 0, 0)) for each in (running('i'), running())]
    asked = pod(rich, initContainers=[{**rich, 'name': 'i', 'restartPolicy': 'Always'}], resources=rich['resources'])
    status = pod_status(asked, Facts(('10.0.0.1',), ('10.1.0.2',), True, tuple(ids)), NOW)
    assert status.keys() == yes('PodStatus') - {'reason', 'message'}
    assert status['containerStatuses'][0].keys() == yes('ContainerStatus')


STATUS = {'PodStatus', 'ContainerStatus', 'NodeStatus'}


@pytest.mark.parametrize('type', sorted(reachable('PodSpec') | STATUS))
def test_every_field_of_kubernetes_is_in_a_table_and_no_other(type: str) -> None:
    assert documented()[type].keys() == fields_of(type)
    assert set().union(*documented()[type].values()) <= WORDS


def test_no_table_is_about_a_type_that_pods_do_not_have() -> None:
    assert documented().keys() - STATUS == reachable('PodSpec')


def steps_of(path: str) -> tuple[str, str]:
    """The type and the field that a path below spec ends with."""
    type, field = 'PodSpec', ''
    for step in path.split('.'):
        type, field = _type_of(type, field) if field else type, step.removesuffix('[]')
    return type, field


def _type_of(type: str, field: str) -> str:
    return re.findall(re.escape(CORE) + r'(\w+)"', json.dumps(definitions()[type]['properties'][field]))[0]


def said_in_docs() -> set[tuple[str, str]]:
    all_fields = ((type, field, words) for type, fields in documented().items() for field, words in fields.items())
    return {(type, field) for type, field, words in all_fields if 'said' in words}


VALUES = {'hostUsers': False}  # what asks for something, where not every value does


def asking(steps: str) -> Any:
    """What has just this field."""
    step, _, rest = steps.partition('.')
    value = asking(rest) if rest else VALUES.get(step, 'asked')
    return {step.removesuffix('[]'): [{**value, 'name': 'one'}] if step.endswith('[]') else value}


@pytest.mark.parametrize('path', SAID)
def test_what_is_said_is_in_the_event_and_in_the_docs(path: str) -> None:
    spec = {'containers': [], **asking(path)}
    [found] = unhonoured({'spec': spec}, ('cpu', 'memory'))
    assert re.sub(r'\[\w+\]', '[]', found) == f'spec.{path}'
    assert steps_of(path) in said_in_docs()


ELSEWHERE = {('ContainerPort', 'hostPort'), ('ResourceRequirements', 'limits')}  # with tests of their own


def test_the_docs_say_of_nothing_else_that_it_is_said() -> None:
    """But of the parts of what is said as a whole."""
    wholes = {'AppArmorProfile', 'SELinuxOptions', 'WindowsSecurityContextOptions', 'EvictionResponder', 'VolumeDevice',
              'PodSchedulingGroup', 'PodResourceClaim', 'ResourceClaim'}  # fmt: skip
    assert {each for each in said_in_docs() if each[0] not in wholes} == {steps_of(path) for path in SAID} | ELSEWHERE


ON_THE_KERNEL = ('node', 'cluster', 'runtime')
DECIDED = ('scheduler', 'controllers')  # what is a decision, by the real API
LABS = re.compile(r'\bLab\b|\bpods: Pods\b|\bshop\b|\bown: Cluster\b')


@functools.cache
def texts() -> str:
    root = Path(__file__).parents[1]
    files = [file.read_text() for folder in ON_THE_KERNEL for file in (root / folder).glob('test_*.py')]
    files = [text for text in files if LABS.search(text) and 'ON_THE_KERNEL' not in text]
    return '\n'.join(files + [file.read_text() for folder in DECIDED for file in (root / folder).glob('*.py')])


@pytest.mark.parametrize('type', sorted(reachable('PodSpec')))
def test_every_honoured_field_is_in_a_test_on_the_real_kernel(type: str) -> None:
    def is_tested(field: str) -> bool:
        return re.search(rf"""\b{field}\b['"]?\s*[:=]|['"]{field}['"]""", texts()) is not None

    assert [field for field in sorted(yes(type)) if not is_tested(field)] == []
