"""``netkube get``: the server prints the rows, as it does for kubectl."""

from __future__ import annotations

import json
import sys

import click
import msgspec

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.cli.connection import JSON, TABLE, Connection
from netkube.cli.output import as_list, check_format, dump, qualified_name, refusal, table, without_managed_fields
from netkube.cli.settings import Settings, common_options
from netkube.cli.targets import Target, need_targets, parse_targets


class View(msgspec.Struct, frozen=True):
    """What to list, and how to show it."""

    namespace: str
    wide: bool
    all_namespaces: bool
    show_labels: bool
    no_headers: bool
    with_kind: bool
    selectors: dict[str, str]
    managed_fields: bool = False

    def shown(self, obj: Object) -> Object:
        return obj if self.managed_fields else without_managed_fields(obj)

    def path(self, target: Target) -> str:
        return target.resource.path('' if self.all_namespaces else self.namespace, target.name or None)


@click.command()
@click.argument('targets', nargs=-1, metavar='TYPE[,TYPE...] [NAME...] | TYPE/NAME...')
@click.option('-A', '--all-namespaces', is_flag=True, help='In all namespaces.')
@click.option('-l', '--selector', default='', help='Label selector.')
@click.option('--field-selector', default='', help='Field selector.')
@click.option('-w', '--watch', is_flag=True, help='Show changes as they happen, after what there is.')
@click.option('--watch-only', is_flag=True, help='Show changes as they happen.')
@click.option('--show-labels', is_flag=True, help='Add the labels as a column.')
@click.option('--show-managed-fields', is_flag=True, help='Keep metadata.managedFields in yaml and json.')
@click.option('--no-headers', is_flag=True, help='Leave the header out.')
@click.option('--ignore-not-found', is_flag=True, help='An object that does not exist is not an error.')
@common_options()
def get(
    settings: Settings,
    targets: tuple[str, ...],
    all_namespaces: bool,
    selector: str,
    field_selector: str,
    watch: bool,
    watch_only: bool,
    show_labels: bool,
    show_managed_fields: bool,
    no_headers: bool,
    ignore_not_found: bool,
) -> None:
    """Show objects as a table, or with -o as wide table, yaml, json or names."""
    check_format(settings.output)
    need_targets(targets)
    connection = settings.connect()
    wanted = parse_targets(targets, connection)
    if any(target.name for target in wanted) and all_namespaces:
        raise click.ClickException('a resource cannot be retrieved by name across all namespaces')
    selectors = {'labelSelector': selector, 'fieldSelector': field_selector}
    several = len({target.resource for target in wanted}) > 1 or any('/' in word for word in targets)
    view = View(
        settings.in_namespace, settings.output == 'wide', all_namespaces, show_labels, no_headers, several, selectors,
        show_managed_fields,
    )  # fmt: skip
    if watch or watch_only:
        follow(connection, wanted, view, settings.output, watch_only)
    elif settings.output in ('', 'wide'):
        show_tables(connection, wanted, view, ignore_not_found)
    else:
        show_objects(connection, wanted, view, settings.output, ignore_not_found)


def show_tables(connection: Connection, targets: list[Target], view: View, ignore_not_found: bool) -> None:
    blocks, failed = [], False
    for answer in grouped(targets):
        rows: Object | None = None
        for target in answer:
            try:
                part = connection.get(view.path(target), TABLE, **({} if target.name else view.selectors))
            except ApiError as error:
                if error.code == 404 and ignore_not_found:
                    continue
                failed = report(error)
                continue
            rows = part if rows is None else {**rows, 'rows': [*rows['rows'], *part['rows']]}
        if rows and rows['rows']:
            blocks.append(render(rows, answer[0], view))
    if blocks:
        click.echo('\n\n'.join(blocks))
    elif not failed and not ignore_not_found:
        everywhere = view.all_namespaces or not any(target.resource.namespaced for target in targets)
        click.echo(
            'No resources found' if everywhere else f'No resources found in {view.namespace} namespace.', err=True
        )
    if failed:
        sys.exit(1)


