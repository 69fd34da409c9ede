"""``netkube trace``."""

from __future__ import annotations

import sys

import click

from netkube.cli.output import dump
from netkube.cli.pods import find_pods
from netkube.cli.settings import Settings, common_options
from netkube.cluster import config

MARKS = {True: ('✓', 'green'), False: ('✗', 'red'), None: ('·', '')}
PLAIN = {True: 'ok  ', False: 'FAIL', None: '-   '}
STEP_WIDTH = 9


@click.command()
@click.option('--udp', is_flag=True, help='A datagram; the same as --protocol udp.')
@click.option('--protocol', type=click.Choice(['tcp', 'udp', 'sctp']), default=None,
              help='Of host:port.  [default: tcp]')  # fmt: skip
@click.option('--timeout', type=click.FloatRange(0.01, 600), default=3.0, show_default=True, help='In seconds.')
@common_options()
@click.argument('target', metavar='POD | TYPE/NAME')
@click.argument('words', nargs=-1, required=True, metavar='[CONTAINER] URL | HOST:PORT')
def trace(
    settings: Settings, udp: bool, protocol: str | None, timeout: float, target: str, words: tuple[str, ...]
) -> None:
    """Say step by step why a connection from a Pod works or not; exit 1 if it does not."""
    from netkube.diagnose.destination import parse_destination
    from netkube.diagnose.finding import TraceError, as_object
    from netkube.diagnose.objects import Cluster, parse_pod
    from netkube.diagnose.trace import Question, Trace

    check_output(settings.output)
    container, wanted = _split(words)
    if udp and protocol not in (None, 'udp'):
        raise click.UsageError(f'--udp and --protocol {protocol} exclude each other')
    connection = settings.connect()
    pod = find_pods(connection, settings.in_namespace, target)[0]
    try:
        destination = parse_destination(wanted, 'udp' if udp else protocol or '')
        source = parse_pod(pod)
        check_container(source.name, [c['name'] for c in pod['spec']['containers']], list(source.containers), container)
        cluster = Cluster(connection, setting_of(settings.cluster).domain)
        question = Question(source, container, destination, timeout)
        say = show if not settings.output else lambda finding: None
        report = Trace(cluster, setting_of(settings.cluster), question, say).run()
    except TraceError as error:
        raise click.ClickException(str(error)) from error
    if settings.output:
        click.echo(dump(settings.output, as_object(report)), nl=False)
    else:
        click.echo(f'\n{report.verdict}')
    sys.exit(0 if report.works else 1)


def check_output(output: str) -> None:
    if output not in ('', 'json', 'yaml'):
        raise click.ClickException(f'unable to print a trace as "{output}", allowed formats are: json,yaml')


def check_container(pod: str, names: list[str], running: list[str], wanted: str) -> None:
    """The container is one of the Pod's, and runs; without one, any does."""
    if wanted and wanted not in names:
        raise click.ClickException(f'container {wanted} is not valid for pod {pod}; it has {", ".join(names)}')
    if not running or (wanted and wanted not in running):
        which = f'container {wanted} of pod {pod} is not running' if wanted else f'no container of pod {pod} is running'
        raise click.ClickException(f'{which}; see netkube describe pod {pod}')


def setting_of(name: str):  # noqa: ANN201 - what it makes is imported late
    from netkube.diagnose.places import Setting

    found = config.load(name)
    assert found is not None  # it has been connected to
    return Setting(
        domain=found.domain,
        node_netns=found.node_netns,
        pod_netns_prefix=found.pod_netns_prefix,
        pod_cidrs=tuple(str(plan.pod_cidr) for plan in found.plans),
        load_balancer_cidrs=tuple(str(plan.load_balancer_cidr) for plan in found.plans),
    )


def show(finding) -> None:  # noqa: ANN001 - imported late
    """On a terminal with marks and colours, in a pipe in plain words."""
    if sys.stdout.isatty():
        mark, colour = MARKS[finding.ok]
        mark = click.style(mark, fg=colour) if colour else mark
    else:
        mark = PLAIN[finding.ok]
    click.echo(f'{mark} {finding.step:<{STEP_WIDTH}} {finding.text}')
    indent = ' ' * ((1 if sys.stdout.isatty() else 4) + STEP_WIDTH + 2)
    for detail in finding.details:
        click.echo(indent + (click.style(detail, dim=True) if sys.stdout.isatty() else detail))


def _split(words: tuple[str, ...]) -> tuple[str, str]:
    """(container, destination)."""
    if len(words) > 2:
        raise click.UsageError(f'too many words: {" ".join(words)}; give POD [CONTAINER] URL-or-host:port')
    return (words[0], words[1]) if len(words) == 2 else ('', words[0])
