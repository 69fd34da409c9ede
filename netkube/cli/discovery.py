"""The kinds that only the server knows: those of CustomResourceDefinitions, found by one request.

https://kubernetes.io/docs/concepts/overview/kubernetes-api/#aggregated-discovery
"""

from __future__ import annotations

from collections.abc import Iterator

from netkube.api.meta import Object
from netkube.api.resources import BY_PATH, Resource
from netkube.cli.connection import Connection

AGGREGATED = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'


class Discovered(Resource, frozen=True):
    """A resource as the server describes it."""

    singular_name: str = ''

    @property
    def singular(self) -> str:
        return self.singular_name or self.kind.lower()


def discover(connection: Connection) -> list[Discovered]:
    """What the table of resources does not have; of each group the preferred version first."""
    return list(_parse(connection.get('/apis', AGGREGATED)))


def find_by_name(connection: Connection, word: str) -> Discovered | None:
    """By ``gr``, ``greeting``, ``greetings.example.com`` or ``greetings.v1.example.com``."""
    wanted = word.lower()
    return next((one for one in discover(connection) if wanted in _names(one)), None)


def find_by_kind(connection: Connection, api_version: str, kind: str) -> Discovered | None:
    found = discover(connection)
    return next((one for one in found if (one.api_version, one.kind) == (api_version, kind)), None)


def in_category(connection: Connection, category: str) -> list[Resource]:
    """Each kind once, in the version its group prefers."""
    found: dict[tuple[str, str], Resource] = {}
    for one in discover(connection):
        if category in one.categories:
            found.setdefault((one.group, one.plural), one)
    return list(found.values())


def _names(resource: Discovered) -> set[str]:
    names = {resource.plural, resource.singular, *resource.short_names}
    dotted = {f'{name}.{resource.group}' for name in (resource.plural, resource.singular)}
    return names | dotted | {f'{resource.plural}.{resource.version}.{resource.group}'}


def _parse(document: Object) -> Iterator[Discovered]:
    for group in document['items']:
        name = group['metadata']['name']
        for version in group['versions']:
            for row in version['resources']:
                if (name, version['version'], row['resource']) not in BY_PATH:
                    yield _resource(name, version['version'], row)


def _resource(group: str, version: str, row: Object) -> Discovered:
    return Discovered(
        group, version, row['resource'], row['responseKind']['kind'], row['scope'] == 'Namespaced',
        tuple(row.get('shortNames') or ()), tuple(row.get('categories') or ()),
        tuple(one['subresource'] for one in row.get('subresources') or ()), tuple(row['verbs']),
        singular_name=row.get('singularResource') or '',
    )  # fmt: skip
