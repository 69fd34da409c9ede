"""What policies let through, with real packets: TCP and UDP, IPv4 and IPv6; Pods, the outside, the Node."""

from __future__ import annotations

from ipaddress import ip_address

from policy_lab import ALL, NONE, TCP, UDP, Lab

from netkube.node.hostports import HostPort, HostPorts

DENY_INGRESS = """
metadata: {name: deny-ingress}
spec: {podSelector: {}, policyTypes: [Ingress]}
"""
DENY_EGRESS = """
metadata: {name: deny-egress}
spec: {podSelector: {}, policyTypes: [Egress]}
"""


async def test_without_policies_everybody_reaches_everybody(lab: Lab) -> None:
    a, b = await lab.pod('a'), await lab.pod('b')

    assert await lab.reach(a, b) == ALL
    assert await lab.reach(a, lab.outside) == ALL
    assert await lab.reach(lab.outside, a) == ALL
    assert await lab.reach(lab.node, a) == ALL
    assert await lab.reach(a, lab.node) == ALL
    assert await lab.reach(a, lab.resolver, 53) == ALL


async def test_default_deny_of_ingress_cuts_all_but_the_node(lab: Lab) -> None:
    await lab.namespace('other')
    a, b, other = await lab.pod('a'), await lab.pod('b'), await lab.pod('c', 'other')

    await lab.apply(DENY_INGRESS)

    assert await lab.reach(a, b) == NONE
    assert await lab.reach(other, b) == NONE
    assert await lab.reach(lab.outside, b) == NONE
    assert await lab.reach(lab.node, b) == ALL  # probes, port-forward
    assert await lab.reach(b, b) == ALL
    assert await lab.reach(b, other) == ALL  # and so the answers come in
    assert await lab.reach(b, lab.outside) == ALL
    assert await lab.reach(b, lab.resolver, 53) == ALL


async def test_default_deny_of_egress_cuts_all_but_the_node(lab: Lab) -> None:
    a, b = await lab.pod('a'), await lab.pod('b')

    await lab.apply(DENY_EGRESS)

    assert await lab.reach(a, b) == NONE
    assert await lab.reach(a, lab.outside) == NONE
    assert await lab.reach(a, lab.resolver, 53) == NONE
    assert await lab.reach(a, lab.node) == ALL
    assert await lab.reach(a, a) == ALL
    assert await lab.reach(lab.outside, a) == ALL


async def test_a_port_of_the_node_is_the_pod_that_it_leads_to(lab: Lab) -> None:
    a, b = await lab.pod('a'), await lab.pod('b')
    ports = [HostPort('', kind, 80, address, 80) for kind in ('tcp', 'udp') for address in b.address.values()]
    table = HostPorts([ip_address(address) for address in lab.node.address.values()])
    await lab.thread.run(table.put, 'b', 'default/b', tuple(ports))
    assert await lab.reach(a, lab.node) == ALL

    await lab.apply(DENY_INGRESS)

    assert await lab.reach(a, lab.node) == NONE
    assert await lab.reach(lab.outside, lab.node) == NONE
    assert await lab.reach(b, lab.node) == ALL  # itself
    await lab.thread.run(table.remove, 'b')
    assert await lab.reach(a, lab.node) == ALL  # the Node's own port again


async def test_a_deleted_policy_cuts_nobody(lab: Lab) -> None:
    a, b = await lab.pod('a'), await lab.pod('b')
    await lab.apply(DENY_INGRESS)

    await lab.delete('deny-ingress')

    assert await lab.reach(a, b) == ALL


async def test_peers_by_label_of_the_same_namespace(lab: Lab) -> None:
    await lab.namespace('other')
    web = await lab.pod('web', app='web')
    friend, stranger = await lab.pod('friend', role='friend'), await lab.pod('stranger')
    namesake = await lab.pod('namesake', 'other', role='friend')

    await lab.apply("""
        metadata: {name: web-allow-friends}
        spec:
          podSelector: {matchLabels: {app: web}}
          ingress: [{from: [{podSelector: {matchLabels: {role: friend}}}]}]
        """)

    assert await lab.reach(friend, web) == ALL
    assert await lab.reach(stranger, web) == NONE
    assert await lab.reach(namesake, web) == NONE
    assert await lab.reach(stranger, friend) == ALL  # whom no policy selects


