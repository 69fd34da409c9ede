"""The resolver's process: ``python -m netkube.dns``.

The sockets come first, the slow imports after: what arrives meanwhile waits in the socket. It outlives the API
server's process on purpose, and ends with SIGTERM.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Sequence

from netkube.dns.sockets import Sockets, open_sockets


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog='python -m netkube.dns', description='The resolver of a netkube cluster.')
    parser.add_argument('--api-socket', required=True, help="the API server's unix socket")
    parser.add_argument('--netns', help='the network namespace to listen in (default: its own)')
    parser.add_argument('--listen', required=True, type=_addresses, help='the addresses to listen on: A or A,B')
    parser.add_argument('--port', type=int, default=53)
    parser.add_argument('--cluster-domain', default='cluster.local')
    parser.add_argument('--resolv-conf', default='/etc/resolv.conf', help='names the nameservers to forward to')
    parser.add_argument('--ready-fd', type=int, help='gets one byte, and is closed, once answers are complete')
    return parser.parse_args(arguments)


def _addresses(text: str) -> list[str]:
    return text.split(',')


def main(arguments: Sequence[str]) -> None:
    options = parse_arguments(arguments)
    logging.basicConfig(level=logging.INFO, format='%(asctime)s %(levelname)s %(name)s: %(message)s')
    run(options, open_sockets(options.netns, options.listen, options.port))


def run(options: argparse.Namespace, sockets: Sockets) -> None:
    import asyncio

    from netkube.client.events import EventRecorder
    from netkube.client.http import Endpoint, HttpClient
    from netkube.client.informer import Informers
    from netkube.dns.resolvconf import ResolvConf
    from netkube.dns.resolver import Resolver
    from netkube.dns.server import serve
    from netkube.dns.upstream import Upstream
    from netkube.dns.zone import Zone

    client = HttpClient(Endpoint(socket_path=options.api_socket))
    upstream = Upstream(ResolvConf(options.resolv_conf, excluded=frozenset(options.listen)))
    asyncio.run(
        serve(
            Resolver(Zone(options.cluster_domain, options.listen), upstream),
            Informers(client),
            sockets,
            EventRecorder(client, 'netkube-dns'),
            on_ready=lambda: announce(options.ready_fd),
        )
    )


def announce(ready_fd: int | None) -> None:
    if ready_fd is not None:
        with contextlib.suppress(BrokenPipeError):  # whoever waited has gone; the answers are for others
            os.write(ready_fd, b'\n')
        os.close(ready_fd)


if __name__ == '__main__':
    main(sys.argv[1:])
