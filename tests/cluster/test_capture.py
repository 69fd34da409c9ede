"""``netkube capture`` over a whole cluster, its files read back by tcpdump."""

from __future__ import annotations

import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from netkube.testing import Cluster
from netkube.testing.objects import pod, server, service

STARTED = 'capturing '


@pytest.fixture(scope='module')
def town(shop: Cluster) -> Cluster:
    shop.apply(pod('client'), pod('web', server()), service('web', 80), pod('other', server()), service('other', 80))
    return shop


@contextmanager
def capturing(cluster: Cluster, *words: str, stdout: int = subprocess.PIPE):
    """``netkube capture WORDS``, from when it has said that it has begun."""
    command = cluster.command('capture', *words)
    running = subprocess.Popen(command, env=cluster.environment, stdout=stdout, stderr=subprocess.PIPE)
    try:
        first = running.stderr.readline().decode()
        assert first.startswith(STARTED), first + running.stderr.read().decode()
        yield running
    finally:
        running.kill()
        running.communicate()


def ended(running: subprocess.Popen) -> tuple[str, str]:
    """What it printed, once Ctrl-C has ended it well."""
    running.send_signal(signal.SIGINT)
    output, errors = running.communicate(timeout=60)
    assert running.returncode == 0, errors
    return output.decode(errors='replace'), errors.decode()


def packets(file: Path) -> list[str]:
    """tcpdump's lines: ``10.244.0.3.40000 > 10.96.1.1.80: Flags [S], ...``."""
    command = ['tcpdump', '-nn', '-t', '-q', '-r', str(file)]
    return subprocess.run(command, check=True, text=True, capture_output=True).stdout.splitlines()


def fetch(cluster: Cluster, url: str) -> None:
    cluster('exec', 'client', '--', 'curl', '-s', url)


def test_a_pod_sees_the_service_and_not_its_endpoint(town, tmp_path):
    file = tmp_path / 'client.pcap'
    with capturing(town, 'pod/client', '-w', str(file)) as running:
        fetch(town, 'http://web/')
        _, said = ended(running)
    vip, web = town.get('service', 'web')['spec']['clusterIP'], town.get('pod', 'web')['status']['podIP']
    lines = packets(file)
    assert f'{len(lines)} packets captured' in said and '0 packets dropped by kernel' in said
    assert any(f'> {vip}.80' in line for line in lines)
    assert any('.53: UDP' in line for line in lines)  # the name, too
    assert not any(web in line for line in lines)


def test_a_service_is_seen_before_and_after_its_translation_and_nothing_else(town, tmp_path):
    file = tmp_path / 'web.pcap'
    client = town.get('pod', 'client')['status']['podIP']
    with capturing(town, 'svc/web', '-w', str(file), '--host', client) as running:
        fetch(town, 'http://other/')
        fetch(town, 'http://web/')
        ended(running)
    vip, web = town.get('service', 'web')['spec']['clusterIP'], town.get('pod', 'web')['status']['podIP']
    lines = packets(file)
    before, after = ([line for line in lines if f'> {address}.80' in line] for address in (vip, web))
    assert len(before) == len(after) > 3
    assert all(f'{vip}.80' in line or f'{web}.80' in line for line in lines)


def test_the_node_to_standard_output_until_so_many_packets(town, tmp_path):
    file = tmp_path / 'node.pcap'
    words = 'node', '-w', '-', '--count', '4'
    with open(file, 'wb') as output, capturing(town, *words, stdout=output.fileno()) as running:
        fetch(town, 'http://web/')
        assert running.wait(20) == 0
        assert b'4 packets captured' in running.stderr.read()
    assert len(packets(file)) == 4


def test_an_end_by_time_makes_a_good_empty_file(town, tmp_path):
    file = tmp_path / 'none.pcap'
    town('capture', 'pod/client', '-w', str(file), '--duration', '100ms', '--port', '9')
    assert packets(file) == []


def test_protocol_and_port(town, tmp_path):
    file = tmp_path / 'dns.pcap'
    with capturing(town, 'client', '-w', str(file), '--protocol', 'udp', '--port', '53') as running:
        fetch(town, 'http://web/')
        ended(running)
    lines = packets(file)
    assert lines and all('UDP' in line for line in lines)


def test_packets_are_cut_at_snaplen_and_their_length_is_kept(town, tmp_path):
    file = tmp_path / 'short.pcap'
    with capturing(town, 'client', '-w', str(file), '--snaplen', '64', '--protocol', 'tcp') as running:
        fetch(town, 'http://web/')
        ended(running)
    data, longer = file.read_bytes(), 0
    offset = 24
    while offset < len(data):
        kept, length = (int.from_bytes(data[offset + at : offset + at + 4], 'little') for at in (8, 12))
        assert kept == min(length, 64)
        longer += length > 64
        offset += 16 + kept
    assert longer and offset == len(data)


def test_without_a_file_a_line_for_each_packet(town):
    vip = town.get('service', 'web')['spec']['clusterIP']
    with capturing(town, 'client', '--protocol', 'tcp') as running:
        fetch(town, 'http://web/')
        output, _ = ended(running)
    first, second = output.splitlines()[:2]
    assert f'> {vip}:80 tcp [S] length 0' in first
    assert f'{vip}:80 > ' in second and '[S.]' in second


def test_sigterm_ends_it_as_well(town, tmp_path):
    with capturing(town, 'client', '-w', str(tmp_path / 'any.pcap')) as running:
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        (('nobody',), 'pods "nobody" not found'),
        (('svc/nobody',), 'services "nobody" not found'),
        (('node/elsewhere',), 'node "elsewhere" is not on this machine'),
        (('client', '--host', 'web'), '--host web is not an address'),
        (('client', '--duration', 'soon'), 'invalid argument "soon" for "--duration"'),
        (('client', '-w', '/nowhere/file'), 'cannot write /nowhere/file: No such file or directory'),
        (('sheep/client',), 'the server doesn\'t have a resource type "sheep"'),
    ],
)
def test_bad_questions_are_refused_in_one_sentence(town, words, sentence):
    done = town.run('capture', *words)
    assert done.returncode == 1 and sentence in done.stderr and len(done.stderr.splitlines()) == 1
