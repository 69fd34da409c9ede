"""``netkube logs``."""

from __future__ import annotations

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click
import msgspec

from netkube.api import resources
from netkube.api.errors import ApiError
from netkube.cli.connection import Connection
from netkube.cli.pods import containers, default_container, find_pods, select_pods
from netkube.cli.settings import Settings, common_options

UNITS = {'s': 1, 'm': 60, 'h': 3600}


class Source(msgspec.Struct, frozen=True):
    """One container's log; ``prefix`` goes before each line."""

    path: str
    query: dict[str, Any]
    prefix: str


@click.command()
@click.argument('target', required=False, metavar='[POD | TYPE/NAME]')
@click.argument('container_name', required=False, metavar='[CONTAINER]')
@click.option('-c', '--container', default='', help='Which container.')
@click.option('-l', '--selector', default='', help='The Pods with these labels.')
@click.option('-f', '--follow', is_flag=True, help='Go on as more is written.')
@click.option('-p', '--previous', is_flag=True, help='The container before its last restart.')
@click.option(
    '--tail', type=int, default=None, help='The last so many lines; -1: all.  [default: 10 with -l, else all]'
)
@click.option('--since', default='', help='Not older than this: 5s, 2m or 3h.')
@click.option('--timestamps', is_flag=True, help='Each line with the time it was written.')
@click.option('--all-containers', is_flag=True, help='Every container of the Pod.')
@click.option('--prefix', is_flag=True, help='Each line with its Pod and container.')
@click.option('--max-log-requests', default=5, show_default=True, help='How many logs -f may follow at once.')
@common_options(output=False)
def logs(
    settings: Settings,
    target: str | None,
    container_name: str | None,
    container: str,
    selector: str,
    follow: bool,
    previous: bool,
    tail: int | None,
    since: str,
    timestamps: bool,
    all_containers: bool,
    prefix: bool,
    max_log_requests: int,
) -> None:
    """Print what containers wrote to their standard output and error."""
    if bool(target) == bool(selector):
        raise click.UsageError('name a Pod, a TYPE/NAME, or select Pods with -l')
    connection = settings.connect()
    namespace = settings.in_namespace
    pods = select_pods(connection, namespace, selector) if selector else find_pods(connection, namespace, target or '')
    if not pods:
        click.echo(f'No resources found in {namespace} namespace.', err=True)
        return
    if tail is None and selector:
        tail = 10
    query = {
        'follow': follow, 'previous': previous, 'timestamps': timestamps,
        'tailLines': '' if tail is None or tail < 0 else str(tail), 'sinceSeconds': _seconds(since) if since else '',
    }  # fmt: skip
    sources = []
    for pod in pods if selector else pods[:1]:
        name = pod['metadata']['name']
        wanted = containers(pod) if all_containers else [container or container_name or default_container(pod)]
        for each in wanted:
            path = resources.PODS.path(namespace, name, 'log')
            label = f'[pod/{name}/{each}] ' if prefix else ''
            sources.append(Source(path, {**query, 'container': each}, label))
    show(connection, sources, follow, max_log_requests)


def show(connection: Connection, sources: list[Source], follow: bool, most: int) -> None:
    if not follow or len(sources) == 1:
        for source in sources:
            _copy(connection, source)
        return
    if len(sources) > most:
        raise click.ClickException(
            f'you are attempting to follow {len(sources)} log streams, but maximum allowed concurrency is {most}, '
            'use --max-log-requests to increase the limit'
        )
    with ThreadPoolExecutor(len(sources)) as threads:
        for finished in [threads.submit(_copy, connection, source) for source in sources]:
            finished.result()


def _copy(connection: Connection, source: Source) -> None:
    prefix = source.prefix.encode()
    try:
        for line in connection.stream(source.path, accept='*/*', **source.query):
            sys.stdout.buffer.write(prefix + line)
            sys.stdout.buffer.flush()
    except ApiError as error:
        raise click.ClickException(error.message) from error


def _seconds(text: str) -> str:
    parts = re.findall(r'(\d+)([smh])', text)
    if not parts or ''.join(number + unit for number, unit in parts) != text:
        raise click.ClickException(f'invalid argument "{text}" for "--since": use for example 5s, 2m or 3h')
    return str(sum(int(number) * UNITS[unit] for number, unit in parts))
