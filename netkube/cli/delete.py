"""``netkube delete``: by manifest, by name or by label."""

from __future__ import annotations

import json
import sys
import time

import click

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import CUSTOMRESOURCEDEFINITIONS, NAMESPACES, Resource
from netkube.cli import manifests
from netkube.cli.connection import Connection
from netkube.cli.manifests import ManifestError
from netkube.cli.output import qualified_name, refusal
from netkube.cli.settings import Settings, common_options
from netkube.cli.targets import parse_targets

CASCADES = {'background': 'Background', 'foreground': 'Foreground', 'orphan': 'Orphan'}
Doomed = tuple[Resource, str, str]  # resource, namespace, name


@click.command()
@click.argument('targets', nargs=-1, metavar='[TYPE NAME... | TYPE/NAME...]')
@click.option('-f', '--filename', 'filenames', multiple=True, help='File or folder; - for standard input.')
@click.option('-R', '--recursive', is_flag=True, help='Read folders with all that is below them.')
@click.option('-l', '--selector', default='', help='Label selector.')
@click.option('--all', 'everything', is_flag=True, help='All objects of that type in the namespace.')
@click.option('-A', '--all-namespaces', is_flag=True, help='In all namespaces.')
@click.option('--wait/--no-wait', default=True, show_default=True, help='Return when the objects are gone.')
@click.option('--timeout', default=0.0, help='How long to wait, in seconds; 0: as long as it takes.')
@click.option('--grace-period', default=-1, help='Seconds given to end in good order; -1: what the object says.')
@click.option('--now', is_flag=True, help='The same as --grace-period 1.')
@click.option('--force', is_flag=True, help='With --grace-period 0: do not wait for the processes to end.')
@click.option('--cascade', type=click.Choice(list(CASCADES)), default='background', help='What becomes of dependents.')
@click.option('--ignore-not-found', is_flag=True, help='An object that does not exist is not an error.')
@common_options()
def delete(
    settings: Settings,
    targets: tuple[str, ...],
    filenames: tuple[str, ...],
    recursive: bool,
    selector: str,
    everything: bool,
    all_namespaces: bool,
    wait: bool,
    timeout: float,
    grace_period: int,
    now: bool,
    force: bool,
    cascade: str,
    ignore_not_found: bool,
) -> None:
    """Delete objects, and return when they are gone."""
    if bool(filenames) == bool(targets):
        raise click.UsageError('name either manifests (-f) or a type and names')
    connection = settings.connect()
    failed = False
    if filenames:
        doomed, failed = _of_manifests(connection, filenames, recursive, settings)
    else:
        doomed = _of_targets(connection, targets, settings, selector, everything, all_namespaces)
    options = _options(1 if now else 0 if force and grace_period < 0 else grace_period, cascade)
    verb = 'force deleted' if force else 'deleted'
    gone: list[tuple[Doomed, str]] = []
    for item in doomed:
        try:
            gone.append((item, _delete(connection, item, options)))
        except ApiError as error:
            if error.code != 404 or not (ignore_not_found or _went_with_what_held_it(item, gone)):
                click.echo(refusal(error), err=True)
                failed = True
                continue
            if ignore_not_found:
                continue
        click.echo(_sentence(*item, verb, settings.output))
    if wait and not force:
        deadline = time.monotonic() + timeout if timeout else None
        for item, uid in gone:
            failed |= not _wait_gone(connection, item, uid, deadline)
    if failed:
        sys.exit(1)


def _delete(connection: Connection, item: Doomed, options: Object) -> str:
    """The uid of what is being deleted."""
    resource, namespace, name = item
    answer = connection.delete(resource.path(namespace, name), options)
    return answer.get('metadata', {}).get('uid') or answer.get('details', {}).get('uid', '')


def _went_with_what_held_it(item: Doomed, gone: list[tuple[Doomed, str]]) -> bool:
    """A manifest names the namespace, or the kind's definition, first; what is in it may be gone before its turn."""
    holders = {(NAMESPACES, item[1]), (CUSTOMRESOURCEDEFINITIONS, item[0].group_resource)}
    return any((resource, name) in holders for (resource, _, name), _ in gone)


def _sentence(resource: Resource, namespace: str, name: str, verb: str, output: str) -> str:
    """kubectl's words: ``pod "web" deleted from shop namespace``."""
    if output == 'name':
        return qualified_name(resource, name)
    kind = f'{resource.singular}.{resource.group}' if resource.group else resource.singular
    where = f' from {namespace} namespace' if resource.namespaced else ''
    return f'{kind} "{name}" {verb}{where}'


def _options(grace_period: int, cascade: str) -> Object:
    options: Object = {'kind': 'DeleteOptions', 'apiVersion': 'v1', 'propagationPolicy': CASCADES[cascade]}
    if grace_period >= 0:
        options['gracePeriodSeconds'] = grace_period
    return options


def _of_manifests(
    connection: Connection, filenames: tuple[str, ...], recursive: bool, settings: Settings
) -> tuple[list[Doomed], bool]:
    doomed: list[Doomed] = []
    failed = False
    for read in manifests.read(filenames, recursive):
        try:
            entry = manifests.resolved(connection, read)
        except ManifestError as error:
            click.echo(f'error: {error}', err=True)
            failed = True
            continue
        metadata = entry.object['metadata']
        namespace = metadata.get('namespace') or settings.in_namespace if entry.resource.namespaced else ''
        doomed.append((entry.resource, namespace, metadata['name']))
    return doomed, failed


def _of_targets(
    connection: Connection, words: tuple[str, ...], settings: Settings, selector: str, everything: bool, anywhere: bool
) -> list[Doomed]:
    targets = parse_targets(words, connection)
    named = [(t.resource, settings.in_namespace if t.resource.namespaced else '', t.name) for t in targets if t.name]
    if named:
        if selector or everything:
            raise click.ClickException('name cannot be provided when a selector is specified')
        return named
    if not selector and not everything:
        raise click.ClickException('resource(s) were provided, but no name was specified')
    doomed: list[Doomed] = []
    for target in targets:
        listed = connection.get(target.resource.path('' if anywhere else settings.in_namespace), labelSelector=selector)
        doomed += [
            (target.resource, item['metadata'].get('namespace', ''), item['metadata']['name'])
            for item in listed['items']
        ]
    if not doomed:
        click.echo('No resources found')
    return doomed


def _wait_gone(connection: Connection, item: Doomed, uid: str, deadline: float | None) -> bool:
    """Whether the object, or at least that one of its name, went before the deadline."""
    resource, namespace, name = item
    only = f'metadata.name={name}'
    path = resource.path(namespace)
    listed = connection.get(path, fieldSelector=only)
    if not any(found['metadata']['uid'] == uid for found in listed['items']):
        return True
    version = listed['metadata']['resourceVersion']
    left = None if deadline is None else max(deadline - time.monotonic(), 0.001)
    try:
        for line in connection.stream(path, timeout=left, watch=True, resourceVersion=version, fieldSelector=only):
            if json.loads(line)['type'] == 'DELETED':
                return True
    except TimeoutError:
        pass
    click.echo(f'error: timed out waiting for the condition on {resource.plural}/{name}', err=True)
    return False