async def test_peers_by_namespace_and_by_both(lab: Lab) -> None:
    await lab.namespace('prod', team='ops')
    web, db = await lab.pod('web', app='web'), await lab.pod('db', app='db')
    ops, monitor = await lab.pod('ops', 'prod'), await lab.pod('monitor', 'prod', type='monitoring')
    local = await lab.pod('local', type='monitoring')

    await lab.apply("""
        metadata: {name: web-allow-prod}
        spec:
          podSelector: {matchLabels: {app: web}}
          ingress: [{from: [{namespaceSelector: {matchLabels: {team: ops}}}]}]
        ---
        metadata: {name: db-allow-monitoring-of-prod}
        spec:
          podSelector: {matchLabels: {app: db}}
          ingress:
          - from:
            - namespaceSelector: {matchExpressions: [{key: team, operator: In, values: [ops]}]}
              podSelector: {matchLabels: {type: monitoring}}
        """)

    assert await lab.reach(ops, web) == ALL
    assert await lab.reach(local, web) == NONE
    assert await lab.reach(monitor, db) == ALL
    assert await lab.reach(ops, db) == NONE
    assert await lab.reach(local, db) == NONE


async def test_a_namespace_whose_labels_change_is_another_peer(lab: Lab) -> None:
    from netkube.api.resources import NAMESPACES

    await lab.namespace('other')
    web, peer = await lab.pod('web'), await lab.pod('peer', 'other')
    await lab.apply("""
        metadata: {name: allow-prod}
        spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {purpose: prod}}}]}]}
        """)
    assert await lab.reach(peer, web) == NONE

    await lab.client.patch(NAMESPACES, '', 'other', {'metadata': {'labels': {'purpose': 'prod'}}})
    await lab.settled()

    assert await lab.reach(peer, web) == ALL


async def test_a_pod_whose_labels_change_is_another_peer_and_another_target(lab: Lab) -> None:
    web, client = await lab.pod('web', app='web'), await lab.pod('client')
    await lab.apply("""
        metadata: {name: web-allow-friends}
        spec:
          podSelector: {matchLabels: {app: web}}
          ingress: [{from: [{podSelector: {matchLabels: {role: friend}}}]}]
        """)
    assert await lab.reach(client, web) == NONE

    await lab.label(client, role='friend')
    assert await lab.reach(client, web) == ALL

    await lab.label(client, role=None)
    assert await lab.reach(client, web) == NONE

    await lab.label(web, app='other')
    assert await lab.reach(client, web) == ALL


async def test_ports_ranges_and_protocols(lab: Lab) -> None:
    web, client = await lab.pod('web', app='web'), await lab.pod('client')

    await lab.apply("""
        metadata: {name: web}
        spec:
          podSelector: {matchLabels: {app: web}}
          ingress: [{ports: [{port: 80}]}]
        """)
    assert await lab.reach(client, web, 80) == TCP
    assert await lab.reach(client, web, 81) == NONE

    await lab.apply("""
        metadata: {name: web}
        spec:
          podSelector: {matchLabels: {app: web}}
          ingress: [{ports: [{port: 81, endPort: 90, protocol: UDP}]}]
        """)
    assert await lab.reach(client, web, 80) == NONE
    assert await lab.reach(client, web, 81) == UDP

    await lab.apply("""
        metadata: {name: web}
        spec: {podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{protocol: UDP}]}]}
        """)
    assert await lab.reach(client, web, 80) == UDP


async def test_a_named_port_is_what_the_destination_calls_so(lab: Lab) -> None:
    eighty, other = await lab.pod('eighty', ports={'http': 80}), await lab.pod('other', ports={'http': 81})
    nameless = await lab.pod('nameless')

    await lab.apply("""
        metadata: {name: http-only}
        spec:
          podSelector: {}
          ingress: [{ports: [{port: http}]}]
        """)

    assert await lab.reach(nameless, eighty, 80) == TCP
    assert await lab.reach(nameless, eighty, 81) == NONE
    assert await lab.reach(nameless, other, 80) == NONE
    assert await lab.reach(nameless, other, 81) == TCP
    assert await lab.reach(other, nameless, 80) == NONE


async def test_a_named_port_of_egress(lab: Lab) -> None:
    client, web = await lab.pod('client', app='client'), await lab.pod('web', ports={'http': 80}, app='web')

    await lab.apply("""
        metadata: {name: client-to-web}
        spec:
          podSelector: {matchLabels: {app: client}}
          policyTypes: [Egress]
          egress: [{to: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: http}]}]
        """)

    assert await lab.reach(client, web, 80) == TCP
    assert await lab.reach(client, web, 81) == NONE