def report(error: ApiError) -> bool:
    click.echo(refusal(error), err=True)
    return True


def grouped(targets: list[Target]) -> list[list[Target]]:
    """Objects of one kind share one table."""
    groups: dict[str, list[Target]] = {}
    for target in targets:
        groups.setdefault(target.resource.group_resource, []).append(target)
    return list(groups.values())


def render(answer: Object, target: Target, view: View) -> str:
    shown = [n for n, column in enumerate(answer['columnDefinitions']) if view.wide or not column.get('priority')]
    header = [answer['columnDefinitions'][n]['name'].upper() for n in shown]
    lines = []
    for row in answer['rows']:
        cells = [str(row['cells'][n]) for n in shown]
        metadata = row['object']['metadata']
        if view.with_kind:
            cells[0] = qualified_name(target.resource, cells[0])
        if view.all_namespaces and target.resource.namespaced:
            cells.insert(0, metadata['namespace'])
        if view.show_labels:
            cells.append(','.join(f'{k}={v}' for k, v in sorted(metadata.get('labels', {}).items())) or '<none>')
        lines.append(cells)
    if view.all_namespaces and target.resource.namespaced:
        header.insert(0, 'NAMESPACE')
    if view.show_labels:
        header.append('LABELS')
    return table(header, lines, no_headers=view.no_headers)


def show_objects(
    connection: Connection, targets: list[Target], view: View, output: str, ignore_not_found: bool
) -> None:
    found: list[tuple[Target, Object]] = []
    failed = False
    for target in targets:
        try:
            answer = connection.get(view.path(target), JSON, **({} if target.name else view.selectors))
        except ApiError as error:
            if error.code != 404 or not ignore_not_found:
                failed = report(error)
            continue
        items = [answer] if target.name else answer.get('items') or []
        found += [(target, view.shown(item)) for item in items]
    if output == 'name':
        for target, item in found:
            click.echo(qualified_name(target.resource, item['metadata']['name']))
    elif len(found) == 1 and targets[0].name and len(targets) == 1:
        click.echo(dump(output, found[0][1]), nl=False)
    elif not (failed and not found):
        click.echo(dump(output, as_list([item for _, item in found])), nl=False)
    if failed:
        sys.exit(1)


def follow(connection: Connection, targets: list[Target], view: View, output: str, only_changes: bool) -> None:
    """Print objects as they change, a line each, until interrupted."""
    if len(targets) > 1:
        raise click.ClickException('you may only specify a single resource type')
    target = targets[0]
    query = {**view.selectors, **({'fieldSelector': f'metadata.name={target.name}'} if target.name else {})}
    path = target.resource.path('' if view.all_namespaces else view.namespace)
    accept = TABLE if output in ('', 'wide') else JSON
    listed = connection.get(path, accept, **query)
    printer = ChangePrinter(target, view, output)
    if not only_changes:
        printer.print(listed)
    query |= {'watch': 'true', 'resourceVersion': listed['metadata']['resourceVersion']}
    for line in connection.stream(path, accept, None, **query):
        event = json.loads(line)
        if event['type'] == 'ERROR':
            raise ApiError.from_status(event['object'])
        printer.print(event['object'])


class ChangePrinter:
    """Prints the objects of a watch; the header once. Later events leave the columns out: they are the first one's."""

    def __init__(self, target: Target, view: View, output: str) -> None:
        self._target, self._view, self._output = target, view, output
        self._columns: list[Object] = []

    def print(self, answer: Object) -> None:
        """A Table, a list or an object, as the API sent it."""
        if 'rows' not in answer:
            for item in answer.get('items', [answer]):
                name = qualified_name(self._target.resource, item['metadata']['name'])
                as_name = self._output == 'name'
                click.echo(name if as_name else dump(self._output, self._view.shown(item)), nl=as_name)
        elif answer['rows']:
            first = not self._columns
            self._columns = answer.get('columnDefinitions') or self._columns
            text = render({**answer, 'columnDefinitions': self._columns}, self._target, self._view)
            click.echo(text if first or self._view.no_headers else text.partition('\n')[2])
