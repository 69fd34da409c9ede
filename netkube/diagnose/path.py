"""The way of a packet through the Node, from what the kernel reported. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from netkube.diagnose.destination import place
from netkube.diagnose.finding import Finding
from netkube.network.nfttrace import ACK, FIRST, LAST, PREFIX, RST, SYN, Flow, Hop

STEP = 'kernel'
POLICY_TABLE = 'netkube-policy'


class Way(msgspec.Struct, frozen=True):
    """What became of the first packet. ``last`` is the flow as it was last seen, and ``left`` as it was when it passed
    the last hook, None if it did not; ``cut`` is the report that ended it; ``rules`` are the reports of rules of
    others that it met; ``answer`` says how the other end reacted: 'accepted', 'refused', or '' for nothing that was
    seen."""

    seen: bool = False
    left: Flow | None = None
    last: Flow | None = None
    cut: Hop | None = None
    rules: tuple[Hop, ...] = ()
    answer: str = ''


def follow(flow: Flow, hops: Sequence[Hop]) -> Way:
    requests, answers = _packets(flow, hops)
    if not requests:
        return Way(answer=_answer_of(answers))
    best = max(requests, key=_progress)  # of several tries, the one that got furthest
    last = next((hop for hop in reversed(best) if _is_ours(hop) and hop.chain in LAST and hop.packet), None)
    cut = next((hop for hop in best if hop.verdict == 'drop'), None)
    return Way(
        seen=True,
        left=last.packet.flow if last and last.packet else None,
        last=next((hop.packet.flow for hop in reversed(best) if hop.packet), None),
        cut=cut,
        rules=tuple(hop for hop in best if hop.kind == 'rule' and hop.handle and not _is_ours(hop)),
        answer=_answer_of(answers),
    )


def _packets(flow: Flow, hops: Sequence[Hop]) -> tuple[list[list[Hop]], list[list[Hop]]]:
    """(requests, answers): the reports of each packet. The kernel's ids come again, so a packet ends where another
    one with its id begins: at the first of our chains."""
    open_packets: dict[int, list[Hop]] = {}
    requests: list[list[Hop]] = []
    answers: list[list[Hop]] = []
    for hop in hops:
        if _is_ours(hop) and hop.chain in FIRST and hop.packet:
            packet: list[Hop] = []
            open_packets[hop.id] = packet
            (requests if hop.packet.flow == flow else answers).append(packet)
        open_packets.setdefault(hop.id, []).append(hop)
    return requests, answers


def _progress(packet: list[Hop]) -> int:
    return len(packet)


def _answer_of(answers: list[list[Hop]]) -> str:
    for packet in answers:
        first = packet[0].packet
        if first and first.flow.protocol == 'tcp':
            return 'refused' if first.flags & RST else 'accepted' if first.flags & SYN and first.flags & ACK else ''
        if first:
            return 'accepted'
    return ''


def _is_ours(hop: Hop) -> bool:
    return hop.table.startswith(PREFIX)


class RuleText(msgspec.Struct, frozen=True):
    """The rule that ended the packet's way, as nft writes it."""

    text: str

    @property
    def rejects(self) -> bool:
        return 'reject' in self.text

    @property
    def comment(self) -> str:
        return self.text.partition(' comment "')[2].rstrip('"')


def find_way(flow: Flow, way: Way, rule: str, owners: Mapping[str, str], stays: bool, outcome: str) -> Finding:
    """``rule`` is the text of the rule at ``way.cut``; ``owners`` name who is at an address; ``stays``: the address is
    the Pod's own, so the packet never leaves it; ``outcome`` is how connecting ended."""
    to = place(flow.destination, flow.destination_port)
    if stays:
        return Finding(STEP, None, f'{to} is the Pod itself: nothing leaves it')
    facts = {'flow': msgspec.structs.asdict(flow), 'rules': [_place_of(hop) for hop in way.rules]}
    if not way.seen:
        text = 'no packet came to the Node'
        return Finding(STEP, False, text, (), f'no packet to {to} came out of the Pod ({outcome})', facts)
    if way.cut:
        return _cut(flow, way, way.cut, RuleText(rule), facts)
    if way.left is None:
        advice = f'the Node has no route to {to} ({outcome})'
        return Finding(STEP, False, f'not forwarded: no route to {to}', _chains(way), advice, facts)
    reached = place(way.left.destination, way.left.destination_port)
    who = owners.get(way.left.destination, '')
    facts |= {'chosen': {'address': way.left.destination, 'port': way.left.destination_port}, 'answer': way.answer}
    text = f'passed on to {reached}' if reached == to else f'{to} was translated to {reached}'
    details = [f'{reached} is {who}'] if who else []
    if way.left.source != flow.source:
        details.append(f'its source was made {way.left.source}: the answer has to come back the same way (hairpin)')
    allowing = [policy for hop in way.rules if (policy := policy_of(hop))]
    details += [f'let through by NetworkPolicy {name} ({direction})' for direction, name in allowing]
    return Finding(STEP, True, text, (*details, *_chains(way)), facts=facts)


