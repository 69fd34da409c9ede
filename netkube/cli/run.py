"""``netkube run``: a command of this folder as a Deployment, begun anew whenever a file is saved."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import click

from netkube.api.meta import Object, micro_timestamp, utc_now
from netkube.api.resources import DEPLOYMENTS, SERVICES
from netkube.cli.apply import apply_object
from netkube.cli.connection import Connection
from netkube.cli.manifests import Document
from netkube.cli.output import qualified_name
from netkube.cli.rollout import wait_ready
from netkube.cli.settings import Settings, common_options
from netkube.cli.up import ensure_running
from netkube.client.interface import STRATEGIC_MERGE_PATCH

RESTARTED = 'kubectl.kubernetes.io/restartedAt'  # as kubectl rollout restart
SETTLE_MILLISECONDS = 20  # an editor that saves writes several files
WAKE_MILLISECONDS = 100
GRACE_SECONDS = 2


@click.command()
@click.argument('name')
@click.option('--replicas', type=click.IntRange(0), default=1, show_default=True, help='How many processes.')
@click.option('--port', type=click.IntRange(1, 65535), help='Where it listens; makes a Service.')
@click.option(
    '--watch',
    'watched',
    type=click.Path(exists=True, path_type=Path),
    help='Begin anew, one after the other, when a file of this folder is saved.',
)
@click.option('--timeout', default=60.0, show_default=True, help='How long to wait for it, in seconds.')
@click.argument('command', nargs=-1, required=True)
@common_options(output=False)
def run(
    settings: Settings,
    name: str,
    replicas: int,
    port: int | None,
    watched: Path | None,
    timeout: float,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND, in the current folder, as Deployment NAME. Again with other options changes it."""
    connection = ensure_running(settings)
    saves = _saves(watched) if watched else ()
    objects = [deployment(name, replicas, port, command)] + ([service(name, port)] if port else [])
    for resource, obj in zip((DEPLOYMENTS, SERVICES), objects, strict=False):
        _, outcome = apply_object(connection, settings, Document('run', resource, obj), dry_run=False)
        click.echo(f'{qualified_name(resource, name)} {outcome}')
    ready = wait_ready(connection, [(DEPLOYMENTS, _current(connection, settings, name))], timeout)
    if watched is not None:
        click.echo(f'watching {watched}; Ctrl-C ends that, and leaves {name} running', err=True)
    for paths in saves:
        began = time.monotonic()
        if wait_ready(connection, [(DEPLOYMENTS, _restarted(connection, settings, name))], timeout):
            click.echo(f'{_names(paths)} changed: {name} began anew in {time.monotonic() - began:.2f} s')
    if not ready:
        sys.exit(1)


def deployment(name: str, replicas: int, port: int | None, command: tuple[str, ...]) -> Object:
    """New processes are ready before old ones go. They see the folder itself, as it is now, and may write to it."""
    labels, folder = {'app': name}, os.getcwd()
    container: Object = {
        'name': name, 'image': 'none', 'command': list(command), 'workingDir': folder,
        'volumeMounts': [{'name': 'folder', 'mountPath': folder}],
    }  # fmt: skip
    volume = {'name': 'folder', 'hostPath': {'path': folder, 'type': 'Directory'}}
    if port:
        container['ports'] = [{'containerPort': port}]
        container['readinessProbe'] = {'tcpSocket': {'port': port}, 'periodSeconds': 1}
    return {
        'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': name, 'labels': labels},
        'spec': {
            'replicas': replicas,
            'selector': {'matchLabels': labels},
            'strategy': {'rollingUpdate': {'maxSurge': '100%', 'maxUnavailable': 0}},
            'template': {
                'metadata': {'labels': labels},
                'spec': {
                    'containers': [container], 'volumes': [volume], 'terminationGracePeriodSeconds': GRACE_SECONDS,
                },
            },
        },
    }  # fmt: skip


def service(name: str, port: int) -> Object:
    return {
        'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': name, 'labels': {'app': name}},
        'spec': {'selector': {'app': name}, 'ports': [{'port': port}]},
    }  # fmt: skip


def _saves(folder: Path) -> Iterable[list[str]]:
    """The paths, relative to the folder, of each save from now on, until Ctrl-C."""
    from watchfiles import watch

    changes = watch(
        folder, step=SETTLE_MILLISECONDS, rust_timeout=WAKE_MILLISECONDS, yield_on_timeout=True, raise_interrupt=False
    )
    first = next(changes, set())  # it does not look before it is asked, and a save during the first rollout counts
    return (
        [os.path.relpath(path, folder) for _, path in found if os.path.exists(path)]
        for found in itertools.chain((first,), changes)
        if found
    )


def _restarted(connection: Connection, settings: Settings, name: str) -> Object:
    metadata = {'annotations': {RESTARTED: micro_timestamp(utc_now())}}
    patch = {'spec': {'template': {'metadata': metadata}}}
    return connection.patch(DEPLOYMENTS.path(settings.in_namespace, name), patch, STRATEGIC_MERGE_PATCH)


def _current(connection: Connection, settings: Settings, name: str) -> Object:
    return connection.get(DEPLOYMENTS.path(settings.in_namespace, name))


def _names(paths: Iterable[str]) -> str:
    """The first one, and how many more."""
    first, *more = sorted(paths) or ['a file']  # which an editor made only for a moment
    return f'{first} and {len(more)} more' if more else first
