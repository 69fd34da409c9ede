"""``netkube capture``."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import click

from netkube.api import resources
from netkube.cli.connection import Connection
from netkube.cli.pods import find_pods
from netkube.cli.settings import Settings, common_options
from netkube.cli.targets import parse_resource
from netkube.cli.trace import setting_of

DURATION = re.compile(r'(\d+(?:\.\d+)?)(ms|s|m|h)?')
SECONDS = {'ms': 0.001, 's': 1, 'm': 60, 'h': 3600, None: 1}


@click.command()
@click.option('-w', '--write', default='', metavar='FILE', help='Write a pcap; - is standard output.')
@click.option('--count', type=click.IntRange(1), default=None, help='End after so many packets.')
@click.option('--duration', default='', help='End after this time: 500ms, 5s, 2m.')
@click.option('--host', 'hosts', multiple=True, help='Only packets from or to this address; more than once: any.')
@click.option('--port', 'ports', type=click.IntRange(1, 65535), multiple=True, help='Only from or to this port.')
@click.option('--protocol', type=click.Choice(['tcp', 'udp', 'sctp', 'icmp']), default=None, help='Only this one.')
@click.option('--snaplen', type=click.IntRange(64, 262144), default=262144, show_default=True, help='Bytes of each.')
@common_options(output=False)
@click.argument('target', metavar='POD | TYPE/NAME | node')
def capture(
    settings: Settings,
    write: str,
    count: int | None,
    duration: str,
    hosts: tuple[str, ...],
    ports: tuple[int, ...],
    protocol: str | None,
    snaplen: int,
    target: str,
) -> None:
    """Packets of a Pod, a Service or the Node: a line for each, or with -w a pcap for Wireshark."""
    from netkube.diagnose.capture import Counts, Limits
    from netkube.diagnose.capture import capture as run
    from netkube.diagnose.finding import TraceError
    from netkube.diagnose.frames import describe
    from netkube.diagnose.pcap import PcapWriter

    seconds = parse_duration(duration) if duration else 0
    if write == '-' and sys.stdout.isatty():
        raise click.ClickException('a pcap is not for a terminal; use -w FILE, or a pipe: -w - | wireshark -k -i -')
    counts = Counts(0, 0)
    try:
        wanted = make_filter(hosts, ports, protocol or '')
        scope, what = find_scope(settings, settings.connect(), target)
        with _output(write) as file, _interruptible() as wake:
            writer = PcapWriter(file, snaplen) if write else None
            each: Callable = writer.write if writer else lambda frame: file.write(f'{describe(frame)}\n'.encode())
            limits = Limits(count or 0, seconds, snaplen)
            counts = run(scope, wanted, limits, wake, lambda: _started(what), each, file.flush)
    except TraceError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f'{counts.captured} packet{"s" if counts.captured != 1 else ""} captured', err=True)
    click.echo(f'{counts.dropped} packet{"s" if counts.dropped != 1 else ""} dropped by kernel', err=True)


def find_scope(settings: Settings, connection: Connection, target: str):  # noqa: ANN201 - imported late
    """(Scope, what it is, for people)."""
    from netkube.diagnose.capture import Scope, pod_scope, service_scope
    from netkube.diagnose.objects import Cluster, parse_pod, parse_service
    from netkube.diagnose.places import netns_of

    setting = setting_of(settings.cluster)
    kind, _, name = target.rpartition('/')
    resource = parse_resource(kind) if kind else resources.PODS
    if target == 'node' or resource is resources.NODES:
        if name not in ('node', setting_node(settings)):
            raise click.ClickException(f'node "{name}" is not on this machine; there is {setting_node(settings)}')
        return Scope(setting.node_netns), f'the Node, network namespace {setting.node_netns}'
    if resource is resources.SERVICES:
        service = parse_service(connection.get(resource.path(settings.in_namespace, name)))
        scope = service_scope(Cluster(connection, setting.domain), service, setting.node_netns)
        return scope, f'Service {service.label}, {len(scope.ends)} addresses and ports as they are now'
    pod = parse_pod(find_pods(connection, settings.in_namespace, target)[0])
    return pod_scope(netns_of(setting, pod)), f'eth0 of Pod {pod.label}'


def setting_node(settings: Settings) -> str:
    from netkube.cluster import config

    found = config.load(settings.cluster)
    assert found is not None  # it has been connected to
    return found.node_name


def make_filter(hosts: tuple[str, ...], ports: tuple[int, ...], protocol: str):  # noqa: ANN201 - imported late
    from netkube.diagnose.capture import PacketFilter
    from netkube.diagnose.destination import is_address

    for host in hosts:
        if not is_address(host):
            raise click.ClickException(f'--host {host} is not an address')
    return PacketFilter(hosts=hosts, ports=ports, protocol=protocol)


def parse_duration(text: str) -> float:
    match = DURATION.fullmatch(text)
    seconds = float(match[1]) * SECONDS[match[2]] if match else 0
    if not seconds:
        raise click.ClickException(f'invalid argument "{text}" for "--duration": use for example 500ms, 5s or 2m')
    return seconds


def _started(what: str) -> None:
    click.echo(f'capturing {what}; Ctrl-C ends it', err=True)


@contextmanager
def _output(write: str) -> Iterator[BinaryIO]:
    if write in ('', '-'):
        yield sys.stdout.buffer
        return
    try:
        file = open(write, 'wb')  # noqa: SIM115 - closed below
    except OSError as error:
        raise click.ClickException(f'cannot write {write}: {error.strerror}') from error
    with file:
        yield file


@contextmanager
def _interruptible() -> Iterator[int]:
    """A file that can be read from as soon as Ctrl-C or SIGTERM asks for the end: no packet is cut in half."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(write)
    yield read
