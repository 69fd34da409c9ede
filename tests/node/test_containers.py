"""What the runtime is asked to run, what is not honoured, and how long an end may take."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pods import NOW, container, pod, seconds

from netkube.api.meta import timestamp
from netkube.node.containers import PodFiles, capabilities, container_config, container_id, resolve_sub_path
from netkube.node.environment import ConfigError
from netkube.node.honoured import unhonoured
from netkube.node.plan import StartContainer, StopContainer
from netkube.node.references import references_of
from netkube.node.termination import grace_seconds
from netkube.runtime.cri import DEFAULT_CAPABILITIES, Mount

FILES = PodFiles(Path('/pods/etc/hosts'), Path('/pods/etc/resolv.conf'), {'v': Path('/pods/volumes/v')})
ETC = (Mount('/pods/etc/hosts', '/etc/hosts'), Mount('/pods/etc/resolv.conf', '/etc/resolv.conf'))


def config(one, variables=None, attempt=2, **spec):
    return container_config(
        pod(one, **spec), one, StartContainer('c', attempt, 1), variables or {}, FILES,
        hostname='p', log_path=Path('/logs/2.log'), hide=('/secret',),
    )  # fmt: skip


def test_a_container():
    found = config(container(args=['$(A)'], workingDir='/w', terminationMessagePath='/dev/termination-log'), {'A': '1'})
    assert found.id == container_id('aaaa-bbbb', 'c', 2) and len(found.id) == 64
    assert (found.sandbox_id, found.name, found.attempt) == ('aaaa-bbbb', 'c', 2)
    assert found.argv == ('run', '1') and found.env == {'HOSTNAME': 'p', 'A': '1'}
    assert (found.working_dir, found.hostname, found.log_path) == ('/w', 'p', '/logs/2.log')
    assert found.mounts == ETC and found.hide == ('/secret',)
    assert found.termination_log == '/dev/termination-log'
    assert found.annotations == {'netkube/image': 'i', 'netkube/restarts': '1', 'netkube/round': '0'}


def test_mounts_outer_ones_first_and_the_pods_own_files_replaceable():
    mounts = [
        {'name': 'v', 'mountPath': '/a/b/', 'readOnly': True},
        {'name': 'v', 'mountPath': '/a'},
        {'name': 'v', 'mountPath': '/etc/hosts'},
    ]
    assert config(container(volumeMounts=mounts)).mounts == (
        ETC[1], Mount('/pods/volumes/v', '/a'), Mount('/pods/volumes/v', '/a/b', True),
        Mount('/pods/volumes/v', '/etc/hosts'),
    )  # fmt: skip


def test_the_containers_security_context_comes_before_the_pods():
    found = config(
        container(securityContext={'runAsUser': 2, 'allowPrivilegeEscalation': False, 'readOnlyRootFilesystem': True}),
        securityContext={'runAsUser': 1, 'runAsGroup': 1, 'supplementalGroups': [5], 'fsGroup': 6},
    )
    assert (found.user, found.group, found.supplemental_groups) == (2, 1, (5, 6))
    assert found.no_new_privileges and found.read_only_root


@pytest.mark.parametrize(
    'wanted, expected',
    [
        ({}, DEFAULT_CAPABILITIES),
        ({'drop': ['ALL']}, ()),
        ({'drop': ['ALL'], 'add': ['NET_ADMIN']}, ('NET_ADMIN',)),
        ({'add': ['CAP_SYS_TIME', 'CHOWN']}, (*DEFAULT_CAPABILITIES, 'SYS_TIME')),
        ({'drop': ['net_raw']}, tuple(name for name in DEFAULT_CAPABILITIES if name != 'NET_RAW')),
    ],
)
def test_capabilities(wanted, expected):
    assert capabilities(wanted) == expected


def test_run_as_non_root_is_refused_to_root():
    with pytest.raises(ConfigError, match='container has runAsNonRoot and image will run as root'):
        config(container(securityContext={'runAsNonRoot': True}))
    with pytest.raises(ConfigError, match="container's runAsUser breaks non-root policy"):
        config(container(securityContext={'runAsNonRoot': True, 'runAsUser': 0}))
    assert config(container(securityContext={'runAsNonRoot': True, 'runAsUser': 1})).user == 1


@pytest.mark.parametrize(
    'expression, variables, message',
    [
        ('$(B)/$(A)', {}, 'missing value for A, B'),
        ('$(A)', {'A': ''}, 'missing value for A'),
        ('$(A)', {'A': '/etc'}, 'error SubPath `/etc` must not be an absolute path'),
        ('$(A)', {'A': '..'}, 'subPath ".." is not inside its volume'),
    ],
)
def test_the_variables_of_a_sub_path_must_be_there(expression, variables, message):
    one = container(volumeMounts=[{'name': 'v', 'mountPath': '/v', 'subPathExpr': expression}])
    with pytest.raises(ConfigError) as error:
        config(one, variables)
    assert str(error.value) == message


def test_sub_paths_stay_inside_their_volume(tmp_path):
    assert resolve_sub_path(tmp_path, 'a/b') == tmp_path / 'a' / 'b' and (tmp_path / 'a' / 'b').is_dir()
    tmp_path.chmod(0o777)
    assert stat.S_IMODE(resolve_sub_path(tmp_path, 'open/to/all').stat().st_mode) == 0o777  # as the volume itself
    (tmp_path / 'out').symlink_to('/etc')
    for path in ('out', '../x', '/etc'):
        with pytest.raises(ConfigError, match='is not inside its volume'):
            resolve_sub_path(tmp_path, path)


@pytest.mark.parametrize(
    'spec, fields',
    [
        ({}, []),
        ({'hostNetwork': True, 'hostPID': True, 'shareProcessNamespace': True}, []),
        ({'securityContext': {'seccompProfile': {'type': 'RuntimeDefault'},
                              'appArmorProfile': {'type': 'RuntimeDefault'}}},
         ['spec.securityContext.appArmorProfile']),
        ({'securityContext': {'sysctls': [{'name': 'net.core.somaxconn', 'value': '1'}, {'name': 'kernel.shmmax'},
                                          {'name': 'vm.swappiness'}]}},
         ['spec.securityContext.sysctls[vm.swappiness]']),
        ({'containers': [container(
            resources={'limits': {'cpu': '1', 'memory': '1Gi', 'ephemeral-storage': '1Gi'}},
            securityContext={'privileged': True},
        )]}, ['spec.containers[c].resources.limits.memory']),
        ({'containers': [container(securityContext={'privileged': False, 'procMount': 'Default'}, tty=True)]}, []),
    ],
)  # fmt: skip
def test_what_is_not_honoured(spec, fields):
    one = pod()
    one['spec'] |= spec
    assert unhonoured(one, {'cpu'}) == fields


STOP = StopContainer('id', 'c', '')


@pytest.mark.parametrize('deleted_with, ago, expected', [(30, 0, 30), (30, 10, 21), (30, 60, 2), (5, 1, 5), (0, 0, 2)])
def test_what_is_left_of_the_grace_period_of_a_deletion(deleted_with, ago, expected):
    one = pod(terminationGracePeriodSeconds=99)
    one['metadata']['deletionGracePeriodSeconds'] = deleted_with
    one['metadata']['deletionTimestamp'] = timestamp(NOW + seconds(deleted_with - ago))
    assert grace_seconds(one, STOP, NOW) == expected


def test_other_grace_periods():
    one = pod(container(livenessProbe={'terminationGracePeriodSeconds': 7}), terminationGracePeriodSeconds=20)
    assert grace_seconds(one, STOP, NOW) == 20
    assert grace_seconds(one, StopContainer('id', 'c', '', 'liveness'), NOW) == 7
    assert grace_seconds(None, STOP, NOW) == 2


def test_references():
    one = pod(
        container(
            envFrom=[{'configMapRef': {'name': 'a'}}, {'secretRef': {'name': 'b'}}],
            env=[{'name': 'X', 'valueFrom': {'secretKeyRef': {'name': 'c', 'key': 'k'}}}, {'name': 'Y', 'value': 'y'}],
        ),
        volumes=[
            {'name': 'd', 'configMap': {'name': 'd'}},
            {'name': 'e', 'secret': {'secretName': 'e'}},
            {'name': 'f', 'projected': {'sources': [{'secret': {'name': 'f'}}, {'configMap': {'name': 'g'}}]}},
        ],
    )
    assert references_of(one) == {
        ('configmaps', 'ns', 'a'), ('secrets', 'ns', 'b'), ('secrets', 'ns', 'c'), ('configmaps', 'ns', 'd'),
        ('secrets', 'ns', 'e'), ('secrets', 'ns', 'f'), ('configmaps', 'ns', 'g'),
    }  # fmt: skip
