"""How a name becomes an address in a Pod: /etc/hosts, then the names that resolv.conf makes of it, one after another.

Pure; ``questions`` asks the nameservers. The order is glibc's (resolv.conf(5)); musl asks all nameservers at once, and
the outcome is the same.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence

import msgspec

from netkube.diagnose.finding import Finding, listed
from netkube.diagnose.objects import Service
from netkube.node.dnsconfig import ResolverConfig

STEP = 'name'
SERVES = 'NOERROR'
DEAD = ('timed out', 'refused', 'unreachable')  # no answer of a nameserver at all
CLOSE = 0.6  # of difflib's ratio: what counts as misspelt


class Answer(msgspec.Struct, frozen=True):
    """What came of one question. ``outcome`` is DNS's word (NOERROR, NXDOMAIN, SERVFAIL...) or one of DEAD."""

    name: str
    type: str
    nameserver: str
    outcome: str
    addresses: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    """The names that CNAME records led over, in order."""
    milliseconds: float = 0.0

    def __str__(self) -> str:
        way = ' -> '.join((*self.aliases, *([', '.join(self.addresses)] if self.addresses else ())))
        no_data = 'no such record' if self.outcome == SERVES and not way else self.outcome
        return f'{self.name} {self.type}: {way or no_data} ({self.milliseconds:.1f} ms, {self.nameserver})'


class Lookup(msgspec.Struct, frozen=True):
    """``source`` is 'hosts' or 'dns'; ``name`` is the one that was answered, '' if none was."""

    host: str
    resolver: ResolverConfig
    answers: tuple[Answer, ...] = ()
    name: str = ''
    addresses: tuple[str, ...] = ()
    source: str = 'dns'

    @property
    def aliases(self) -> tuple[str, ...]:
        return next((answer.aliases for answer in self.answers if answer.name == self.name and answer.aliases), ())


Ask = Callable[[str, str, str], Answer]
"""(nameserver, name without its last dot, type)."""


def candidates(host: str, resolver: ResolverConfig) -> list[str]:
    """The names to be asked for, in order."""
    if host.endswith('.'):
        return [host[:-1]]
    searched = [f'{host}.{domain}' for domain in resolver.searches]
    return [host, *searched] if host.count('.') >= ndots(resolver) else [*searched, host]


def ndots(resolver: ResolverConfig) -> int:
    values = [option[6:] for option in resolver.options if option.startswith('ndots:')]
    return min(int(values[-1]), 15) if values and values[-1].isdigit() else 1


def find_in_hosts(host: str, text: str) -> tuple[str, ...]:
    """The addresses that hosts(5) has for the name."""
    rows = (line.split('#')[0].split() for line in text.splitlines())
    wanted = host.rstrip('.').lower()
    return tuple(row[0] for row in rows if wanted in (word.lower() for word in row[1:]))


def look_up(host: str, resolver: ResolverConfig, types: Sequence[str], ask: Ask) -> Lookup:
    """The first name that has addresses wins. When no nameserver reacts, nothing more is tried."""
    answers: list[Answer] = []
    for name in candidates(host, resolver):
        tried = [_ask_any(resolver.nameservers, name, type, ask) for type in types]
        answers += (answer for row in tried for answer in row)
        last = [row[-1] for row in tried if row]
        addresses = tuple(address for answer in last for address in answer.addresses)
        if addresses:
            return Lookup(host, resolver, tuple(answers), name, addresses)
        if not last or all(answer.outcome in DEAD for answer in last):
            break
    return Lookup(host, resolver, tuple(answers))


def _ask_any(nameservers: Iterable[str], name: str, type: str, ask: Ask) -> list[Answer]:
    """Until one answers; SERVFAIL and its kin are no answer."""
    answers = []
    for nameserver in nameservers:
        answers.append(ask(nameserver, name, type))
        if answers[-1].outcome in (SERVES, 'NXDOMAIN'):
            break
    return answers


def find_name(lookup: Lookup, services: Sequence[Service], namespace: str, domain: str) -> Finding:
    """``namespace`` is the Pod's."""
    facts = {
        'host': lookup.host,
        'resolver': {'nameservers': list(lookup.resolver.nameservers), 'search': list(lookup.resolver.searches),
                     'options': list(lookup.resolver.options)},
        'addresses': list(lookup.addresses),
        'questions': [msgspec.structs.asdict(answer) for answer in lookup.answers],
    }  # fmt: skip
    if lookup.source == 'hosts':
        text = f'{lookup.host} is {listed(lookup.addresses)}'
        return Finding(STEP, True, text, ('from /etc/hosts of the Pod',), facts=facts)
    details = (describe_resolver(lookup.resolver), *map(str, lookup.answers))
    if not lookup.addresses:
        text, advice = _explain_failure(lookup, services, namespace, domain)
        return Finding(STEP, False, text, details, advice, facts)
    origin = origin_of(lookup, services, domain)
    text = f'{lookup.name} is {listed(lookup.addresses)}'
    return Finding(STEP, True, text, (*details, origin), facts={**facts, 'name': lookup.name, 'origin': origin})


def describe_resolver(resolver: ResolverConfig) -> str:
    return (
        f'resolv.conf: nameserver {listed(resolver.nameservers) or "(none)"}, '
        f'search {" ".join(resolver.searches) or "(none)"}, ndots {ndots(resolver)}'
    )


