"""The Node's nftables tables as text: fixed chains, and maps whose elements are all that ever changes.

The way of a new connection (nat chains see only the first packet of one), in ``ip netkube`` and ``ip6 netkube``::

    prerouting, output -> services
        from outside @sources               drop
        map @services       VIP . protocol . port -> a number in the packet's mark
        vmap @chains        that number -> pick-N | stick-N-SECONDS | pick-0 (refuse) | drop
        pick-N              dnat to @endpoints[VIP . protocol . port . (random number below N)]
        a live VIP, another port   refuse;   an unallocated VIP   drop
        an address of the Node     @node-services, @node-chains ...      protocol . port -> node-pick-N ...
    postrouting             masquerade when a Pod was sent to itself (hairpin), and the machine to the machine

All frontends with N endpoints share the chain ``pick-N``, so a change of a Service is a change of elements only,
and its cost does not grow with the number of Services. ``stick-N-SECONDS`` is its counterpart for
sessionAffinity ClientIP: @affinity remembers *which* endpoint a client has (by an id, carried in the packet's
mark to the next lookup), and @endpoints knows that id as long as the frontend has that endpoint.

The number stands between because the kernel, when a map of verdicts gets or loses one, walks through all of that map
to check where it leads: 20 ms for 50,000. @chains has as many as there are chains.

There are four spaces of frontends, alike but for their prefix: at an address and at a port of the Node ('node-'),
each once for everybody and once ('outside-') for clients beyond the uplink, where these get other endpoints.

Pure: everything here makes text, or reads what the kernel dumps.
"""

from __future__ import annotations

import re
import sys
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address

import msgspec

from netkube.proxy.endpoints import Backends, Endpoint
from netkube.proxy.families import FAMILIES, Family, family_of
from netkube.proxy.frontends import Frontend, ServiceRules

Elements = dict[tuple[str, str], str]
"""What the maps hold: ('ip netkube MAP', key) -> value, as nft writes them; the value is '' in a set."""

TRANSPORT = 'meta l4proto { tcp, udp, sctp }'
NODE_PORT = 'meta l4proto . th dport'
OUTSIDE, NODE = 'outside-', 'node-'
DIGITS = 'same-digit'
COUNT_BITS = 15
MOST_ENDPOINTS = (1 << COUNT_BITS) - 1
REFUSED, DROPPED = 0, 0xFFFFFFFF
SPACES = ('', OUTSIDE, NODE, OUTSIDE + NODE)
COUNTED_CHAIN = re.compile(r'(?P<space>[a-z-]*?)(?P<kind>pick|stick)-(?P<count>\d+)(?:-(?P<seconds>\d+))?')

# The last part of a key is the packet's mark, as the chain has just set it. (It is not ``numgen`` in its place,
# which needs a ``typeof`` map: nft 1.0.6 refuses new rules over one that it has read back from the kernel.)
SPACE_MAPS = {  # name -> type of the rest of the key, and of the value
    'services': ('', ' : mark'),
    'endpoints': (' . mark', ' : {address} . inet_service'),
    'sticky-ids': (' . mark', ' : mark'),
}
SETS = {
    'cluster-ips': 'type {address};',
    'guarded': 'type {address} . inet_proto . inet_service;',
    'sources': 'type {address} . inet_proto . inet_service . {address}; flags interval;',
}
AFFINITY = (  # its elements come from packets; full, it only stops remembering
    'map affinity {{ type {client} : mark; size 262144; flags dynamic,timeout; }}'
)


class Network(msgspec.Struct, frozen=True):
    """What a table is made for: the cluster's ranges of one family, and the Node's link to the machine."""

    family: Family
    service_cidrs: tuple[str, ...]
    load_balancer_cidrs: tuple[str, ...] = ()
    uplink: str = 'machine'


def to_chain(space: str = '') -> str:
    return f'meta mark vmap @{space}chains'


