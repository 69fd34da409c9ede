"""The options that every command knows, before or after the command's name."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, TypeVar

import click
import msgspec
from msgspec.structs import replace

from netkube.cli.connection import Connection
from netkube.cluster import config

F = TypeVar('F', bound=Callable[..., Any])


class Settings(msgspec.Struct, frozen=True):
    cluster: str
    namespace: str = ''
    output: str = ''

    @property
    def in_namespace(self) -> str:
        return self.namespace or 'default'

    @property
    def up_command(self) -> str:
        """What the user types to start this cluster."""
        return f'sudo netkube{"" if self.cluster == "default" else f" --cluster {self.cluster}"} up'

    def connect(self) -> Connection:
        """A connection to the running cluster; a sentence on what to do when there is none."""
        need_root()
        config.check_name(self.cluster)
        found = config.load(self.cluster)
        connection = Connection(found.api_socket) if found else None
        if connection is None or not connection.works():
            raise click.ClickException(f'cluster "{self.cluster}" is not running; start it with: {self.up_command}')
        return connection


def need_root() -> None:
    if os.geteuid():
        raise click.ClickException('netkube changes network namespaces and rules, so it must run as root: use sudo')


def common_options(*, namespace: bool = True, output: bool = True) -> Callable[[F], F]:
    """The global options once more, after the command's name; the function gets a Settings as its first argument."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def command(*args: Any, **options: Any) -> Any:
            settings: Settings = click.get_current_context().obj
            given = {key: value for key in ('cluster', 'namespace', 'output') if (value := options.pop(key, ''))}
            return function(replace(settings, **given), *args, **options)

        decorated = click.option('--cluster', default='', help='Which cluster.')(command)
        if namespace:
            decorated = click.option('-n', '--namespace', default='', help='The namespace.')(decorated)
        if output:
            decorated = click.option('-o', '--output', default='', help='wide, yaml, json or name.')(decorated)
        return decorated  # type: ignore[return-value]

    return decorate
