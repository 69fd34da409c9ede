"""The Node's nftables table ``inet netkube-policy`` as text.

The way of a packet that the Node forwards (one base chain after the other, all in the forward hook)::

    egress      a connection that this revision of the rules has let through before   -> done
                a Pod to itself, through a Service                                    -> done
                vmap @egress4: source address -> egress-by-XXX, if policies isolate that Pod
                    jump egress-NAMESPACE/POLICY ...    one of them accepts, or
                    drop
    ingress     the same for the destination: @ingress4, ingress-by-XXX, ingress-NAMESPACE/POLICY
    allowed     the connection is marked with the revision

Every packet is judged by its *connection*: who opened it (``ct original saddr``) and who really answers (``ct reply
saddr``, which is the Pod behind a Service's address), whichever way the packet goes. So both directions of a
connection have one verdict, and it can be given at any time of its life. Each transaction carries a new revision: the
connections that are alive are judged once more by their next packet, and one that is no longer allowed ends there,
without a walk through the connection tracking table. The revision is a constant of the rules, read before any other
rule: a packet that meets a transaction half-way marks its connection with the old one, and is judged again.

Policies have chains; Pods are elements. All Pods that the same policies isolate share a chain ``egress-by-XXX``; all
policies that select the same peers share their set ``pods4-XXX``. So a Pod that comes, goes or changes its labels
adds and deletes elements only.

The resolver's address is the Node's own: it is met in the input hook (chain ``resolver``), where queries are not
tracked. Which Pods may not reach it has been worked out before: @no-resolver4.

Pure: everything here makes text. ``4`` and ``6`` in names are the families.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from netkube.api.meta import Key
from netkube.networkpolicy.policies import EGRESS, INGRESS, BlockPeer, Peer, PodPeer, PortRange, Rule

TABLE = 'inet netkube-policy'
FAMILIES = {'4': 'ip', '6': 'ip6'}
NAME_LENGTH = 200  # of the 255 that the kernel takes
COMMENT_LENGTH = 120  # of 127

Match = tuple[str, str]
"""The family that it is about, '' for any, and the text."""


class SetSpec(msgspec.Struct, frozen=True):
    """``kind`` is 'set' or 'map'; ``body`` what stands in its braces."""

    kind: str
    body: str


FIXED_SETS = {
    name + family: SetSpec(kind, types.replace('*', f'ipv{family}_addr'))
    for family in FAMILIES
    for name, kind, types in (
        (EGRESS, 'map', 'type * : verdict;'),
        (INGRESS, 'map', 'type * : verdict;'),
        ('itself', 'set', 'type * . *;'),
        ('no-resolver', 'set', 'type * . inet_proto;'),
    )
}

BASE_CHAINS: tuple[tuple[str, str, tuple[str, ...]], ...] = (  # name, hook, rules; {f} and {ip} stand for each family
    (
        'egress', 'type filter hook forward priority filter - 2',
        (
            'ct state {{ invalid, untracked }} drop',  # nobody knows what they belong to
            'jump revision',
            'ct state related meta mark set 0 accept',  # an ICMP error about a connection
            'ct original {ip} saddr . ct reply {ip} saddr @itself{f} meta mark set 0 accept',
            'ct original {ip} saddr vmap @egress{f}',
        ),
    ),
    (
        'ingress', 'type filter hook forward priority filter - 1',
        ('meta mark 0 accept', 'ct reply {ip} saddr vmap @ingress{f}'),
    ),
    ('allowed', 'type filter hook forward priority filter', ('meta mark != 0 ct mark set meta mark',)),
)  # fmt: skip
REVISION_CHAIN = 'revision'
RESOLVER_CHAIN = 'resolver'


def family_of(address: str) -> str:
    return '6' if ':' in address else '4'


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@functools.lru_cache(maxsize=4096)
def peer_set(peer: PodPeer, family: str) -> str:
    return f'pods{family}-{digest(repr(peer))}'


def peer_text(peer: PodPeer) -> str:
    """In a person's words."""
    where = f'namespace {peer.namespace}' if peer.namespaces is None else f'namespaces {_selector(peer.namespaces)}'
    return f'{_selector(peer.pods)} in {where}'


def _selector(selector: object) -> str:
    return str(selector) or 'all'


def peer_spec(peer: PodPeer, family: str) -> SetSpec:
    return SetSpec('set', f'type ipv{family}_addr; comment "{_comment(peer_text(peer))}";')


def port_set(port: PortRange, family: str) -> str:
    return f'port{family}-{port.protocol}-{port.name}'


def port_spec(family: str) -> SetSpec:
    return SetSpec('set', f'type ipv{family}_addr . inet_service;')


def policy_chain(direction: str, policy: Key) -> str:
    """``ingress-NAMESPACE/NAME``, cut where that is too long, and then unique by a hash."""
    name = f'{direction}-{policy[0]}/{policy[1]}'
    return name if len(name) <= NAME_LENGTH else f'{name[:NAME_LENGTH]}-{digest(name)}'


