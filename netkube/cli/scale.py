"""``netkube scale``: through the scale subresource, as kubectl."""

from __future__ import annotations

import click

from netkube.cli.output import qualified_name
from netkube.cli.settings import Settings, common_options
from netkube.cli.targets import parse_targets
from netkube.client.interface import MERGE_PATCH


@click.command()
@click.argument('targets', nargs=-1, required=True, metavar='TYPE NAME... | TYPE/NAME...')
@click.option('--replicas', type=int, required=True, help='How many there shall be.')
@common_options(output=False)
def scale(settings: Settings, targets: tuple[str, ...], replicas: int) -> None:
    """Set the number of replicas of Deployments or ReplicaSets."""
    if replicas < 0:
        raise click.ClickException(
            'The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0'
        )
    connection = settings.connect()
    for target in parse_targets(targets, connection):
        if not target.name:
            raise click.ClickException('resource(s) were provided, but no name was specified')
        if 'scale' not in target.resource.subresources:
            raise click.ClickException(f'cannot scale a {target.resource.kind}: it has no replicas')
        path = target.resource.path(settings.in_namespace, target.name, 'scale')
        connection.patch(path, {'spec': {'replicas': replicas}}, MERGE_PATCH)
        click.echo(f'{qualified_name(target.resource, target.name)} scaled')
