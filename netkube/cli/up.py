"""``netkube up``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

import click

from netkube.api.resources import CONFIGMAPS
from netkube.cli.connection import Connection
from netkube.cli.settings import Settings, common_options, need_root
from netkube.cluster import config, start


@click.command()
@click.option('--cluster-domain', 'domain', default=None, help='The domain of Service names.  [default: cluster.local]')
@click.option(
    '--ip-family', type=click.Choice(['ipv4', 'ipv6', 'dual']), default=None,
    help='Which addresses Pods and Services have.  [default: ipv4, or what the CIDRs are]',
)  # fmt: skip
@click.option(
    '--pod-cidr', default=None,
    help='Addresses of Pods; of both families with a comma between, the primary one first.  '
    '[default: 10.244.0.0/16, fd00:10:244::/56, or the next that is free]',
)  # fmt: skip
@click.option(
    '--service-cidr', default=None,
    help='Addresses of Services.  [default: 10.96.0.0/16, fd00:10:96::/112, or the next that is free]',
)  # fmt: skip
@click.option('--state-dir', default=None, help='What outlives down.  [default: /var/lib/netkube/CLUSTER]')
@click.option(
    '--api-port', type=click.IntRange(1, 65535), default=None, help='[default: 6443, or the next that is free]'
)
@click.option(
    '--host-access/--no-host-access',
    default=None,
    help='Whether machine and cluster are linked; without, no route in and no way out.  [default: linked]',
)
@click.option(
    '--hide', multiple=True, metavar='PATH', callback=lambda context, option, given: given or None,
    help='A file or directory of this machine, or a pattern of them, that no container sees; may be repeated, and '
    'adds to shadow files, SSH host keys, root\'s SSH and GnuPG folders, and netkube\'s own.',
)  # fmt: skip
@click.option(
    '--pod-pids-limit', type=click.IntRange(min=0), default=None, metavar='N',
    help='How many processes and threads a Pod may have; 0: as many as it likes.  [default: 0]',
)  # fmt: skip
@click.option(
    '--images',
    type=click.File(),
    help='What runs in place of images: a YAML list of match, entrypoint, cmd, ...; kept in the cluster.',
)
@common_options(namespace=False, output=False)
def up(settings: Settings, state_dir: str | None, images: TextIO | None, **wanted: object) -> None:
    """Start the cluster, or what of it does not run; return when API, DNS and Node are ready."""
    need_root()
    table = _table_of(images)
    cluster = start.resolve(settings.cluster, state_dir or '', wanted)
    began = time.monotonic()
    with progress() as say:
        fresh = start.start(cluster, say)
    if table is not None:
        _keep(table, Connection(cluster.api_socket))
    seconds = f' in {time.monotonic() - began:.2f} s' if fresh else ''
    click.echo(f'cluster "{cluster.name}" is {"ready" + seconds if fresh else "running already"}', err=True)


def _table_of(file: TextIO | None) -> str | None:
    """The text, which is a table of images; click.ClickException."""
    if file is None:
        return None
    from netkube.node.images import ImagesError, parse_images

    text = file.read()
    try:
        parse_images(text)
    except ImagesError as error:
        raise click.ClickException(f'--images {file.name}: {error}') from None
    return text


def _keep(table: str, connection: Connection) -> None:
    from netkube.node.images import FILE, IMAGES

    namespace, name = IMAGES
    metadata = {'namespace': namespace, 'name': name}
    obj = {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': metadata, 'data': {FILE: table}}
    if connection.find(CONFIGMAPS, namespace, name) is None:
        connection.create(CONFIGMAPS.path(namespace), obj)
    else:
        connection.update(CONFIGMAPS.path(namespace, name), obj)


def ensure_running(settings: Settings) -> Connection:
    """A connection to the cluster, which is started when it does not run."""
    need_root()
    config.check_name(settings.cluster)
    found = config.load(settings.cluster)
    if found:
        connection = Connection(found.api_socket)
        if connection.works():
            return connection
    cluster = start.resolve(settings.cluster, '', {})
    with progress() as say:
        start.start(cluster, say)
    click.echo(f'cluster "{cluster.name}" started', err=True)
    return Connection(cluster.api_socket)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Says what is being done: a live line on a terminal, nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status('starting') as status:
        yield status.update