async def test_address_blocks_and_their_exceptions(lab: Lab) -> None:
    web = await lab.pod('web')

    await lab.apply("""
        metadata: {name: outside-of-one-family}
        spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}]}]}
        """)
    assert await lab.reach(lab.outside, web) == {'tcp4', 'udp4'}

    await lab.apply("""
        metadata: {name: outside-of-one-family}
        spec:
          podSelector: {}
          ingress:
          - from:
            - {ipBlock: {cidr: '::/0'}}
            - {ipBlock: {cidr: 0.0.0.0/0, except: [192.0.2.0/30, 192.0.2.2/32, 10.0.0.0/8]}}
        """)
    assert await lab.reach(lab.outside, web) == {'tcp6', 'udp6'}


async def test_egress_to_the_outside_only(lab: Lab) -> None:
    a, b = await lab.pod('a'), await lab.pod('b')

    await lab.apply("""
        metadata: {name: outside-only}
        spec:
          podSelector: {}
          policyTypes: [Egress]
          egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}, {ipBlock: {cidr: 2001:db8::/32}}]}]
        """)

    assert await lab.reach(a, lab.outside) == ALL
    assert await lab.reach(a, b) == NONE


async def test_both_sides_must_allow(lab: Lab) -> None:
    a, b = await lab.pod('a', app='a'), await lab.pod('b', app='b')
    await lab.apply(DENY_INGRESS, DENY_EGRESS)

    await lab.apply("""
        metadata: {name: a-may-go}
        spec:
          podSelector: {matchLabels: {app: a}}
          policyTypes: [Egress]
          egress: [{to: [{podSelector: {matchLabels: {app: b}}}]}]
        """)
    assert await lab.reach(a, b) == NONE

    await lab.apply("""
        metadata: {name: b-may-be-reached}
        spec:
          podSelector: {matchLabels: {app: b}}
          ingress: [{from: [{podSelector: {matchLabels: {app: a}}}]}]
        """)
    assert await lab.reach(a, b) == ALL
    assert await lab.reach(b, a) == NONE


async def test_policies_add_up(lab: Lab) -> None:
    web, client = await lab.pod('web'), await lab.pod('client')
    await lab.apply(DENY_INGRESS)
    assert await lab.reach(client, web) == NONE

    await lab.apply("""
        metadata: {name: allow-all}
        spec: {podSelector: {}, ingress: [{}]}
        """)
    assert await lab.reach(client, web) == ALL

    await lab.delete('allow-all')
    assert await lab.reach(client, web) == NONE


async def test_an_empty_selector_of_peers_is_the_namespace_of_the_policy(lab: Lab) -> None:
    await lab.namespace('other')
    web, client, stranger = await lab.pod('web'), await lab.pod('client'), await lab.pod('client', 'other')

    await lab.apply("""
        metadata: {name: same-namespace}
        spec: {podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}
        """)

    assert await lab.reach(client, web) == ALL
    assert await lab.reach(stranger, web) == NONE


async def test_the_resolver_is_kube_dns_to_policies(lab: Lab) -> None:
    a = await lab.pod('a')
    await lab.apply(DENY_EGRESS)
    assert await lab.reach(a, lab.resolver, 53) == NONE

    await lab.apply("""
        metadata: {name: allow-dns}
        spec:
          podSelector: {}
          policyTypes: [Egress]
          egress:
          - to:
            - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
              podSelector: {matchLabels: {k8s-app: kube-dns}}
            ports: [{port: 53, protocol: UDP}]
        """)
    assert await lab.reach(a, lab.resolver, 53) == UDP

    await lab.apply("""
        metadata: {name: allow-dns}
        spec: {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: dns-tcp}, {port: dns, protocol: UDP}]}]}
        """)
    assert await lab.reach(a, lab.resolver, 53) == ALL


async def test_ingress_policies_of_kube_system_hold_for_the_resolver(lab: Lab) -> None:
    a = await lab.pod('a')

    await lab.apply("""
        metadata: {name: udp-only, namespace: kube-system}
        spec: {podSelector: {matchLabels: {k8s-app: kube-dns}}, ingress: [{ports: [{port: 53, protocol: UDP}]}]}
        """)

    assert await lab.reach(a, lab.resolver, 53) == UDP
    assert await lab.reach(lab.node, lab.resolver, 53) == ALL