def _explain_failure(lookup: Lookup, services: Sequence[Service], namespace: str, domain: str) -> tuple[str, str]:
    """(text, advice)."""
    if not lookup.resolver.nameservers:
        return 'no nameserver to ask', "the Pod's resolv.conf has no nameserver: see its dnsPolicy and dnsConfig"
    outcomes = [answer.outcome for answer in lookup.answers]
    if outcomes and outcomes[-1] in DEAD:
        servers = listed(tuple(dict.fromkeys(answer.nameserver for answer in lookup.answers)))
        return (
            f'the nameserver does not answer ({outcomes[-1]})',
            f'nothing answers at the nameserver {servers} ({outcomes[-1]}), so no name is known: '
            'netkube status says whether dns runs, and a NetworkPolicy must let the Pod reach port 53',
        )
    if known := _find_target(lookup.host, services, namespace, domain):
        return _explain_existing(known)
    failed = [answer for answer in lookup.answers if answer.outcome not in (SERVES, 'NXDOMAIN')]
    guesses = suggest(lookup.host, services, namespace)
    if guesses:
        hint = ' or '.join(guesses)
        return f'no such name: {lookup.host}', f'there is no name {lookup.host}; did you mean {hint}?'
    if failed and '.' in lookup.host:
        return (
            f'{lookup.host}: {failed[-1].outcome}',
            f'the nameserver {failed[-1].nameserver} cannot resolve {failed[-1].name} ({failed[-1].outcome}): '
            "it got no answer from the machine's own nameservers",
        )
    return f'no such name: {lookup.host}', f'there is no name {lookup.host}, and no Service that is called so'


def _find_target(host: str, services: Sequence[Service], namespace: str, domain: str) -> Service | None:
    """The Service that the name is of, as it stands, if there is one."""
    labels = host.rstrip('.').removesuffix(f'.{domain}').removesuffix('.svc').split('.')
    key = (labels[1] if len(labels) == 2 else namespace, labels[0])
    return next((service for service in services if service.key == key), None) if len(labels) < 3 else None


def _explain_existing(service: Service) -> tuple[str, str]:
    """It exists, and yet its name has no address."""
    if service.type == 'ExternalName':
        return (
            f'{service.external_name} has no address',
            f'Service {service.label} stands for {service.external_name}, which does not resolve',
        )
    if service.headless:
        return (
            'a headless Service without ready endpoints',
            f'the headless Service {service.label} has no ready endpoint, so its name has no address',
        )
    return (
        f'Service {service.label} exists, but its name is not answered',
        f'Service {service.label} exists, but the nameserver does not know it: see the dnsPolicy of the Pod',
    )


def suggest(host: str, services: Sequence[Service], namespace: str) -> list[str]:
    """Names that were perhaps meant, as to be typed in that namespace; best first, three at most."""
    service, _, rest = host.rstrip('.').lower().partition('.')
    wanted_namespace = rest.split('.')[0] if rest else ''
    scored = []
    for candidate in services:
        likeness = _likeness(service, candidate.name)
        near = _likeness(wanted_namespace or namespace, candidate.namespace)
        # The right name in another namespace is a better guess than one that only looks like it.
        if likeness >= CLOSE and (not wanted_namespace or likeness == 1 or near >= CLOSE):
            scored.append((-likeness, -near, candidate.namespace, candidate.name))
    best = sorted(scored)
    if best and best[0][0] == -1:
        best = [score for score in best if score[0] == -1]
    return [name if home == namespace else f'{name}.{home}' for _, _, home, name in best[:3]]


def _likeness(one: str, other: str) -> float:
    return 1.0 if one == other else difflib.SequenceMatcher(None, one, other).ratio()


def origin_of(lookup: Lookup, services: Sequence[Service], domain: str) -> str:
    """Which record, and so which object, an answer stems from."""
    described = [_record_of(name, services, domain) for name in (lookup.name, *lookup.aliases)]
    return ', '.join(dict.fromkeys(described))


def service_of_name(name: str, services: Iterable[Service], domain: str) -> Service | None:
    labels = _relative(name, domain)
    if len(labels) < 3 or labels[-1] != 'svc':
        return None
    return next((service for service in services if service.key == (labels[-2], labels[-3])), None)


def _record_of(name: str, services: Sequence[Service], domain: str) -> str:
    labels = _relative(name, domain)
    if not labels:
        return f'{name} is not in {domain}: answered by the nameserver, or by those that it asks'
    if labels[-1] == 'pod':
        return 'the record of a Pod, made of its name: no object is looked up'
    service = service_of_name(name, services, domain)
    if service is None:
        return f'a record of {domain} itself'
    if service.type == 'ExternalName':
        return f'the CNAME record of Service {service.label}, type ExternalName'
    if len(labels) > 3:
        return f'the record of one endpoint of Service {service.label}'
    if service.headless:
        return f'the records of the ready endpoints of the headless Service {service.label}'
    return f'the cluster IP of Service {service.label}'


def _relative(name: str, domain: str) -> list[str]:
    name = name.rstrip('.').lower()
    return name.removesuffix(f'.{domain}').split('.') if name.endswith(f'.{domain}') else []
