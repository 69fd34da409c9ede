"""``netkube wait``: what ``apply --wait`` does, for objects that are there already."""

from __future__ import annotations

import sys

import click

from netkube.cli.rollout import pending, wait_ready
from netkube.cli.settings import Settings, common_options
from netkube.cli.targets import parse_targets


@click.command()
@click.argument('targets', nargs=-1, required=True, metavar='TYPE NAME... | TYPE/NAME...')
@click.option('--timeout', default=300.0, show_default=True, help='In seconds.')
@common_options(output=False)
def wait(settings: Settings, targets: tuple[str, ...], timeout: float) -> None:
    """Return when all are ready, Deployments when they have rolled out; exit 1, with the reason, when they are not."""
    connection = settings.connect()
    wanted = parse_targets(targets, connection)
    for target in wanted:
        if not pending(target.resource) or not target.name:
            raise click.ClickException(
                'name Deployments, ReplicaSets, Pods or objects of a kind of your own, for example: deploy/web'
            )
    found = [(t.resource, connection.get(t.resource.path(settings.in_namespace, t.name))) for t in wanted]
    if not wait_ready(connection, found, timeout):
        sys.exit(1)