CHAINS: tuple[tuple[str, str, tuple[str, ...]], ...] = (  # name, hook, rules
    (
        'pick-0', '',
        ('meta l4proto tcp reject with tcp reset', 'reject with {unreachable}'),
    ),
    (
        'node-ports', '',
        (
            f'iifname "{{uplink}}" meta mark set {NODE_PORT} map @outside-node-services {to_chain(OUTSIDE + NODE)}',
            f'meta mark set {NODE_PORT} map @node-services {to_chain(NODE)}',
        ),
    ),
    (
        'services', '',
        (
            '{frontend} @guarded {frontend} . {ip} saddr != @sources drop',
            f'iifname "{{uplink}}" meta mark set {{frontend}} map @outside-services {to_chain(OUTSIDE)}',
            f'meta mark set {{frontend}} map @services {to_chain()}',
            '{ip} daddr @cluster-ips goto pick-0',
            '{ip} daddr {service_cidrs} fib daddr type != local drop',
            '{ip} daddr {load_balancer_cidrs} goto pick-0',
            '{ip} daddr != {loopback} fib daddr type local goto node-ports',
        ),
    ),
    # A service address that the Node itself has (the resolver's) needs no translation, so no tracking either.
    (
        'untracked-prerouting', 'type filter hook prerouting priority raw',
        ('{ip} daddr {service_cidrs} fib daddr type local notrack',),
    ),
    (
        'untracked-output', 'type filter hook output priority raw',
        (
            '{ip} daddr {service_cidrs} fib daddr type local notrack',
            '{ip} saddr {service_cidrs} fib saddr type local notrack',
        ),
    ),
    # A packet that fits no connection is not translated either. Passed on, the peer would see an address it does
    # not know, or the chain services would answer for the VIP, with a reset that ends a live connection. So it
    # ends here, before both.
    ('invalid', 'type filter hook prerouting priority mangle', ('ct state invalid drop',)),
    ('prerouting', 'type nat hook prerouting priority dstnat', ('jump services',)),
    ('output', 'type nat hook output priority -100', ('jump services',)),
    ('hairpin', '', ('{same_first_half} masquerade',)),
    # Only where the answer would not come back here: to a Pod from itself, and to the machine from itself (a Service
    # whose endpoint is an address of the machine, or beyond it). Otherwise an endpoint sees who its client is.
    (
        'postrouting', 'type nat hook postrouting priority srcnat',
        (
            'ct status dnat {same_last_half} jump hairpin',
            'ct status dnat iifname "{uplink}" oifname "{uplink}" masquerade',
        ),
    ),
)  # fmt: skip


def render_table(network: Network) -> str:
    """All that is fixed. It may be applied again and again; no element is lost by it."""
    words = _words(network)
    family = network.family
    chain_maps = [f'map {space}chains {{ type mark : verdict; }}' for space in SPACES]
    specs = [*map_specs(family).values(), AFFINITY.format(client=family.client_type), render_digits(family)]
    text = [f'table {family.table} {{', *specs, *chain_maps, '}']
    for name, hook, rules in CHAINS:
        text.append(render_chain(family, name, [rule.format(**words) for rule in rules if _applies(rule, words)], hook))
    text += [
        f'add element {family.table} {space}chains {{ {REFUSED} : goto pick-0, {DROPPED} : drop }}' for space in SPACES
    ]
    return '\n'.join(text)


