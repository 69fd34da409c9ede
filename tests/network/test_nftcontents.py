"""The dump of a table, beside what nft says that it has put there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from netkube.network import namespaces
from netkube.network.namespaces import NamespaceThread
from netkube.network.nft import Nft
from netkube.network.nftcontents import NftContents

NAME = 'dump-test'


@pytest.fixture
async def thread() -> AsyncIterator[NamespaceThread]:
    namespaces.create(NAME)
    thread = NamespaceThread(NAME)
    yield thread
    await thread.closed()
    namespaces.delete(NAME)


async def test_rules_and_keys_of_one_table(thread: NamespaceThread) -> None:
    nft, dump = Nft(), NftContents('mine')
    assert await thread.run(dump.rules) == {} and await thread.run(dump.sets) == {}

    await thread.run(nft.run, """
        add table inet mine
        add set inet mine pairs { type ipv4_addr . inet_service; elements = { 10.0.0.1 . 80, 10.0.0.2 . 443 }; }
        add set inet mine six { type ipv6_addr; }
        add chain inet mine two
        add rule inet mine two accept
        add rule inet mine two tcp dport { 1, 2 } drop
        add chain inet mine none
        add table inet other
        add set inet other six { type ipv6_addr; elements = { fd00::1 }; }
        add chain inet other two
        add rule inet other two drop
        """)  # fmt: skip

    rules = await thread.run(dump.rules)
    assert {name: len(handles) for name, handles in rules.items()} == {'two': 2}
    assert await thread.run(dump.sets) == {'pairs': {b'\x0a\0\0\1\0\x50\0\0', b'\x0a\0\0\2\1\xbb\0\0'}, 'six': set()}


async def test_many_elements(thread: NamespaceThread) -> None:
    nft, dump = Nft(), NftContents('mine')
    addresses = [f'10.0.{n // 250}.{n % 250}' for n in range(5000)]
    commands = (
        'add table inet mine',
        'add set inet mine many { type ipv4_addr; }',
        f'add element inet mine many {{ {", ".join(addresses)} }}',
    )
    await thread.run(nft.run, '\n'.join(commands))

    assert len((await thread.run(dump.sets))['many']) == 5000
