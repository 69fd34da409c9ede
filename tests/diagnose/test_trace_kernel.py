"""The readers of a trace and of a capture against the kernel, in both address families."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from netkube.diagnose.attempt import attempt
from netkube.diagnose.containerfiles import read_file
from netkube.diagnose.destination import Destination, place
from netkube.diagnose.frames import parse_frame
from netkube.diagnose.places import is_local
from netkube.network import namespaces
from netkube.network.listeners import list_listeners, processes_in
from netkube.network.namespaces import inside, opened
from netkube.network.packetfilter import MOST, PacketFilter, assemble
from netkube.network.packets import PacketSocket, list_interfaces

NODE, CLIENT, SERVER = 'trace-node', 'trace-client', 'trace-server'
ADDRESSES = {  # family -> client, its gateway, server, its gateway, an address that is translated to the server's
    4: ('10.9.1.2', '10.9.1.1', '10.9.2.2', '10.9.2.1', '10.9.9.9'),
    6: ('fd09:1::2', 'fd09:1::1', 'fd09:2::2', 'fd09:2::1', 'fd09:9::9'),
}
PREFIX = {4: 24, 6: 64}
SETUP = """
ip link add client type veth peer name eth0 netns {CLIENT}
ip link add server type veth peer name eth0 netns {SERVER}
ip link set client up
ip link set server up
ip -n {CLIENT} link set eth0 up
ip -n {SERVER} link set eth0 up
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
"""
PER_FAMILY = """
ip address add {1}/{bits} dev client {nodad}
ip address add {3}/{bits} dev server {nodad}
ip -n {CLIENT} address add {0}/{bits} dev eth0 {nodad}
ip -n {SERVER} address add {2}/{bits} dev eth0 {nodad}
ip -n {CLIENT} route add default via {1}
ip -n {SERVER} route add default via {3}
"""
RULES = """
table inet lab {{
  chain nat {{ type nat hook prerouting priority dstnat; ip daddr {v4[4]} tcp dport 80 dnat to {v4[2]}:8080;
    ip6 daddr {v6[4]} tcp dport 80 dnat to [{v6[2]}]:8080; }}
  chain forward {{ type filter hook forward priority 0; tcp dport 9 drop comment "discard"; tcp dport 7 reject; }}
}}
"""


@pytest.fixture(scope='module', autouse=True)
def lab() -> Iterator[None]:
    names = {'CLIENT': CLIENT, 'SERVER': SERVER}
    for name in (NODE, CLIENT, SERVER):
        namespaces.create(name)
    script = SETUP.format(**names)
    for family, addresses in ADDRESSES.items():
        nodad = 'nodad' if family == 6 else ''
        script += PER_FAMILY.format(*addresses, bits=PREFIX[family], nodad=nodad, **names)
    for command in filter(None, script.splitlines()):
        subprocess.run(['ip', 'netns', 'exec', NODE, *command.split()], check=True)
    rules = RULES.format(v4=ADDRESSES[4], v6=ADDRESSES[6])
    subprocess.run(['ip', 'netns', 'exec', NODE, 'nft', '-f', '-'], input=rules, text=True, check=True)
    yield
    for name in (NODE, CLIENT, SERVER):
        namespaces.delete(name)


@pytest.fixture(params=[4, 6])
def addresses(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return ADDRESSES[request.param]


@contextmanager
def listening(address: str, port: int, kind: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    with opened(SERVER) as namespace, inside(namespace):
        server = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, kind)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        if kind == socket.SOCK_STREAM:
            server.listen()
    with server:
        yield server


def to(address: str, port: int, protocol: str = 'tcp') -> Destination:
    return Destination(place(address, port), protocol, address, port, protocol)


class TestAttempt:
    def test_a_translated_connection(self, addresses):
        client, _, server, _, vip = addresses
        with listening(server, 8080):
            tried = attempt(NODE, CLIENT, vip, to(vip, 80), 5)
        assert tried.outcome == 'connected' and tried.way.answer == 'accepted'
        assert (tried.way.left.source, tried.way.left.destination, tried.way.left.destination_port) == (
            client,
            server,
            8080,
        )

    def test_nobody_listens(self, addresses):
        server = addresses[2]
        tried = attempt(NODE, CLIENT, server, to(server, 8081), 5)
        assert (tried.outcome, tried.way.answer, tried.way.cut) == ('refused', 'refused', None)

    def test_a_rule_that_drops_is_named_and_not_waited_for(self, addresses):
        server = addresses[2]
        tried = attempt(NODE, CLIENT, server, to(server, 9), 300)
        assert tried.outcome == 'dropped' and tried.way.cut.chain == 'forward'
        assert tried.rule == 'tcp dport 9 drop comment "discard"'

    def test_a_rule_that_rejects(self, addresses):
        server = addresses[2]
        tried = attempt(NODE, CLIENT, server, to(server, 7), 5)
        assert tried.outcome == 'refused' and tried.rule.startswith('tcp dport 7 reject')

    def test_an_answer_over_udp(self, addresses):
        server = addresses[2]
        with listening(server, 5353, socket.SOCK_DGRAM) as answering:

            def answer() -> None:
                data, client = answering.recvfrom(100)
                answering.sendto(data, client)

            thread = threading.Thread(target=answer)
            thread.start()
            tried = attempt(NODE, CLIENT, server, to(server, 5353, 'udp'), 5)
            thread.join()
        assert tried.outcome == 'answered' and tried.way.left.destination == server

    def test_udp_refused(self, addresses):
        server = addresses[2]
        assert attempt(NODE, CLIENT, server, to(server, 5354, 'udp'), 5).outcome == 'refused'

    def test_the_servers_close_without_an_http_answer(self, addresses):
        server = addresses[2]
        with listening(server, 8080) as listener:

            def close() -> None:
                accepted, _ = listener.accept()
                accepted.recv(1000)
                accepted.close()

            thread = threading.Thread(target=close)
            thread.start()
            tried = attempt(NODE, CLIENT, server, Destination('', 'tcp', server, 8080, 'http'), 5)
            thread.join()
        assert tried.outcome == 'connected' and tried.fault == 'the connection was closed without an answer'

    def test_two_at_a_time_would_be_fine_and_nothing_is_left(self, addresses):
        attempt(NODE, CLIENT, addresses[2], to(addresses[2], 7), 5)
        listing = subprocess.run(['ip', 'netns', 'exec', NODE, 'nft', 'list', 'tables'], text=True, capture_output=True)
        assert listing.stdout.split() == ['table', 'inet', 'lab']


class TestPlaces:
    def test_addresses_of_a_namespace(self, addresses):
        assert is_local(CLIENT, addresses[0]) and not is_local(CLIENT, addresses[2])

    def test_listeners_and_whose_they_are(self, addresses):
        with listening(addresses[2], 8080), opened(SERVER) as namespace, inside(namespace):
            (found,) = [one for one in list_listeners('tcp', [os.getpid()]) if one.port == 8080]
            assert list_listeners('udp', []) == []
        assert (found.address, found.pid) == (addresses[2], os.getpid())
        assert found.process and found.takes(addresses[2], 8080) and not found.takes(addresses[0], 8080)

    def test_processes_of_a_namespace(self):
        sleeping = subprocess.Popen(['ip', 'netns', 'exec', SERVER, 'sleep', 'inf'])
        try:
            with opened(SERVER) as namespace:
                inode = os.fstat(namespace).st_ino
                while sleeping.pid not in processes_in(inode):
                    assert sleeping.poll() is None
        finally:
            sleeping.kill()
            sleeping.wait()


class TestContainerFiles:
    """A process whose root is a folder."""

    @pytest.fixture
    def process(self, tmp_path) -> Iterator[int]:
        for folder in ('bin', 'etc', 'usr', 'lib', 'lib64'):
            (tmp_path / folder).mkdir()
        for folder in ('usr', 'lib', 'lib64', 'bin'):
            if os.path.isdir(f'/{folder}'):
                subprocess.run(['mount', '--rbind', f'/{folder}', tmp_path / folder], check=True)
        (tmp_path / 'etc/resolv.conf').write_text('nameserver 10.0.0.1')
        (tmp_path / 'etc/absolute').symlink_to('/etc/resolv.conf')
        (tmp_path / 'etc/outward').symlink_to('/' + '../' * 20 + 'proc/version')
        running = subprocess.Popen(['chroot', tmp_path, '/bin/sleep', 'inf'])
        while os.readlink(f'/proc/{running.pid}/root') != str(tmp_path):
            assert running.poll() is None
        yield running.pid
        running.kill()
        running.wait()
        subprocess.run(['umount', '-l', *(tmp_path / folder for folder in ('usr', 'lib', 'lib64', 'bin'))], check=False)

    def test_links_end_in_its_own_root(self, process):
        assert read_file(process, 'etc/resolv.conf') == 'nameserver 10.0.0.1'
        assert read_file(process, 'etc/absolute') == 'nameserver 10.0.0.1'
        assert read_file(process, 'etc/outward') == ''

    @pytest.mark.parametrize('path', ['etc/nothing', 'etc'])
    def test_what_is_no_file_is_empty(self, process, path):
        assert read_file(process, path) == ''


class TestCapture:
    def seen(self, wanted: PacketFilter, addresses: tuple[str, ...], snaplen: int = 2000) -> list:
        """What is captured of a connection attempt to a port 8081 that nobody listens on."""
        with opened(NODE) as namespace, inside(namespace):
            source = PacketSocket(wanted, snaplen)
        try:
            attempt(NODE, CLIENT, addresses[2], to(addresses[2], 8081), 5)
            return [frame for frame in source.frames(0, 0, lambda: 1) if frame]
        finally:
            source.close()

    def test_everything_on_one_interface(self, addresses):
        with opened(NODE) as namespace, inside(namespace):
            index = list_interfaces()['client']
        frames = self.seen(PacketFilter((index,), ports=(8081,)), addresses)
        assert [frame.interface for frame in frames] == ['client', 'client']
        first = parse_frame(frames[0].data)
        assert (first.protocol, first.source[0], first.destination) == ('tcp', addresses[0], (addresses[2], 8081))
        assert first.note == '[S] length 0'

    @pytest.mark.parametrize(
        ('wanted', 'count'),
        [
            (lambda a: PacketFilter(hosts=(a[0],)), 4),
            (lambda a: PacketFilter(hosts=(a[3],)), 0),
            (lambda a: PacketFilter(hosts=(a[3], a[2])), 4),
            (lambda a: PacketFilter(ports=(8081,)), 4),
            (lambda a: PacketFilter(ports=(8080, 8082)), 0),
            (lambda a: PacketFilter(hosts=(a[0],), ports=(8081,), protocol='tcp'), 4),
            (lambda a: PacketFilter(hosts=(a[0],), protocol='udp'), 0),
            (lambda a: PacketFilter(hosts=(a[0],), protocol='icmp'), 0),
            (lambda a: PacketFilter(hosts=tuple(f'192.0.2.{n}' for n in range(MOST - 1)) + (a[0],)), 4),
            (lambda a: PacketFilter(ports=(*range(1, MOST), 8081)), 4),
        ],
    )
    def test_filters(self, addresses, wanted, count):
        frames = self.seen(wanted(addresses), addresses)
        ends = [parse_frame(frame.data) for frame in frames]
        assert len([end for end in ends if end and 8081 in (end.source[1], end.destination[1])]) == count

    def test_a_frame_is_cut_and_its_length_kept(self, addresses):
        frames = self.seen(PacketFilter(ports=(8081,)), addresses, snaplen=60)
        assert {len(frame.data) for frame in frames} <= {54, 60} and frames[0].length > 60

    def test_too_many_terms_are_refused(self):
        with pytest.raises(ValueError, match='at most'):
            assemble(PacketFilter(ports=tuple(range(1, MOST + 2))))
