"""The resolver configuration of real Pods."""

from __future__ import annotations

from node_lab import Lab

FOREVER = ('sleep', 'infinity')


async def test_more_nameservers_than_a_resolv_conf_may_hold_are_said_in_an_event(kubelet: Lab) -> None:
    spec = {'dnsConfig': {'nameservers': ['192.0.2.1', '192.0.2.2', '192.0.2.3']}}
    await kubelet.create_pod(*FOREVER, spec=spec, wait=True)
    await kubelet.has_event(
        'Warning',
        'DNSConfigForming',
        'Nameserver limits were exceeded, some nameservers have been omitted, '
        'the applied nameserver line is: 10.96.0.10 192.0.2.1 192.0.2.2',
    )