@functools.lru_cache(maxsize=4096)
def isolation_chain(direction: str, policies: frozenset[Key]) -> str:
    """The chain of all Pods that exactly these policies isolate."""
    return f'{direction}-by-{digest(" ".join("/".join(policy) for policy in sorted(policies)))}'


def isolation_rules(direction: str, policies: Iterable[Key]) -> tuple[str, ...]:
    names = sorted(policies)
    by = _comment(f'{direction} isolated by {", ".join("/".join(name) for name in names)}')
    return (*(f'jump {policy_chain(direction, name)}' for name in names), f'drop comment "{by}"')


def policy_rules(direction: str, rules: Iterable[Rule]) -> tuple[str, ...]:
    return tuple(text for rule in rules for text in _rule(direction, rule))


def _rule(direction: str, rule: Rule) -> Iterator[str]:
    peers = [match for peer in rule.peers for match in _peer(direction, peer)] if rule.peers is not None else [('', '')]
    ports = [match for port in rule.ports for match in _port(port)] if rule.ports is not None else [('', '')]
    for family, peer in peers:
        for other, port in ports:
            if not (family and other) or family == other:
                yield ' '.join(part for part in (peer, port, 'accept') if part)


def _peer(direction: str, peer: Peer) -> Iterator[Match]:
    who = 'original' if direction == INGRESS else 'reply'
    if isinstance(peer, PodPeer):
        for family, ip in FAMILIES.items():
            yield family, f'ct {who} {ip} saddr @{peer_set(peer, family)}'
        return
    yield family_of(peer.cidr), _block(f'ct {who} {FAMILIES[family_of(peer.cidr)]} saddr', peer)


def _block(address: str, block: BlockPeer) -> str:
    text = f'{address} {block.cidr}'
    return f'{text} {address} != {{ {", ".join(block.excluding)} }}' if block.excluding else text


def _port(port: PortRange) -> Iterator[Match]:
    protocol = f'meta l4proto {port.protocol}'
    if port.name:
        for family, ip in FAMILIES.items():
            yield family, f'{protocol} ct reply {ip} saddr . ct reply proto-src @{port_set(port, family)}'
    elif not port.first:
        yield '', protocol
    else:
        last = f'-{port.last}' if port.last > port.first else ''
        yield '', f'{protocol} ct reply proto-src {port.first}{last}'


def render_idle_table() -> str:
    """The table while there is no policy: no hook, so packets do not meet it.

    A rule about connections, wherever it is, makes the kernel track them: those that are open when the first policy
    comes have to be known.
    """
    lines = [f'add table {TABLE}', f'delete table {TABLE}', f'add table {TABLE}']  # delete fails where there is none
    return '\n'.join([*lines, render_chain('tracking', ['ct state established accept'])])


def render_new_table(resolvers: Iterable[str]) -> str:
    """The table anew, with nothing in it but what is fixed."""
    sets = [render_set(name, spec) for name, spec in FIXED_SETS.items()]
    lines = [render_idle_table(), *sets, render_revision(1)]
    for name, hook, rules in BASE_CHAINS:
        lines += [f'add chain {TABLE} {name} {{ {hook}; }}', *_add_rules(name, _each_family(rules))]
    lines.append(f'add chain {TABLE} {RESOLVER_CHAIN} {{ type filter hook input priority filter; }}')
    return '\n'.join([*lines, *_add_rules(RESOLVER_CHAIN, resolver_rules(resolvers))])


def resolver_rules(resolvers: Iterable[str]) -> list[str]:
    return [
        f'{ip} daddr {address} {ip} saddr . meta l4proto @no-resolver{family} drop comment "egress to cluster DNS"'
        for address in resolvers
        for family, ip in ((family_of(address), FAMILIES[family_of(address)]),)
    ]


def render_set(name: str, spec: SetSpec) -> str:
    return f'add {spec.kind} {TABLE} {name} {{ {spec.body} }}'


def render_revision(number: int) -> str:
    rules = f'meta mark set {number}', f'ct mark {number} meta mark set 0 accept'
    return render_chain(REVISION_CHAIN, rules)


def render_chain(name: str, rules: Iterable[str]) -> str:
    """The chain is there, with just these rules."""
    return '\n'.join([f'add chain {TABLE} {name}', f'flush chain {TABLE} {name}', *_add_rules(name, rules)])


def _add_rules(name: str, rules: Iterable[str]) -> list[str]:
    return [f'add rule {TABLE} {name} {rule}' for rule in rules]


def _each_family(rules: Iterable[str]) -> Iterator[str]:
    for rule in rules:
        both = [rule.format(f=family, ip=ip) for family, ip in FAMILIES.items()]
        yield from both if both[0] != both[1] else both[:1]


def _comment(text: str) -> str:
    return text if len(text) <= COMMENT_LENGTH else text[: COMMENT_LENGTH - 3] + '...'
