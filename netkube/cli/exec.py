"""``netkube exec``: kubectl's v5.channel.k8s.io over a WebSocket on the cluster's unix socket.

Each message begins with its channel's number: 0 stdin, 1 stdout, 2 stderr, 3 the command's end as a Status,
4 the terminal's size, 255 closes a channel.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import click
from msgspec.structs import replace

from netkube.api import resources
from netkube.api.errors import ApiError
from netkube.cli.connection import reaching
from netkube.cli.pods import default_container, find_pods
from netkube.cli.settings import Settings, common_options

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PROTOCOL = 'v5.channel.k8s.io'


@click.command('exec', context_settings={'ignore_unknown_options': True, 'allow_interspersed_args': False})
@click.option('-i', '--stdin', 'with_stdin', is_flag=True, help='Pass standard input to the command.')
@click.option('-t', '--tty', 'with_tty', is_flag=True, help='Give the command a terminal.')
@click.option('-c', '--container', default='', help='Which container.')
@common_options(output=False)
@click.argument('target', metavar='POD | TYPE/NAME')
@click.argument('words', nargs=-1, type=click.UNPROCESSED, metavar='[-c CONTAINER] -- COMMAND [ARG...]')
def exec(
    settings: Settings, with_stdin: bool, with_tty: bool, container: str, target: str, words: tuple[str, ...]
) -> None:
    """Run a command in a container."""
    settings, container, with_stdin, with_tty, command = _late_options(settings, container, with_stdin, with_tty, words)
    if not command:
        raise click.ClickException('you must specify at least one command for the container')
    connection = settings.connect()
    pod = find_pods(connection, settings.in_namespace, target)[0]
    if with_tty and not (with_stdin and sys.stdin.isatty()):
        click.echo('Unable to use a TTY - input is not a terminal or the right kind of file', err=True)
        with_tty = False
    query = [
        ('container', container or default_container(pod)),
        ('stdout', 'true'),
        ('stderr', str(not with_tty).lower()),
    ]
    query += [('stdin', str(with_stdin).lower()), ('tty', str(with_tty).lower())]
    query += [('command', word) for word in command]
    path = resources.PODS.path(settings.in_namespace, pod['metadata']['name'], 'exec')
    sys.exit(run(str(connection.path), f'{path}?{urlencode(query)}', with_stdin, with_tty))


def _late_options(
    settings: Settings, container: str, with_stdin: bool, with_tty: bool, words: tuple[str, ...]
) -> tuple[Settings, str, bool, bool, list[str]]:
    """kubectl also takes its options between the target and ``--``."""

    left = list(words)
    while left and left[0].startswith('-'):
        word = left.pop(0)
        if word == '--':
            break
        if word in ('-c', '--container') and left:
            container = left.pop(0)
        elif word.startswith('--container='):
            container = word.partition('=')[2]
        elif word in ('-n', '--namespace') and left:
            settings = replace(settings, namespace=left.pop(0))
        elif word in ('-i', '--stdin', '-t', '--tty', '-it', '-ti'):
            with_stdin |= 'i' in word.lstrip('-')[:2]
            with_tty |= word.lstrip('-')[0] == 't' or word in ('-it', '-ti')
        else:
            raise click.UsageError(f'no such option: {word}')
    return settings, container, with_stdin, with_tty, left


def run(socket_path: str, target: str, with_stdin: bool, with_tty: bool) -> int:
    """The command's exit code; ApiError when it could not be started."""
    from websockets.exceptions import ConnectionClosed, InvalidStatus
    from websockets.sync.client import unix_connect

    uri = f'ws://netkube{target}'
    try:
        with reaching(Path(socket_path)):
            session = unix_connect(
                socket_path, uri, subprotocols=[PROTOCOL], max_size=None, compression=None, proxy=None
            )
    except InvalidStatus as error:
        body = error.response.body or b''
        try:
            raise ApiError.from_status(json.loads(body)) from None
        except ValueError:
            raise click.ClickException(body.decode(errors='replace') or str(error)) from None
    with session, _raw_terminal(with_tty):
        if with_tty:
            _send_sizes(session)
        if with_stdin:
            threading.Thread(target=_send_stdin, args=(session,), daemon=True).start()
        with contextlib.suppress(ConnectionClosed):
            for message in session:
                code = _receive(bytes(message) if not isinstance(message, str) else message.encode())
                if code is not None:
                    return code
    raise click.ClickException('the connection ended before the command did')


def _receive(message: bytes) -> int | None:
    """Pass output on; the exit code when this message was the end."""
    channel, data = message[0], message[1:]
    if channel in (STDOUT, STDERR):
        stream = sys.stdout.buffer if channel == STDOUT else sys.stderr.buffer
        stream.write(data)
        stream.flush()
    elif channel == ERROR:
        return _exit_code(json.loads(data))
    return None


def _exit_code(status: dict) -> int:
    if status.get('status') == 'Success':
        return 0
    for cause in status.get('details', {}).get('causes', ()):
        if cause.get('reason') == 'ExitCode':
            return int(cause['message'])
    raise click.ClickException(status.get('message', 'the command could not be run'))


def _send_stdin(session) -> None:  # noqa: ANN001 - websockets is imported late
    with contextlib.suppress(Exception):  # the session's end is told by its receiving side
        while data := os.read(sys.stdin.fileno(), 32768):
            session.send(bytes([STDIN]) + data)
        session.send(bytes([CLOSE, STDIN]))


def _send_sizes(session) -> None:  # noqa: ANN001
    def send(*_: object) -> None:
        # Of the terminal itself: COLUMNS and LINES of the environment may be somebody else's.
        columns, lines = os.get_terminal_size(sys.stdin.fileno())
        with contextlib.suppress(Exception):
            session.send(bytes([RESIZE]) + json.dumps({'Width': columns, 'Height': lines}).encode())

    send()
    signal.signal(signal.SIGWINCH, send)


@contextlib.contextmanager
def _raw_terminal(wanted: bool) -> Iterator[None]:
    """Pass each key on as it is pressed; the terminal is put back at the end."""
    if not wanted:
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
