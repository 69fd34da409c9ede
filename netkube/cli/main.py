"""The command line: one file per command, imported only when it is the one that runs."""

from __future__ import annotations

import errno
import importlib
import sys

import click

from netkube.api.errors import ApiError
from netkube.cli.connection import Unreachable
from netkube.cli.output import refusal
from netkube.cli.settings import Settings
from netkube.cluster.config import ConfigError

COMMANDS = {
    'up': 'Start the cluster, or what of it does not run.',
    'down': 'Stop the cluster and leave the machine as it was.',
    'status': "The cluster's processes, addresses and memory.",
    'doctor': 'Check that this machine has what a cluster needs.',
    'kubeconfig': 'Write a kubeconfig for kubectl and print its path.',
    'apply': 'Create or change the objects of a manifest.',
    'delete': 'Delete objects by manifest, name or label.',
    'get': 'Show objects.',
    'describe': 'Show objects in detail, with their events.',
    'logs': 'Print what containers wrote.',
    'exec': 'Run a command in a container.',
    'run': 'Run a command of this folder as a Deployment, again when a file is saved.',
    'trace': 'Why a connection from a Pod works, or not.',
    'capture': 'Packets of a Pod, a Service or the Node.',
    'wait': 'Return when workloads and Pods are ready.',
    'scale': 'Set the number of replicas.',
}


class LazyCommands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return getattr(importlib.import_module(f'netkube.cli.{cmd_name}'), cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section('Commands'):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyCommands, context_settings={'help_option_names': ['-h', '--help']})
@click.option('--cluster', envvar='NETKUBE_CLUSTER', default='default', show_default=True, help='Which cluster.')
@click.option('-n', '--namespace', default='', help='The namespace; "default" if not given.')
@click.option('-o', '--output', default='', help='Output format: wide, yaml, json or name.')
@click.version_option(package_name='netkube')
@click.pass_context
def cli(ctx: click.Context, cluster: str, namespace: str, output: str) -> None:
    """netkube: a Kubernetes cluster made of this machine's own processes."""
    ctx.obj = Settings(cluster, namespace, output)


def main() -> None:
    """Exit codes: 0 success, 1 a failure that was told in one sentence, 2 wrong usage, 130 interrupted."""
    try:
        cli.main(prog_name='netkube', standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.UsageError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        sys.exit(f'error: {error.format_message()}')
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except ApiError as error:
        sys.exit(refusal(error))
    except (ConfigError, Unreachable) as error:
        sys.exit(f'error: {error}')
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; so there is nobody to tell
        sys.exit(141)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.exit(f'error: {error.strerror}{f": {error.filename}" if error.filename else ""}')
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == '__main__':
    main()
