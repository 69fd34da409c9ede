"""libnftables in process, in the namespace of the thread that uses it."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator

import pytest

from netkube.network import namespaces
from netkube.network.namespaces import NamespaceThread
from netkube.network.nft import Nft, NftError

NAME = 'nft-test'


@pytest.fixture
async def thread() -> AsyncIterator[NamespaceThread]:
    namespaces.create(NAME)
    thread = NamespaceThread(NAME)
    yield thread
    await thread.closed()
    namespaces.delete(NAME)


def tables(nft: Nft) -> set[str]:
    return {item['table']['name'] for item in nft.list_json('list tables')['nftables'] if 'table' in item}


async def test_it_acts_in_the_namespace_of_the_thread_that_first_uses_it(thread: NamespaceThread) -> None:
    nft = Nft()
    await thread.run(nft.run, 'add table ip there')
    assert await thread.run(tables, nft) == {'there'}
    assert 'there' not in tables(Nft())


async def test_a_text_is_one_transaction(thread: NamespaceThread) -> None:
    nft = Nft()
    with pytest.raises(NftError, match='No such file or directory'):
        await thread.run(nft.run, 'add table ip a\nadd table ip b\nadd rule ip b nowhere accept')
    assert await thread.run(tables, nft) == set()


async def test_a_refusal_does_not_spoil_what_comes_after(thread: NamespaceThread) -> None:
    nft = Nft()
    for text in ('no such command', 'add table ip', 'list table ip absent'):
        with pytest.raises(NftError):
            await thread.run(nft.run, text)
    await thread.run(nft.run, 'add table ip a')
    assert await thread.run(tables, nft) == {'a'}


async def test_protocols_are_listed_as_numbers(thread: NamespaceThread) -> None:
    nft = Nft()
    await thread.run(nft.run, 'add table ip t; add set ip t s { type inet_proto; elements = { udp }; }')
    listed = await thread.run(nft.list_json, 'list set ip t s')
    assert listed['nftables'][-1]['set']['elem'] == [17]


async def test_the_generation_counts_everybodys_changes(thread: NamespaceThread) -> None:
    nft, other = Nft(), Nft()
    first = await thread.run(nft.generation)
    await thread.run(nft.run, 'add table ip a')
    await thread.run(other.run, 'add table ip b')
    assert await thread.run(nft.generation) == first + 2

    await thread.run(nft.run, 'add table ip a')  # changes nothing
    with pytest.raises(NftError):
        await thread.run(nft.run, 'add rule ip a nowhere accept')
    await thread.run(nft.list_json, 'list ruleset')
    assert await thread.run(nft.generation) == first + 2


async def test_other_threads_run_while_the_kernel_works(thread: NamespaceThread) -> None:
    nft = Nft()
    elements = ', '.join(f'10.{n >> 16}.{n >> 8 & 255}.{n & 255}' for n in range(40000))
    load = f'add table ip t; add set ip t s {{ type ipv4_addr; }}; add element ip t s {{ {elements} }}'
    steps, stop = 0, threading.Event()

    def count() -> None:
        nonlocal steps
        while not stop.is_set():
            steps += 1
            time.sleep(0)

    counter = threading.Thread(target=count)
    counter.start()
    await thread.run(nft.run, load)
    stop.set()
    counter.join()
    assert steps > 100  # holding the interpreter's lock it would be a handful
