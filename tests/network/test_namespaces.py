import asyncio
import os
import socket
import threading
from pathlib import Path

import pytest
from network.packets import run

from netkube.network import namespaces
from netkube.network.namespaces import NamespaceThread, socket_in

IP_FREEBIND = 15


@pytest.fixture
def name():
    yield 'blue'
    namespaces.delete('blue')


def inode() -> int:
    return os.stat(namespaces.CURRENT).st_ino


def test_a_namespace_is_one_of_iproute2s(name):
    namespaces.create(name)

    assert 'blue' in run('ip netns')
    assert 'lo:' in run('ip link', netns=name)


def test_nothing_else_is_mounted_and_nothing_left(name):
    before = Path('/proc/self/mountinfo').read_text()
    namespaces.create(name)
    namespaces.delete(name)

    assert Path('/proc/self/mountinfo').read_text() == before
    assert not namespaces.path_of(name).exists()


def test_creating_leaves_the_thread_where_it_was(name):
    before = inode()
    namespaces.create(name)
    assert inode() == before


def test_a_name_is_taken_once(name):
    namespaces.create(name)
    with pytest.raises(FileExistsError):
        namespaces.create(name)
    namespaces.ensure(name)


def test_a_file_left_by_a_crash_is_no_namespace_and_is_taken_over(name):
    namespaces.FOLDER.mkdir(exist_ok=True)
    namespaces.path_of(name).touch()
    assert not namespaces.exists(name)
    assert namespaces.list_names('bl') == ['blue']
    with pytest.raises(FileNotFoundError):
        namespaces.open_namespace(name)

    namespaces.create(name)
    assert namespaces.exists(name)


@pytest.mark.parametrize('leftover', [lambda path: None, lambda path: path.touch()], ids=['nothing', 'plain file'])
def test_deleting_what_is_not_there(name, leftover):
    namespaces.FOLDER.mkdir(exist_ok=True)
    leftover(namespaces.path_of(name))
    namespaces.delete(name)
    assert namespaces.list_names('bl') == []


async def test_a_namespace_thread_stays_in_its_namespace(name):
    namespaces.create(name)
    expected = namespaces.path_of(name).stat().st_ino
    thread = NamespaceThread(name)
    try:
        assert [await thread.run(inode) for _ in range(3)] == [expected] * 3
        assert await thread.run(threading.get_ident) != threading.get_ident()
        assert inode() != expected
    finally:
        await thread.closed()


async def test_a_namespace_thread_may_be_made_before_its_namespace(name):
    thread = NamespaceThread(name)
    try:
        with pytest.raises(FileNotFoundError):
            await thread.run(inode)
        namespaces.create(name)
        assert await thread.run(inode) == namespaces.path_of(name).stat().st_ino
    finally:
        await thread.closed()


async def test_calls_run_in_order():
    thread, order = NamespaceThread(None), []
    try:
        await asyncio.gather(*(thread.run(order.append, i) for i in range(50)))
    finally:
        await thread.closed()
    assert order == list(range(50))


def test_a_socket_lives_in_its_namespace(name):
    namespaces.create(name)
    run('ip link set lo up', netns=name)
    run('ip address add 192.0.2.1/32 dev lo', netns=name)
    with socket_in(name) as sock:
        sock.bind(('192.0.2.1', 0))
        assert not sock.getblocking()
    with socket_in(None) as sock, pytest.raises(OSError):
        sock.bind(('192.0.2.1', 0))


def test_it_can_be_bound_to_an_address_that_comes_later(name):
    """Without ``lo`` the kernel would take the address for a broadcast one and send from another."""
    namespaces.create(name)
    early, receiver = (socket_in(name, socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    early.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    early.bind(('192.0.2.10', 0))
    for address in ('192.0.2.1', '192.0.2.10'):
        run(f'ip address add {address}/32 dev lo', netns=name)
    receiver.bind(('192.0.2.1', 0))

    early.sendto(b'hello', receiver.getsockname())

    assert receiver.recvfrom(100) == (b'hello', early.getsockname())