def find_untranslated(flow: Flow, way: Way, service: str) -> Finding | None:
    """A packet to a Service's frontend that went on as it came; None: it did not, or it was cut."""
    if way.left is None or (way.left.destination, way.left.destination_port) != (
        flow.destination,
        flow.destination_port,
    ):
        return None
    to = place(flow.destination, flow.destination_port)
    advice = (
        f'the Node does not translate {to}, though it is of Service {service}: '
        f'see its Events (netkube describe svc), and netkube status'
    )
    return Finding(STEP, False, f'{to} was passed on without a translation', _chains(way), advice)


def _cut(flow: Flow, way: Way, cut: Hop, rule: RuleText, facts: dict) -> Finding:
    facts |= {'cut': {**_place_of(cut), 'rule': rule.text, 'verdict': 'reject' if rule.rejects else 'drop'}}
    text = f'{"rejected" if rule.rejects else "dropped"} in table {cut.family} {cut.table}, chain {cut.chain}'
    last = way.last or flow
    details = [f'rule: {rule.text}' if rule.text else f"the chain's policy: {cut.verdict}"]
    if (last.destination, last.destination_port) != (flow.destination, flow.destination_port):
        details.append(f'it had been translated to {place(last.destination, last.destination_port)}')
        facts |= {'chosen': {'address': last.destination, 'port': last.destination_port}}
    return Finding(STEP, False, text, (*details, *_chains(way)), explain_cut(last, cut, rule), facts)


def explain_cut(flow: Flow, cut: Hop, rule: RuleText) -> str:
    explain = next((explain for prefix, explain in TABLES if cut.table.startswith(prefix)), _by_somebody)
    return explain(flow, cut, rule)


def _by_proxy(flow: Flow, cut: Hop, rule: RuleText) -> str:
    at = place(flow.destination, flow.destination_port)
    if rule.rejects:
        return f'{at} is refused by the Node, as no endpoint of its Service is ready for it'
    if 'ct state' in rule.text:
        return f'the packet to {at} fits no connection (conntrack: invalid), and is dropped'
    if '@sources' in rule.text:
        return f'loadBalancerSourceRanges of its Service do not have the client {flow.source}: {at} drops its packets'
    return f'{at} is dropped by the Node: no Service has that address, or its endpoints are on other Nodes only'


def _by_policy(flow: Flow, cut: Hop, rule: RuleText) -> str:
    """Its rules are about the Pod behind a Service, and about that one's port."""
    direction = 'egress' if 'egress' in (rule.comment or cut.chain) else 'ingress'
    ends = {'egress': f'to {place(flow.destination, flow.destination_port)}'}
    allow = ends.get(direction, f'from {flow.source} to port {flow.destination_port}')
    named = rule.comment or f'chain {cut.chain}'
    return f'NetworkPolicy cuts the connection ({named}): it needs a policy that allows {direction} {allow}'


def policy_of(hop: Hop) -> tuple[str, str] | None:
    """(ingress or egress, NAMESPACE/NAME) of the NetworkPolicy whose rule accepted the packet; None: none did.

    Its chain is called ``ingress-NAMESPACE/NAME``; see netkube/networkpolicy/ruleset.
    """
    direction, _, name = hop.chain.partition('-')
    allows = hop.table == POLICY_TABLE and hop.verdict == 'accept' and '/' in name
    return (direction, name) if allows else None


def _by_somebody(flow: Flow, cut: Hop, rule: RuleText) -> str:
    does = 'rejects' if rule.rejects else 'drops'
    ends = f'the rule "{rule.text}"' if rule.text else 'the policy'
    return f'{ends} of chain {cut.chain} in the nftables table {cut.family} {cut.table} {does} the packet'


TABLES: tuple[tuple[str, Callable[[Flow, Hop, RuleText], str]], ...] = (
    (POLICY_TABLE, _by_policy),
    ('netkube', _by_proxy),
)


def _place_of(hop: Hop) -> dict[str, str | int]:
    return {'family': hop.family, 'table': hop.table, 'chain': hop.chain, 'handle': hop.handle, 'verdict': hop.verdict}


def _chains(way: Way) -> tuple[str, ...]:
    """``ip netkube: prerouting, services, pick-2``: where rules matched, one line a table."""
    tables: dict[str, dict[str, None]] = {}
    for hop in way.rules:
        chains = tables.setdefault(f'{hop.family} {hop.table}', {})
        chains[hop.chain] = None
        if hop.target:
            chains[hop.target] = None
    return tuple(f'{table}: {" -> ".join(chains)}' for table, chains in tables.items())
