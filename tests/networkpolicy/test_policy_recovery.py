"""What somebody else breaks comes back; what the kernel refuses harms nobody else; a new daemon disturbs nobody."""

from __future__ import annotations

import pytest
from policy_lab import ALL, NONE, PATIENCE, Lab
from test_policy_connections import Connection

from netkube.network.nft import Nft, load_library
from netkube.networkpolicy.agent import CHECK_SECONDS
from netkube.testing import eventually

DENY = 'metadata: {name: deny}\nspec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}'
TABLE = 'inet netkube-policy'


@pytest.mark.parametrize('damage', [
    f'delete table {TABLE}',
    f'flush chain {TABLE} ingress',
    f'flush map {TABLE} ingress4',
    f'insert rule {TABLE} ingress accept',
    f'add element {TABLE} itself4 {{ 10.9.0.3 . 10.9.0.2 }}',
    f'flush chain {TABLE} ingress; add rule {TABLE} ingress accept; add rule {TABLE} ingress accept;'
    f' add rule {TABLE} ingress accept',
])  # fmt: skip
async def test_what_somebody_else_changes_is_put_right(lab: Lab, damage: str) -> None:
    web, client = await lab.pod('web', app='web'), await lab.pod('client')
    await lab.apply(DENY)
    before = await contents(lab)

    await lab.run_nft(damage)

    async def is_right() -> bool:
        return await contents(lab) == before

    await eventually(is_right, 5 * CHECK_SECONDS)
    assert await lab.reach(client, web) == NONE


async def contents(lab: Lab) -> str:
    """The table as text, without the revision, which is another each time."""
    import asyncio
    import re

    words = ['ip', 'netns', 'exec', 'np-node', 'nft', '-s', 'list', 'table', *TABLE.split()]
    process = await asyncio.create_subprocess_exec(*words, stdout=-1, stderr=-3)
    return re.sub('0x[0-9a-f]{8}', 'N', (await process.communicate())[0].decode())


async def test_other_tables_are_left_alone_and_no_reason_for_a_reset(lab: Lab) -> None:
    web, client = await lab.pod('web', app='web'), await lab.pod('client')
    await lab.apply(DENY)
    before = await chain_handles(lab)

    await lab.run_nft('add table ip mine; add chain ip mine c; add rule ip mine c accept')
    checked = lab.agent._table._generation
    await eventually(lambda: lab.agent._table._generation != checked, 5 * CHECK_SECONDS)

    assert await chain_handles(lab) == before  # a new table has new ones
    assert await lab.reach(client, web) == NONE


async def chain_handles(lab: Lab) -> list[int]:
    return [one['chain']['handle'] for one in await lab.list_nft('list chains inet') if 'chain' in one]


async def test_a_new_agent_takes_over_without_disturbing_a_connection(lab: Lab) -> None:
    web, client = await lab.pod('web', app='web'), await lab.pod('client')
    connection = await Connection(client, web).open()

    await lab.stop()
    assert await connection.echoes(PATIENCE)
    await lab.start()

    assert await connection.echoes(PATIENCE)


async def test_policies_that_changed_while_nobody_looked_are_in_force_at_the_start(lab: Lab) -> None:
    from netkube.api.resources import NETWORKPOLICIES

    web, client = await lab.pod('web', app='web'), await lab.pod('client')
    await lab.apply(DENY)
    await lab.stop()
    assert await lab.reach(client, web) == NONE  # the rules are the Node's, not the agent's

    await lab.client.delete(NETWORKPOLICIES, 'default', 'deny')
    await lab.start()
    assert await lab.reach(client, web) == ALL


class Refusing:
    """The kernel's library, but for commands that hold ``word``."""

    def __init__(self, word: str) -> None:
        self.library, self.word, self.refuses = load_library(), word, True

    def cmd(self, text: str) -> tuple[int, str, str]:
        if self.refuses and self.word in text:
            return 1, '', f'Error: Could not process rule: Not supported\n{text}'
        return self.library.cmd(text)

    def set_json_output(self, value: bool) -> bool:
        return self.library.set_json_output(value)

    def set_numeric_proto_output(self, value: bool) -> bool:
        return self.library.set_numeric_proto_output(value)


async def test_a_policy_that_the_kernel_refuses_is_reported_and_tried_again_and_harms_no_other(lab: Lab) -> None:
    web, client = await lab.pod('web', app='web'), await lab.pod('client')
    await lab.stop()
    refusing: list[Refusing] = []

    def open_library() -> Refusing:
        refusing.append(Refusing('default/refused'))
        return refusing[0]

    await lab.start(Nft(open_library))
    await lab.apply(
        """
        metadata: {name: refused}
        spec: {podSelector: {}, ingress: [{}]}
        """,
        DENY,
    )
    assert await lab.reach(client, web) == NONE

    async def reported() -> bool:
        events = await lab.events()
        told = {(one['involvedObject']['name'], one['reason']) for one in events}
        return told == {('refused', 'FailedToApplyNetworkPolicy')}

    await eventually(reported)
    refusing[0].refuses = False

    async def applied() -> bool:
        return await lab.reach(client, web) == ALL

    await eventually(applied)


async def test_a_refused_policy_at_the_start_harms_no_other(lab: Lab) -> None:
    web, client = await lab.pod('web', app='web'), await lab.pod('client')
    await lab.apply('metadata: {name: refused}\nspec: {podSelector: {}, ingress: [{}]}', DENY)
    await lab.stop()

    await lab.start(Nft(lambda: Refusing('default/refused')))

    assert await lab.reach(client, web) == NONE
