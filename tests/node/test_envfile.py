"""Variables out of a file in a volume that another container of the Pod has written."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from node_lab import Lab, waiting_reason
from pods import pod

from netkube.api.meta import Object
from netkube.node.downward import PodFacts
from netkube.node.envfile import EnvFileError, find_variable, read_files
from netkube.node.environment import ConfigError, Sources, container_environment

POD = pod()
FACTS = PodFacts(('10.0.0.1',), ('10.1.0.2',), 'node-1', {})
SOURCES = Sources(lambda *key: None, lambda *key: None)


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ("KEY='a b'\n", 'a b'),
        ("# KEY='no'\n\n  OTHER='1'\n\tKEY='$(X) \"#\"'  # yes\nnonsense", '$(X) "#"'),
        ("KEY='two\nlines'\nKEY='again'", 'two\nlines'),
        ("KEY= 'blank'\n", ''),
        ('KEY=\n', ''),
        ("OTHER='1'\n", None),
        ('', None),
    ],
)
def test_a_variable_of_an_env_file(text: str, value: str | None) -> None:
    assert find_variable(text, 'KEY') == value


@pytest.mark.parametrize('text', ['KEY=bare', "KEY ='v'", "='v'", 'word', "KEY='open", "KEY='v'tail", 'KEY="v"'])
def test_what_is_no_env_file(text: str) -> None:
    with pytest.raises(EnvFileError, match='at line 2'):
        find_variable(f"A='1'\n{text}\n", 'KEY')


def of_file(**more: Any) -> Object:
    reference = {'volumeName': 'v', 'path': 'f', 'key': 'KEY', **more}
    return {'env': [{'name': 'X', 'valueFrom': {'fileKeyRef': reference}}]}


@pytest.mark.parametrize(
    ('container', 'text', 'expected'),
    [
        (of_file(), "KEY='1'", '1'),
        (of_file(optional=True), None, ''),
        (of_file(optional=True), "A='1'", ''),
        (of_file(), None, "couldn't parse env file"),
        (of_file(optional=True), 'KEY', "couldn't parse env file"),
        (of_file(), "A='1'", 'environment variable key "KEY" not found in file "f"'),
        (of_file(volumeName='w'), '', 'cannot find the volume "w" referenced by FileKeyRef'),
    ],
)
def test_a_reference_to_an_env_file(container: Object, text: str | None, expected: str) -> None:
    def found() -> str:
        return container_environment(POD, container, SOURCES, FACTS, {}, {('v', 'f'): text}).get('X', '')

    if len(expected) < 2:
        assert found() == expected
    else:
        with pytest.raises(ConfigError, match=re.escape(expected)):
            found()


def test_a_link_does_not_lead_out_of_the_volume_and_nothing_else_than_a_file_is_read(tmp_path: Path) -> None:
    volume = tmp_path / 'v'
    volume.mkdir()
    (tmp_path / 'f').write_text('outside')
    (volume / 'f').write_text('inside')
    (volume / 'out').symlink_to('/../f')
    (volume / 'away').symlink_to(tmp_path / 'f')
    os.mkfifo(volume / 'pipe')
    names = ('f', 'out', 'away', 'pipe', 'missing')
    env = [{'name': 'X', 'valueFrom': {'fileKeyRef': {'volumeName': 'v', 'path': name}}} for name in names]
    texts = read_files({'env': env}, {'v': volume})
    assert [texts['v', name] for name in names] == ['inside', 'inside', None, None, None]


async def test_an_init_container_says_what_a_container_has_in_its_environment(kubelet: Lab) -> None:
    mount = [{'name': 'v', 'mountPath': '/data'}]
    script = """printf "KEY='two words'\\n" > /data/f"""
    init = {'name': 'i', 'image': 'i', 'command': ['sh', '-c', script], 'volumeMounts': mount}
    spec = {'initContainers': [init], 'volumes': [{'name': 'v', 'emptyDir': {}}]}
    await kubelet.create_pod('sleep', 'infinity', **of_file(), spec=spec, wait=True)
    assert await kubelet.sh('test ! -e /data; echo "$X"') == 'two words\n'


async def test_what_is_not_in_the_file_is_waited_for(kubelet: Lab) -> None:
    await kubelet.create_pod('sleep', 'infinity', **of_file(), spec={'volumes': [{'name': 'v', 'emptyDir': {}}]})
    await kubelet.until(lambda pod: waiting_reason(pod) == 'CreateContainerConfigError')
    await kubelet.has_event('Warning', 'Failed', "Error: couldn't parse env file")
