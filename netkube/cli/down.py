"""``netkube down``."""

from __future__ import annotations

import click

from netkube.cli.settings import Settings, common_options, need_root
from netkube.cli.up import progress
from netkube.cluster import config, stop


@click.command()
@click.option('--purge', is_flag=True, help='Forget its objects, too: the next up starts an empty cluster.')
@common_options(namespace=False, output=False)
def down(settings: Settings, purge: bool) -> None:
    """Stop the cluster and leave the machine as it was. Its objects are kept, unless --purge."""
    need_root()
    config.check_name(settings.cluster)
    known = config.load(settings.cluster) is not None
    with progress() as say:
        stopped = stop.stop(settings.cluster, purge, say)
    done = 'stopped' if stopped else 'not running'
    click.echo(f'cluster "{settings.cluster}" is {done}{"; its state is removed" if purge and known else ""}', err=True)
