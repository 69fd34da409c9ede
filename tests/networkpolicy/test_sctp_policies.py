"""NetworkPolicies and SCTP, with associations and packets of it. (Few kernels of test machines have SCTP sockets.)"""

from __future__ import annotations

import pytest
from network import sctp
from policy_lab import FAMILIES, NONE, Host, Lab

pytestmark = [pytest.mark.vm, sctp.needs_sctp]
PORT = 9000
DENY = """
metadata: {name: deny}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}
"""


async def server(lab: Lab) -> Host:
    """Answers on SCTP 9000 and 9001, and on TCP and UDP 80 and 81."""
    host = await lab.pod('web', app='web')
    for family in FAMILIES:
        for port in (PORT, PORT + 1):
            sctp.serve(lab.stack, 'web', host.netns, host.address[family], port)
    return host


async def reached(source: Host, target: Host, port: int = PORT, timeout: float = sctp.PATIENCE) -> set[str]:
    """By which of sctp4 and sctp6 there is an association."""
    found = set()
    for family in FAMILIES:
        try:
            said = await sctp.ask(source.netns, target.address[family], port, timeout)
        except (TimeoutError, OSError):
            continue
        assert said.split()[1] == source.address[family]
        found.add(f'sctp{family}')
    return found


async def is_cut(source: Host, target: Host, port: int = PORT) -> bool:
    return await reached(source, target, port, sctp.LOST_AFTER) == set()


BOTH = {'sctp4', 'sctp6'}


async def test_a_rule_for_an_sctp_port_lets_that_through_and_nothing_else(lab: Lab) -> None:
    web, client = await server(lab), await lab.pod('client')
    assert await reached(client, web) == BOTH

    await lab.apply("""
        metadata: {name: allow-sctp}
        spec: {podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{protocol: SCTP, port: 9000}]}]}
        """)

    assert await reached(client, web) == BOTH
    assert await is_cut(client, web, PORT + 1)
    assert await lab.reach(client, web) == NONE


async def test_a_rule_for_tcp_lets_no_sctp_through(lab: Lab) -> None:
    web, client = await server(lab), await lab.pod('client')

    await lab.apply("""
        metadata: {name: allow-tcp}
        spec: {podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{protocol: TCP}]}]}
        """)

    assert await is_cut(client, web)


async def test_a_policy_cuts_an_association_that_is_open(lab: Lab) -> None:
    web, client = await server(lab), await lab.pod('client')
    association, _ = await sctp.associate(client.netns, web.address[4], PORT)
    with association:
        assert await sctp.echoed(association, b'before') == b'before'

        await lab.apply(DENY)

        with pytest.raises(TimeoutError):
            await sctp.echoed(association, b'after', sctp.LOST_AFTER)


async def test_egress_to_an_sctp_port(lab: Lab) -> None:
    web, client = await server(lab), await lab.pod('client', app='client')

    await lab.apply("""
        metadata: {name: allow-one-port}
        spec:
          podSelector: {matchLabels: {app: client}}
          policyTypes: [Egress]
          egress: [{ports: [{protocol: SCTP, port: 9000}]}]
        """)

    assert await reached(client, web) == BOTH
    assert await is_cut(client, web, PORT + 1)
