"""``netkube status``."""

from __future__ import annotations

import sys

import click

from netkube.cli.output import check_format, dump, table
from netkube.cli.settings import Settings, common_options, need_root
from netkube.cluster import config
from netkube.cluster.status import Status, observe


@click.command()
@common_options(namespace=False)
def status(settings: Settings) -> None:
    """Show the cluster's processes, addresses and memory; exit 1 when it is not ready."""
    need_root()
    check_format(settings.output)
    config.check_name(settings.cluster)
    found = config.load(settings.cluster)
    if found is None:
        raise click.ClickException(f'there is no cluster "{settings.cluster}"; start it with: {settings.up_command}')
    seen = observe(found)
    if settings.output in ('json', 'yaml'):
        click.echo(dump(settings.output, as_object(seen)), nl=False)
    else:
        click.echo(as_text(seen))
    if not seen.ready:
        sys.exit(1)


def as_object(seen: Status) -> dict:
    processes = {p.role: {'pid': p.pid, 'memoryKiB': p.memory_kib} if p.pid else None for p in seen.processes}
    return {
        **processes, 'ready': seen.ready, 'name': seen.config.name, 'clusterDomain': seen.config.domain,
        'podCIDR': seen.config.pod_cidr, 'serviceCIDR': seen.config.service_cidr, 'dnsAddress': seen.dns_address,
        'server': seen.server, 'stateDir': seen.config.state_dir, 'node': seen.config.node_name,
        'nodeNetworkNamespace': seen.config.node_netns, 'hostAccess': seen.config.host_access,
        'memoryKiB': sum(p.memory_kib for p in seen.processes),
    }  # fmt: skip


def as_text(seen: Status) -> str:
    rows = [
        (p.role, str(p.pid) if p.pid else '-', f'{p.memory_kib / 1024:.1f} MiB' if p.pid else '-')
        for p in seen.processes
    ]
    total = sum(p.memory_kib for p in seen.processes) / 1024
    facts = [
        ('cluster', f'{seen.config.name} ({"ready" if seen.ready else "not ready"})'),
        ('API', seen.server),
        ('domain', f'{seen.config.domain}, DNS at {seen.dns_address}'),
        ('Pods', seen.config.pod_cidr),
        ('Services', seen.config.service_cidr),
        ('Node', f'{seen.config.node_name}, network namespace {seen.config.node_netns}'),
        ('state', f'{seen.config.state_dir}, log {seen.config.log_file}'),
        ('memory', f'{total:.1f} MiB'),
    ]
    return '\n'.join([*(f'{name:<9}{value}' for name, value in facts), '', table(('PROCESS', 'PID', 'MEMORY'), rows)])
