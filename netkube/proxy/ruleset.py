"""The Node's nftables table ``ip netkube`` as text: fixed chains, and maps whose elements are all that ever changes.

The way of a new connection (nat chains see only the first packet of one)::

    prerouting, output -> services
        vmap @services      VIP . protocol . port -> pick-N | stick-N-SECONDS | pick-0 (refuse) | drop
        pick-N              dnat to @endpoints[VIP . protocol . port . (random number below N)]
        a live VIP, another port   refuse;   an unallocated VIP   drop
    postrouting             masquerade when a Pod was sent to itself (hairpin), and the machine to the machine

All frontends with N endpoints share the chain ``pick-N``, so a change of a Service is a change of elements only,
and its cost does not grow with the number of Services. ``stick-N-SECONDS`` is its counterpart for
sessionAffinity ClientIP: @affinity remembers *which* endpoint a client has (by an id, carried in the packet's
mark to the next lookup), and @endpoints knows that id as long as the frontend has that endpoint.

Pure: everything here makes text, or reads libnftables-json(5).
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from netkube.proxy.frontends import Backends, Endpoint, ServiceRules

TABLE = 'ip netkube'

Elements = dict[tuple[str, str], str]
"""What the maps hold: (map, key) -> value, as nft writes them; the value is '' in a set."""

FRONTEND = 'ip daddr . ip protocol . th dport'
CLIENT = f'ip saddr . {FRONTEND}'
TRANSPORT = 'meta l4proto { tcp, udp, sctp }'

# The fourth part of a key is the packet's mark, as the chain has just set it. (It is not ``numgen`` in its place,
# which needs a ``typeof`` map: nft 1.0.6 refuses new rules over one that it has read back from the kernel.)
ELEMENT_MAPS: dict[str, str] = {
    'services': 'map services { type ipv4_addr . inet_proto . inet_service : verdict; }',
    'cluster-ips': 'set cluster-ips { type ipv4_addr; }',
    'endpoints': 'map endpoints { type ipv4_addr . inet_proto . inet_service . mark : ipv4_addr . inet_service; }',
    'sticky-ids': 'map sticky-ids { type ipv4_addr . inet_proto . inet_service . mark : mark; }',
}
AFFINITY_MAP = (  # its elements come from packets; full, it only stops remembering
    'map affinity { type ipv4_addr . ipv4_addr . inet_proto . inet_service : mark;'
    ' size 262144; flags dynamic,timeout; }'
)

GO = f'dnat ip to {FRONTEND} . meta mark map @endpoints'

# nft cannot compare one field of a packet with another. It can look up a pair in a set of all equal pairs: with
# one hexadecimal digit of the addresses at a time, that is 16 pairs for each of 8 digits.
DIGIT_SHIFTS = range(0, 32, 4)
SAME_SOURCE_AND_DESTINATION = ' '.join(
    f'ip saddr & 0x{0xF << shift:08x} . ip daddr & 0x{0xF << shift:08x} @same-digit' for shift in DIGIT_SHIFTS
)

CHAINS: tuple[tuple[str, str, tuple[str, ...]], ...] = (  # name, hook, rules
    (
        'pick-0', '',
        ('meta l4proto tcp reject with tcp reset', 'reject with icmp port-unreachable'),
    ),
    (
        'services', '',
        (
            'ip daddr . meta l4proto . th dport vmap @services',
            'ip daddr @cluster-ips goto pick-0',
            'ip daddr {service_cidr} fib daddr type != local drop',
        ),
    ),
    # A service address that the Node itself has (the resolver's) needs no translation, so no tracking either.
    (
        'untracked-prerouting', 'type filter hook prerouting priority raw',
        ('ip daddr {service_cidr} fib daddr type local notrack',),
    ),
    (
        'untracked-output', 'type filter hook output priority raw',
        (
            'ip daddr {service_cidr} fib daddr type local notrack',
            'ip saddr {service_cidr} fib saddr type local notrack',
        ),
    ),
    # A packet that fits no connection is not translated either. Passed on, the peer would see an address it does
    # not know, or the chain services would answer for the VIP, with a reset that ends a live connection. So it
    # ends here, before both.
    ('invalid', 'type filter hook prerouting priority mangle', ('ct state invalid drop',)),
    ('prerouting', 'type nat hook prerouting priority dstnat', ('jump services',)),
    ('output', 'type nat hook output priority -100', ('jump services',)),
    # Only where the answer would not come back here: to a Pod from itself, and to the machine from itself (a Service
    # whose endpoint is an address of the machine, or beyond it). Otherwise an endpoint sees who its client is.
    (
        'postrouting', 'type nat hook postrouting priority srcnat',
        (
            f'ct status dnat {SAME_SOURCE_AND_DESTINATION} masquerade',
            'ct status dnat iifname "{uplink}" oifname "{uplink}" masquerade',
        ),
    ),
)  # fmt: skip


def render_table(service_cidr: str, uplink: str, chains: Iterable[str] = ()) -> str:
    """All that is fixed, and the chains named. It may be applied again and again; no element is lost by it.

    ``uplink`` is the Node's link to the machine.
    """
    fixed = [
        (name, hook, [rule.format(service_cidr=service_cidr, uplink=uplink) for rule in rules])
        for name, hook, rules in CHAINS
    ]
    counted = [(name, '', list(chain_rules(name))) for name in sorted(set(chains) - {'pick-0'})]
    maps = [f'table {TABLE} {{', *ELEMENT_MAPS.values(), AFFINITY_MAP, render_digits(), '}']
    return '\n'.join(maps + [render_chain(*chain) for chain in fixed + counted])


def render_chain(name: str, hook: str, rules: Iterable[str]) -> str:
    """The chain is there, with just these rules. The chains that they go to must be there before."""
    lines = [f'add chain {TABLE} {name}' + (f' {{ {hook}; }}' if hook else ''), f'flush chain {TABLE} {name}']
    return '\n'.join(lines + [f'add rule {TABLE} {name} {rule}' for rule in rules])


def render_removal() -> str:
    return f'add table {TABLE}\ndelete table {TABLE}'  # delete alone fails where there is none


def render_digits() -> str:
    values = sorted({digit << shift for shift in DIGIT_SHIFTS for digit in range(16)})
    addresses = ['.'.join(str(byte) for byte in value.to_bytes(4, 'big')) for value in values]
    pairs = ', '.join(f'{address} . {address}' for address in addresses)
    return f'set same-digit {{ type ipv4_addr . ipv4_addr; elements = {{ {pairs} }}; }}'


def chain_rules(name: str) -> tuple[str, ...]:
    """The rules of ``pick-N`` and of ``stick-N-SECONDS``."""
    kind, count, *seconds = name.split('-')
    return pick_rules(int(count)) if kind == 'pick' else stick_rules(int(count), int(seconds[0]))


def pick_rules(count: int) -> tuple[str, ...]:
    """A packet may meet @services before and @endpoints after a transaction, and so find its index gone.

    Index 0 is there as long as the frontend has any endpoint. Without one it is dropped: the client sends again,
    and is refused.
    """
    return (f'{TRANSPORT} meta mark set numgen random mod {count} {GO}', f'{TRANSPORT} meta mark set 0 {GO}', 'drop')


def stick_rules(count: int, seconds: int) -> tuple[str, ...]:
    """Back to the endpoint that is remembered; if there is none or it has gone, to any, and remember that."""
    remember = f'@affinity {{ {CLIENT} timeout {seconds}s : meta mark }}'
    draw = f'meta mark set numgen random mod {count} meta mark set {FRONTEND} . meta mark map @sticky-ids'
    return (
        f'{TRANSPORT} meta mark set {CLIENT} map @affinity update {remember} {GO}',
        f'{TRANSPORT} delete @affinity {{ {CLIENT} : meta mark }}',
        f'{TRANSPORT} {draw} add {remember} {GO}',
        f'{TRANSPORT} meta mark set 0 meta mark set {FRONTEND} . meta mark map @sticky-ids {GO}',
        'drop',
    )


def verdict(backends: Backends) -> str:
    if backends.elsewhere:
        return 'drop'
    count = len(backends.endpoints)
    if count and backends.affinity_seconds:
        return f'goto stick-{count}-{backends.affinity_seconds}'
    return f'goto pick-{count}'


def elements_of(rules: ServiceRules) -> Elements:
    elements: Elements = {('cluster-ips', address): '' for address in rules.addresses}
    for frontend, backends in rules.frontends.items():
        at = f'{frontend.ip} . {frontend.protocol} . {frontend.port}'
        elements['services', at] = verdict(backends)
        numbers = endpoint_ids(backends.endpoints) if backends.affinity_seconds else range(len(backends.endpoints))
        for index, (number, endpoint) in enumerate(zip(numbers, backends.endpoints, strict=True)):
            elements['endpoints', f'{at} . {number}'] = f'{endpoint.ip} . {endpoint.port}'
            if backends.affinity_seconds:
                elements['sticky-ids', f'{at} . {index}'] = str(number)
    return elements


def endpoint_ids(endpoints: tuple[Endpoint, ...]) -> list[int]:
    """A number for each endpoint that another run gives it again; two with the same hash step aside."""
    taken: dict[int, None] = {}
    for endpoint in endpoints:
        number = zlib.crc32(f'{endpoint.ip}:{endpoint.port}'.encode())
        while number in taken:
            number = (number + 1) & 0xFFFFFFFF
        taken[number] = None
    return list(taken)


def chains_of(verdicts: Iterable[str]) -> set[str]:
    """The chains that these values of @services go to."""
    return {verdict.removeprefix('goto ') for verdict in verdicts if verdict.startswith('goto ')}


def render_changes(changes: Iterable[tuple[Elements, Elements]], chains: set[str]) -> str:
    """One transaction that leads from each (old, new) to new; '' for none. ``chains`` are there already.

    Everything that goes, goes first: an address may pass from one Service to another.
    """
    gone: dict[str, list[str]] = defaultdict(list)
    come: dict[str, list[str]] = defaultdict(list)
    needed: set[str] = set()
    for old, new in changes:
        for (name, key), value in old.items():
            if new.get((name, key)) != value:
                gone[name].append(key)
        for (name, key), value in new.items():
            if old.get((name, key)) != value:
                come[name].append(f'{key} : {value}' if value else key)
                if name == 'services':
                    needed.add(value)
    lines = [f'delete element {TABLE} {name} {{ {", ".join(keys)} }}' for name, keys in gone.items()]
    lines += [render_chain(name, '', chain_rules(name)) for name in sorted(chains_of(needed) - chains - {'pick-0'})]
    lines += [f'add element {TABLE} {name} {{ {", ".join(texts)} }}' for name, texts in come.items()]
    return '\n'.join(lines)


LISTINGS = tuple(f'list {"set" if spec.startswith("set") else "map"} {TABLE} {name}'
                 for name, spec in ELEMENT_MAPS.items())  # fmt: skip
PROTOCOL_NAMES = {6: 'tcp', 17: 'udp', 132: 'sctp'}


def parse_elements(listing: Mapping[str, Any]) -> Elements:
    """What one of LISTINGS printed, in the form of ``elements_of``."""
    elements: Elements = {}
    for item in listing['nftables']:
        for name, body in ((body['name'], body) for kind, body in item.items() if kind in ('map', 'set')):
            for element in body.get('elem', ()):
                key, value = element if isinstance(element, list) else (element, '')
                elements[name, _key_text(key)] = _value_text(value)
    return elements


def _key_text(key: Any) -> str:
    if isinstance(key, str):
        return key
    address, protocol, port, *rest = key['concat']
    parts = [address, PROTOCOL_NAMES.get(protocol, str(protocol)), str(port)]
    return ' . '.join(parts + [str(part) for part in rest])


def _value_text(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    if 'concat' in value:
        return ' . '.join(str(part) for part in value['concat'])
    [(word, target)] = value.items()
    return f'{word} {target["target"]}' if target else word
