"""The two files that tell a Pod about names: /etc/resolv.conf and /etc/hosts.

Source: kubernetes pkg/kubelet/network/dns/dns.go, pkg/kubelet/kubelet_pods.go (hostsFileContent).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from netkube.api.meta import Object

MAX_NAMESERVERS, MAX_SEARCH_PATHS, MAX_SEARCH_LENGTH = 3, 32, 2048  # as glibc, and the API's own limits
HOSTNAME_LENGTH = 63

HOSTS = """\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
fe00::\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


class ResolverConfig(msgspec.Struct, frozen=True):
    """The content of a resolv.conf."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = []
        if self.searches:
            lines.append(f'search {" ".join(self.searches)}')
        lines += [f'nameserver {address}' for address in self.nameservers]
        if self.options:
            lines.append(f'options {" ".join(self.options)}')
        return ''.join(f'{line}\n' for line in lines)


def parse_resolv_conf(text: str) -> ResolverConfig:
    """resolv.conf(5): of several ``search`` or ``options`` lines the last counts."""
    nameservers: list[str] = []
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    for line in text.splitlines():
        match line.split('#', 1)[0].split():
            case ['nameserver', address, *_]:
                nameservers.append(address)
            case ['search' | 'domain', *domains]:
                searches = tuple(domain.rstrip('.') for domain in domains if domain != '.')
            case ['options', *words]:
                options = tuple(words)
    return ResolverConfig(tuple(nameservers), searches, options)


def resolver_config(pod: Object, *, domain: str, dns_vip: str, machine: ResolverConfig) -> ResolverConfig:
    """What the Pod's dnsPolicy and dnsConfig ask for, all of it: ``fitted`` makes it what a resolv.conf may hold."""
    spec = pod['spec']
    config = _by_policy(spec, pod['metadata']['namespace'], domain, dns_vip, machine)
    wanted = spec.get('dnsConfig') or {}
    return ResolverConfig(
        _unique((*config.nameservers, *(wanted.get('nameservers') or ()))),
        _unique((*config.searches, *(wanted.get('searches') or ()))),
        _merged_options(config.options, wanted.get('options') or ()),
    )


def fitted(config: ResolverConfig) -> tuple[ResolverConfig, list[str]]:
    """``config`` within the limits, and what to say about it, in the kubelet's words."""
    nameservers, searches = config.nameservers[:MAX_NAMESERVERS], config.searches[:MAX_SEARCH_PATHS]
    while len(' '.join(searches)) > MAX_SEARCH_LENGTH:
        searches = searches[:-1]
    problems = []
    if nameservers != config.nameservers:
        problems.append(
            'Nameserver limits were exceeded, some nameservers have been omitted, '
            f'the applied nameserver line is: {" ".join(nameservers)}'
        )
    if searches != config.searches:
        problems.append(
            'Search Line limits were exceeded, some search paths have been omitted, '
            f'the applied search line is: {" ".join(searches)}'
        )
    return ResolverConfig(nameservers, searches, config.options), problems


def _by_policy(
    spec: dict[str, Any], namespace: str, domain: str, dns_vip: str, machine: ResolverConfig
) -> ResolverConfig:
    policy = spec.get('dnsPolicy', 'ClusterFirst')
    if policy == 'None':
        return ResolverConfig()
    if policy == 'Default' or (policy == 'ClusterFirst' and spec.get('hostNetwork')):
        return machine
    searches = (f'{namespace}.svc.{domain}', f'svc.{domain}', domain, *machine.searches)
    return ResolverConfig((dns_vip,), searches, ('ndots:5',))


def _unique(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _merged_options(base: tuple[str, ...], wanted: Iterable[dict[str, str]]) -> tuple[str, ...]:
    """``wanted`` replaces an option of the same name."""
    merged = {option.partition(':')[0]: option for option in base}
    for option in wanted:
        value = option.get('value')
        merged[option['name']] = f'{option["name"]}:{value}' if value else option['name']
    return tuple(merged.values())


class PodHostname(msgspec.Struct, frozen=True):
    """``hostname`` is what the containers see, ``domain`` the rest of the Pod's full name ('' if it has none)."""

    hostname: str
    domain: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the Pod's own address, the full one first."""
        short = self.hostname.partition('.')[0] if self.domain else self.hostname
        return (f'{short}.{self.domain}', short) if self.domain else (self.hostname,)


def pod_hostname(pod: Object, domain: str) -> PodHostname:
    spec, metadata = pod['spec'], pod['metadata']
    if spec.get('hostnameOverride'):
        return PodHostname(spec['hostnameOverride'], '')
    hostname = (spec.get('hostname') or metadata['name'])[:HOSTNAME_LENGTH].rstrip('-.')
    if not spec.get('subdomain'):
        return PodHostname(hostname, '')
    full_domain = f'{spec["subdomain"]}.{metadata["namespace"]}.svc.{domain}'
    return PodHostname(f'{hostname}.{full_domain}' if spec.get('setHostnameAsFQDN') else hostname, full_domain)


def hosts_file(pod: Object, addresses: Iterable[str], domain: str) -> str:
    """/etc/hosts as the kubelet writes it."""
    names = '\t'.join(pod_hostname(pod, domain).names)
    text = HOSTS + ''.join(f'{address}\t{names}\n' for address in addresses)
    return text + _alias_lines(pod)


def node_hosts_file(pod: Object, machine: Path) -> str:
    """Of a Pod on the Node's network: the machine's own, as the kubelet has it."""
    text = machine.read_text() if machine.exists() else ''
    return f'# Kubernetes-managed hosts file (host network).\n{text}' + _alias_lines(pod)


def _alias_lines(pod: Object) -> str:
    aliases = pod['spec'].get('hostAliases') or ()
    text = '\n# Entries added by HostAliases.\n' if aliases else ''
    return text + ''.join('\t'.join((alias['ip'], *(alias.get('hostnames') or ()))) + '\n' for alias in aliases)
