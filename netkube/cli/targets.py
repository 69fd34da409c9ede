"""What a user names on the command line: ``pods``, ``po,svc``, ``deploy/web``, ``pod a b``."""

from __future__ import annotations

import click
import msgspec

from netkube.api import resources
from netkube.api.resources import Resource


class Target(msgspec.Struct, frozen=True):
    """A collection (no ``name``) or one object."""

    resource: Resource
    name: str = ''


def parse_resource(word: str) -> Resource:
    resource = resources.find_by_name(word)
    if resource is None:
        raise click.ClickException(f'the server doesn\'t have a resource type "{word}"')
    return resource


def parse_targets(words: tuple[str, ...]) -> list[Target]:
    """kubectl's grammar: TYPE[,TYPE...], TYPE NAME..., or TYPE/NAME..."""
    if any('/' in word for word in words):
        if not all('/' in word for word in words):
            raise click.ClickException(
                'there is no need to specify a resource type as a separate argument when passing arguments in '
                "resource/name form (e.g. 'get resource/<resource_name>' instead of "
                "'get resource resource/<resource_name>')"
            )
        return [Target(parse_resource(kind), name) for kind, _, name in (word.partition('/') for word in words)]
    if not words:
        raise click.UsageError('name a type of resource, for example: pods')
    kinds = _expand(words[0])
    if len(words) == 1:
        return [Target(kind) for kind in kinds]
    return [Target(kind, name) for kind in kinds for name in words[1:]]


def _expand(word: str) -> list[Resource]:
    kinds: list[Resource] = []
    for part in word.split(','):
        in_category = [resource for resource in resources.STORED if part in resource.categories]
        kinds += in_category or [parse_resource(part)]
    return kinds
