"""What a user names on the command line: ``pods``, ``po,svc``, ``deploy/web``, ``pod a b``."""

from __future__ import annotations

import click
import msgspec

from netkube.api import resources
from netkube.api.resources import Resource
from netkube.cli.connection import Connection


class Target(msgspec.Struct, frozen=True):
    """A collection (no ``name``) or one object."""

    resource: Resource
    name: str = ''


def parse_resource(word: str, connection: Connection | None = None) -> Resource:
    """Of the table or, with a ``connection``, of the server's own kinds."""
    resource = resources.find_by_name(word)
    if resource is None and connection is not None:
        from netkube.cli import discovery

        resource = discovery.find_by_name(connection, word)
    if resource is None:
        raise click.ClickException(f'the server doesn\'t have a resource type "{word}"')
    return resource


def parse_targets(words: tuple[str, ...], connection: Connection | None = None) -> list[Target]:
    """kubectl's grammar: TYPE[,TYPE...], TYPE NAME..., or TYPE/NAME...

    ``connection`` finds the kinds that are not in the table of resources.
    """
    need_targets(words)
    if any('/' in word for word in words):
        if not all('/' in word for word in words):
            raise click.ClickException(
                'there is no need to specify a resource type as a separate argument when passing arguments in '
                "resource/name form (e.g. 'get resource/<resource_name>' instead of "
                "'get resource resource/<resource_name>')"
            )
        pairs = [word.partition('/') for word in words]
        return [Target(parse_resource(kind, connection), name) for kind, _, name in pairs]
    kinds = _expand(words[0], connection)
    if len(words) == 1:
        return [Target(kind) for kind in kinds]
    return [Target(kind, name) for kind in kinds for name in words[1:]]


def need_targets(words: tuple[str, ...]) -> None:
    if not words:
        raise click.UsageError('name a type of resource, for example: pods')


def _expand(word: str, connection: Connection | None) -> list[Resource]:
    kinds: list[Resource] = []
    for part in word.split(','):
        kinds += _in_category(part, connection) or [parse_resource(part, connection)]
    return kinds


def _in_category(word: str, connection: Connection | None) -> list[Resource]:
    found = [resource for resource in resources.STORED if word in resource.categories]
    if connection is not None and not resources.find_by_name(word):
        from netkube.cli import discovery

        found += discovery.in_category(connection, word)
    return found
