"""``netkube apply``: kubectl's client-side apply, and a cluster when there is none."""

from __future__ import annotations

import sys

import click

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import SERVED
from netkube.api.threeway import LAST_APPLIED, last_applied, three_way_merge, with_last_applied
from netkube.cli import manifests
from netkube.cli.connection import Connection
from netkube.cli.manifests import Document, ManifestError
from netkube.cli.output import as_list, check_format, dump, qualified_name, refusal, without_managed_fields
from netkube.cli.rollout import wait_ready
from netkube.cli.settings import Settings, common_options
from netkube.cli.up import ensure_running

FIELD_MANAGER = 'kubectl-client-side-apply'  # kubectl takes it over when it goes on with --server-side
ATTEMPTS = 5  # at an object that someone else keeps changing, as kubectl's maxPatchRetry


@click.command()
@click.option(
    '-f', '--filename', 'filenames', multiple=True, required=True, help='File or folder; - for standard input.'
)
@click.option('-R', '--recursive', is_flag=True, help='Read folders with all that is below them.')
@click.option('--wait', is_flag=True, help='Return when what was applied is ready.')
@click.option('--timeout', default=300.0, show_default=True, help='How long --wait waits, in seconds.')
@click.option('--dry-run', type=click.Choice(['none', 'server']), default='none', help='Check, but change nothing.')
@common_options()
def apply(
    settings: Settings, filenames: tuple[str, ...], recursive: bool, wait: bool, timeout: float, dry_run: str
) -> None:
    """Create what a manifest describes, or change it to that. Without a cluster, one is started."""
    check_format(settings.output)
    entries = list(manifests.read(filenames, recursive))
    if not entries:
        raise click.ClickException('no objects passed to apply')
    connection = ensure_running(settings)
    applied: list[tuple[Document, Object]] = []
    failed = False
    for read in entries:
        try:
            entry = manifests.resolved(connection, read)
        except ManifestError as error:
            click.echo(f'error: {error}', err=True)
            failed = True
            continue
        try:
            result, outcome = apply_object(connection, settings, entry, dry_run == 'server')
        except ApiError as error:
            click.echo(refusal(error, entry.source), err=True)
            failed = True
            continue
        applied.append((entry, result))
        _print_outcome(settings, entry, result, outcome, dry_run == 'server')
    if settings.output in ('yaml', 'json') and applied:
        objects = [without_managed_fields(result) for _, result in applied]
        click.echo(dump(settings.output, objects[0] if len(objects) == 1 else as_list(objects)), nl=False)
    if wait and dry_run == 'none':
        failed |= not wait_ready(connection, [(document.resource, obj) for document, obj in applied], timeout)
    if failed:
        sys.exit(1)


def _print_outcome(settings: Settings, entry: Document, result: Object, outcome: str, dry_run: bool) -> None:
    name = qualified_name(entry.resource, result['metadata']['name'])
    if settings.output == 'name':
        click.echo(name)
    elif settings.output not in ('yaml', 'json'):
        click.echo(f'{name} {outcome}{" (server dry run)" if dry_run else ""}')


def apply_object(connection: Connection, settings: Settings, document: Document, dry_run: bool) -> tuple[Object, str]:
    """The object as it is now, and what became of it: created, configured or unchanged."""
    manifest = _in_namespace(document, settings.namespace)
    modified = with_last_applied(manifest)
    metadata = manifest['metadata']
    namespace, name = metadata.get('namespace', ''), metadata.get('name')
    if not name:
        raise ApiError(400, 'BadRequest', f'from {metadata["generateName"]}: cannot use generate name with apply')
    query = {'fieldValidation': 'Strict', 'fieldManager': FIELD_MANAGER, 'dryRun': 'All' if dry_run else ''}
    for attempt in range(ATTEMPTS):
        current = connection.find(document.resource, namespace, name)
        try:
            if current is None:
                return connection.create(document.resource.path(namespace), modified, **query), 'created'
            return _change(connection, document, modified, current, query)
        except ApiError as error:
            if error.reason not in ('Conflict', 'AlreadyExists') or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError('unreachable')


def _change(
    connection: Connection, document: Document, modified: Object, current: Object, query: dict[str, str]
) -> tuple[Object, str]:
    from netkube.api import schema

    # A kind of one's own has no merge keys: kubectl, too, replaces its lists whole.
    struct = schema.definition(document.resource) if document.resource in SERVED else None
    wanted = three_way_merge(last_applied(current), modified, current, struct)
    if _same(wanted, current):
        return current, 'unchanged'
    path = document.resource.path(current['metadata'].get('namespace', ''), current['metadata']['name'])
    changed = connection.update(path, wanted, **query)
    same = changed['metadata']['resourceVersion'] == current['metadata']['resourceVersion']
    return changed, 'unchanged' if same else 'configured'


def _same(wanted: Object, current: Object) -> bool:
    """Equal but for the record of the manifest itself (kubectl, too, calls that unchanged)."""

    def bare(obj: Object) -> Object:
        annotations = {k: v for k, v in (obj['metadata'].get('annotations') or {}).items() if k != LAST_APPLIED}
        return {**obj, 'metadata': {**obj['metadata'], 'annotations': annotations}}

    had_record = LAST_APPLIED in (current['metadata'].get('annotations') or {})
    return had_record and bare(wanted) == bare(current)


def _in_namespace(document: Document, namespace: str) -> Object:
    """The manifest with its namespace filled in; kubectl's refusal when it names another than ``-n``."""
    obj = document.object
    if not document.resource.namespaced:
        return obj
    own = obj['metadata'].get('namespace')
    if own and namespace and own != namespace:
        raise ApiError(
            400, 'BadRequest',
            f'the namespace from the provided object "{own}" does not match the namespace "{namespace}". '
            f'You must pass \'--namespace={own}\' to perform this operation.',
        )  # fmt: skip
    return {**obj, 'metadata': {**obj['metadata'], 'namespace': own or namespace or 'default'}}
