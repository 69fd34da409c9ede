"""The kernel's rules are a cache of the API's objects: whatever happens to them, or to the proxy, they come back."""

from __future__ import annotations

import asyncio

import pytest
from service_lab import MACHINE, PLAN, Lab, ask_udp, udp_client, who

from netkube.api.resources import EVENTS, SERVICES
from netkube.proxy.proxy import networks_of
from netkube.testing import eventually


@pytest.mark.parametrize(
    'damage',
    [
        'flush ruleset',
        'delete table ip netkube; add table ip netkube { flags dormant; }',
        'flush map ip netkube endpoints',
        'flush chain ip netkube services',
        'flush chain ip netkube pick-1',
        'add element ip netkube cluster-ips { 10.96.77.77 }',
        'delete table ip netkube; add table ip netkube; add map ip netkube services { type ipv4_addr : verdict; }',
    ],
)
async def test_what_others_did_to_the_rules_is_undone(lab: Lab, damage: str) -> None:
    backend = await lab.pod('backend')
    vip = await lab.service('web')
    await lab.endpoints('web', [backend])

    await lab.nft_run(damage)

    await lab.settled()
    assert await eventually(lambda: answers(vip)) == 'backend'


async def test_a_new_proxy_takes_over_what_is_there(lab: Lab) -> None:
    a, b = await lab.pod('a'), await lab.pod('b')
    kept, changed, gone = [await lab.service(name) for name in ('kept', 'changed', 'gone')]
    for name in ('kept', 'changed', 'gone'):
        await lab.endpoints(name, [a])

    await lab.stop_proxy()
    await lab.endpoints('changed', [b], settle=False)
    await lab.client.delete(SERVICES, 'default', 'gone')
    assert [await who(MACHINE, vip, 80) for vip in (kept, changed)] == ['a', 'a']  # nothing is lost without a proxy
    await lab.start_proxy()

    assert await lab.elements() == await lab.wanted()
    assert [await who(MACHINE, vip, 80) for vip in (kept, changed)] == ['a', 'b']


async def test_the_clusters_ranges_may_change_while_it_runs(lab: Lab) -> None:
    backend = await lab.pod('backend')
    vip = await lab.service('web')
    await lab.endpoints('web', [backend])
    await lab.stop_proxy()
    proxy = await lab.start_proxy()

    async def ranges() -> bool:
        listed = await lab.thread.run(lab.table.nft.list_json, 'list chain ip netkube services')
        return '10.112.0.0' in str(listed)

    assert not await ranges()
    proxy.serve(networks_of([str(PLAN.service_cidr), '10.112.0.0/16', 'fd00:10:96::/112']))
    await eventually(ranges)
    assert await who(MACHINE, vip, 80) == 'backend'


async def test_no_connection_fails_while_a_proxy_takes_over(lab: Lab) -> None:
    backends = [await lab.pod('a'), await lab.pod('b')]
    vip = await lab.service('web')
    await lab.endpoints('web', backends)
    done = asyncio.Event()

    async def traffic() -> None:
        while not done.is_set():
            await who(MACHINE, vip, 80)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(traffic())
        for _ in range(5):
            await lab.stop_proxy()
            await lab.start_proxy()
        done.set()


async def test_a_udp_flow_that_became_stale_without_a_proxy_is_forgotten(lab: Lab) -> None:
    a, b = await lab.pod('a'), await lab.pod('b')
    port = {'name': '', 'port': 8080, 'protocol': 'UDP'}
    vip = await lab.service('dns', {'port': 53, 'protocol': 'UDP'})
    await lab.endpoints('dns', [a], port)

    with udp_client(MACHINE, vip, 53) as datagrams:
        assert (await ask_udp(datagrams)).startswith('a ')
        await lab.stop_proxy()
        await lab.endpoints('dns', [b], port, settle=False)
        await lab.start_proxy()
        assert (await ask_udp(datagrams)).startswith('b ')


async def test_a_service_that_the_kernel_refuses_gets_an_event_and_holds_up_no_other(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = await lab.pod('backend')
    bad, good = await lab.service('bad'), await lab.service('good')
    monkeypatch.setattr('netkube.proxy.proxy.CHECK_SECONDS', 3600)
    await lab.stop_proxy()
    await lab.start_proxy()
    # An element that the proxy does not know of, and does not come to look for, is in the way.
    await lab.nft_run(f'add element ip netkube endpoints {{ {bad} . tcp . 80 . 0 : 192.0.2.1 . 1 }}')

    await lab.endpoints('bad', [backend], settle=False)
    await lab.endpoints('good', [backend], settle=False)

    await eventually(lambda: answers(good))
    (event,) = await eventually(lambda: events(lab))
    assert event['involvedObject']['name'] == 'bad'
    assert (event['type'], event['reason']) == ('Warning', 'FailedToProxyService')
    assert 'File exists' in event['message']

    await lab.nft_run(f'delete element ip netkube endpoints {{ {bad} . tcp . 80 . 0 }}')
    await lab.settled()


async def events(lab: Lab) -> list:
    return (await lab.client.list(EVENTS)).items


async def answers(vip: str) -> str:
    try:
        return await who(MACHINE, vip, 80)
    except (OSError, TimeoutError):
        return ''