def _words(network: Network) -> dict[str, str]:
    family = network.family
    return {
        'ip': family.nft, 'frontend': family.frontend, 'loopback': family.loopback, 'unreachable': family.unreachable,
        'uplink': network.uplink, 
        'same_last_half': same_half(family, 0), 'same_first_half': same_half(family, family.bits // 2),
        'service_cidrs': _any_of(network.service_cidrs), 'load_balancer_cidrs': _any_of(network.load_balancer_cidrs),
    }  # fmt: skip


def _any_of(cidrs: Sequence[str]) -> str:
    return f'{{ {", ".join(cidrs)} }}' if cidrs else ''


def _applies(rule: str, words: dict[str, str]) -> bool:
    """A rule about no range at all is none."""
    return all(words[name] for name in re.findall(r'{(\w+_cidrs)}', rule))


def map_specs(family: Family) -> dict[str, str]:
    """Every map and set whose elements are ours, by name."""
    specs = {}
    for space in SPACES:
        key = 'inet_proto . inet_service' if NODE in space else f'{family.address_type} . inet_proto . inet_service'
        for name, (rest, value) in SPACE_MAPS.items():
            types = f'{key}{rest}{value.format(address=family.address_type)}'
            specs[space + name] = f'map {space}{name} {{ type {types}; }}'
    for name, spec in SETS.items():
        specs[name] = f'set {name} {{ {spec.format(address=family.address_type)} }}'
    return specs


MAP_NAMES = tuple(map_specs(FAMILIES['IPv4']))


def render_chain(family: Family, name: str, rules: Iterable[str], hook: str = '') -> str:
    """The chain is there, with just these rules. The chains that they go to must be there before."""
    at = f'{family.table} {name}'
    lines = [f'add chain {at}' + (f' {{ {hook}; }}' if hook else ''), f'flush chain {at}']
    return '\n'.join(lines + [f'add rule {family.table} {name} {rule}' for rule in rules])


def render_removal(family: Family) -> str:
    return f'add table {family.table}\ndelete table {family.table}'  # delete alone fails where there is none


# nft cannot compare one field of a packet with another. It can look up a pair in a set of all equal pairs: with
# one hexadecimal digit of the addresses at a time, that is 16 pairs for each of 8 or 32 digits. The last digits
# differ most, so they are looked up first; all 32 are more than fit in a rule (128 expressions), so it is two.


def same_half(family: Family, first: int) -> str:
    """Matches a packet whose source and destination are equal in this half of their bits."""
    masks = [_address(family, 0xF << shift) for shift in range(first, first + family.bits // 2, 4)]
    return ' '.join(f'{family.nft} saddr & {mask} . {family.nft} daddr & {mask} @{DIGITS}' for mask in masks)


def render_digits(family: Family) -> str:
    values = sorted({digit << shift for shift in range(0, family.bits, 4) for digit in range(16)})
    pairs = ', '.join(f'{address} . {address}' for address in (_address(family, value) for value in values))
    return f'set {DIGITS} {{ type {family.address_type} . {family.address_type}; elements = {{ {pairs} }}; }}'


def _address(family: Family, value: int) -> str:
    return str(IPv4Address(value) if family.bits == 32 else IPv6Address(value))


def render_counted_chain(family: Family, name: str) -> str:
    """``pick-N`` or ``stick-N-SECONDS``, in any space, and the way there."""
    match = COUNTED_CHAIN.fullmatch(name)
    assert match is not None, name
    number = int(match['seconds'] or 0) << COUNT_BITS | int(match['count'])
    way = f'add element {family.table} {match["space"]}chains {{ {number} : goto {name} }}'
    return f'{render_chain(family, name, chain_rules(family, name))}\n{way}'


def chain_rules(family: Family, name: str) -> tuple[str, ...]:
    """The rules of ``pick-N`` and of ``stick-N-SECONDS``, in any space."""
    match = COUNTED_CHAIN.fullmatch(name)
    assert match is not None, name
    space, count = match['space'], int(match['count'])
    key = NODE_PORT if NODE in space else family.frontend
    go = f'dnat {family.nft} to {key} . meta mark map @{space}endpoints'
    if match['kind'] == 'pick':
        return pick_rules(count, go)
    return stick_rules(family, count, int(match['seconds']), f'{key} . meta mark map @{space}sticky-ids', go)


def pick_rules(count: int, go: str) -> tuple[str, ...]:
    """A packet may meet @services before and @endpoints after a transaction, and so find its index gone.

    Index 0 is there as long as the frontend has any endpoint. Without one it is dropped: the client sends again,
    and is refused.
    """
    return (f'{TRANSPORT} meta mark set numgen random mod {count} {go}', f'{TRANSPORT} meta mark set 0 {go}', 'drop')


def stick_rules(family: Family, count: int, seconds: int, id_of_index: str, go: str) -> tuple[str, ...]:
    """Back to the endpoint that is remembered; if there is none or it has gone, to any, and remember that."""
    client = family.client
    remember = f'@affinity {{ {client} timeout {seconds}s : meta mark }}'
    draw = f'meta mark set numgen random mod {count} meta mark set {id_of_index}'
    know = (family.know_client,) if family.know_client else ()
    return (
        *know,
        f'{TRANSPORT} meta mark set {client} map @affinity update {remember} {go}',
        f'{TRANSPORT} delete @affinity {{ {client} : meta mark }}',
        f'{TRANSPORT} {draw} add {remember} {go}',
        f'{TRANSPORT} meta mark set 0 meta mark set {id_of_index} {go}',
        'drop',
    )


def number_of(backends: Backends) -> int:
    """What @services says: 17 bits of seconds, and the number of endpoints."""
    if backends.elsewhere:
        return DROPPED
    count = len(backends.endpoints)
    return (backends.affinity_seconds if count else 0) << COUNT_BITS | count


def chain_of(space: str, number: int) -> str:
    """The name of the chain that @chains leads to from there; '' for none."""
    if number in (REFUSED, DROPPED):
        return ''
    seconds, count = number >> COUNT_BITS, number & MOST_ENDPOINTS
    return f'{space}stick-{count}-{seconds}' if seconds else f'{space}pick-{count}'


def elements_of(rules: ServiceRules) -> Elements:
    elements: Elements = {(f'{family_of(address).table} cluster-ips', address): '' for address in rules.addresses}
    for prefix, frontends in (('', rules.frontends), (OUTSIDE, rules.outside)):
        for frontend, backends in frontends.items():
            _add_frontend(elements, prefix if frontend.ip else prefix + NODE, frontend, backends)
    for frontend, ranges in rules.sources.items():
        table, at = FAMILIES[frontend.family].table, _at(frontend)
        elements[f'{table} guarded', at] = ''
        elements |= {(f'{table} sources', f'{at} . {cidr}'): '' for cidr in ranges}
    return elements


def _add_frontend(elements: Elements, space: str, frontend: Frontend, backends: Backends) -> None:
    at, maps = _at(frontend), f'{FAMILIES[frontend.family].table} {space}'
    elements[f'{maps}services', at] = str(number_of(backends))
    numbers = endpoint_ids(backends.endpoints) if backends.affinity_seconds else range(len(backends.endpoints))
    for index, (number, endpoint) in enumerate(zip(numbers, backends.endpoints, strict=True)):
        elements[f'{maps}endpoints', f'{at} . {number}'] = f'{endpoint.ip} . {endpoint.port}'
        if backends.affinity_seconds:
            elements[f'{maps}sticky-ids', f'{at} . {index}'] = str(number)


def _at(frontend: Frontend) -> str:
    port = f'{frontend.protocol} . {frontend.port}'
    return f'{frontend.ip} . {port}' if frontend.ip else port


def frontends_of(elements: Elements) -> list[Frontend]:
    """Those that the elements are about."""
    found = []
    for name, key in elements:
        table, _, map_name = name.rpartition(' ')
        if map_name in ('services', f'{NODE}services'):
            *address, protocol, port = key.split(' . ')
            found.append(Frontend(''.join(address), protocol, int(port), _family(table).name))
    return found


def endpoint_ids(endpoints: tuple[Endpoint, ...]) -> list[int]:
    """A number for each endpoint that another run gives it again; two with the same hash step aside."""
    taken: dict[int, None] = {}
    for endpoint in endpoints:
        number = zlib.crc32(f'{endpoint.ip}:{endpoint.port}'.encode())
        while number in taken:
            number = (number + 1) & 0xFFFFFFFF
        taken[number] = None
    return list(taken)


def chains_of(elements: Elements) -> set[tuple[Family, str]]:
    """The chains that these elements lead to."""
    found = set()
    for (name, _), value in elements.items():
        if name.endswith('services'):
            table, _, map_name = name.rpartition(' ')
            if chain := chain_of(map_name.removesuffix('services'), int(value)):
                found.add((_family(table), chain))
    return found


def render_changes(changes: Iterable[tuple[Elements, Elements]], new_chains: Iterable[tuple[Family, str]]) -> str:
    """One transaction that leads from each (old, new) to new, and makes these chains; '' for none.

    Everything that goes, goes first: an address may pass from one Service to another.
    """
    gone: dict[str, list[str]] = defaultdict(list)
    come: dict[str, list[str]] = defaultdict(list)
    for old, new in changes:
        for (name, key), value in old.items():
            if new.get((name, key)) != value:
                gone[name].append(key)
        for (name, key), value in new.items():
            if old.get((name, key)) != value:
                come[name].append(f'{key} : {value}' if value else key)
    lines = [f'delete element {name} {{ {", ".join(keys)} }}' for name, keys in gone.items()]
    in_order = sorted(new_chains, key=lambda chain: (chain[0].nft, chain[1]))
    lines += [render_counted_chain(family, name) for family, name in in_order]
    lines += [f'add element {name} {{ {", ".join(texts)} }}' for name, texts in come.items()]
    return '\n'.join(lines)


def _family(table: str) -> Family:
    return FAMILIES['IPv6'] if table.startswith('ip6') else FAMILIES['IPv4']


def pack(elements: Elements) -> str:
    """All elements in one string: a quarter of the memory, and equal for equal elements."""
    return '\n'.join(f'{name}\t{key}\t{value}' for (name, key), value in sorted(elements.items()))


def unpack(packed: str) -> Elements:
    rows = (line.split('\t') for line in packed.split('\n') if line)
    return {(sys.intern(name), key): value for name, key, value in rows}
