"""sessionAffinity ClientIP: a client stays with its endpoint as long as that is there."""

from __future__ import annotations

from service_lab import MACHINE, Lab, who

from netkube.testing import eventually

CLIENT_IP = {'sessionAffinity': 'ClientIP', 'sessionAffinityConfig': {'clientIP': {'timeoutSeconds': 3}}}


async def endpoints_seen(lab: Lab, netns: str | None, vip: str, times: int = 20) -> set[str]:
    return {await who(netns, vip, 80) for _ in range(times)}


async def test_a_client_stays_with_its_endpoint(lab: Lab) -> None:
    clients = [await lab.pod(f'client-{number}') for number in range(8)]
    backends = [await lab.pod(name) for name in ('a', 'b', 'c')]
    names = ('one', 'two', 'three')
    vips = [await lab.service(name, sessionAffinity='ClientIP') for name in names]
    for name in names:
        await lab.endpoints(name, backends)

    seen = [await endpoints_seen(lab, client.netns, vip, 10) for vip in vips for client in clients]

    assert all(len(names) == 1 for names in seen)
    assert len(set.union(*seen)) > 1  # and not all with the same one: 1 in 90,000 million by chance
    assert len(await endpoints_seen(lab, MACHINE, vips[0])) == 1


async def test_affinity_follows_the_endpoint_while_others_come_and_go(lab: Lab) -> None:
    client, *pods = [await lab.pod(name) for name in ('client', 'a', 'b', 'c', 'd')]
    vip = await lab.service('web', sessionAffinity='ClientIP')
    await lab.endpoints('web', pods)
    mine = await who(client.netns, vip, 80)
    others = [pod for pod in pods if pod.name != mine]

    for gone in others:
        await lab.endpoints('web', [pod for pod in pods if pod is not gone])
        assert await endpoints_seen(lab, client.netns, vip) == {mine}
    await lab.endpoints('web', [lab.pods[mine]])
    assert await endpoints_seen(lab, client.netns, vip) == {mine}


async def test_a_client_whose_endpoint_went_gets_another_for_good(lab: Lab) -> None:
    client, *pods = [await lab.pod(name) for name in ('client', 'a', 'b', 'c', 'd')]
    vip = await lab.service('web', sessionAffinity='ClientIP')
    await lab.endpoints('web', pods)
    first = await who(client.netns, vip, 80)

    await lab.endpoints('web', [pod for pod in pods if pod.name != first])
    (second,) = await endpoints_seen(lab, client.netns, vip)
    assert second != first

    await lab.endpoints('web', pods)  # the old one is back, and must not be remembered
    assert await endpoints_seen(lab, client.netns, vip) == {second}


async def test_a_client_is_free_again_after_the_timeout(lab: Lab) -> None:
    client, *pods = [await lab.pod(name) for name in ('client', 'a', 'b')]
    vip = await lab.service('web', **CLIENT_IP)
    await lab.endpoints('web', pods)
    await who(client.netns, vip, 80)

    async def remembered() -> bool:
        return bool(await lab.thread.run(lambda: list(lab.table.nft.elements('ip', 'netkube', 'affinity'))))

    async def forgotten() -> bool:
        return not await remembered()

    assert await remembered()
    await eventually(forgotten)


async def test_a_new_proxy_keeps_affinity(lab: Lab) -> None:
    client, *pods = [await lab.pod(name) for name in ('client', 'a', 'b', 'c', 'd')]
    vip = await lab.service('web', sessionAffinity='ClientIP')
    await lab.endpoints('web', pods)
    (mine,) = await endpoints_seen(lab, client.netns, vip)

    await lab.stop_proxy()
    await lab.start_proxy()

    assert await endpoints_seen(lab, client.netns, vip) == {mine}
