"""From a change in the API to the first packet that notices, in milliseconds; run in a client Pod's network namespace.

policy_latency.py SOCKET POD SERVER TIMES: each time the label ``role: friend`` of POD comes and goes again, by a PATCH
to the API's unix socket, while datagrams go to the echo at SERVER:9000. Prints one time for each change.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time

PATIENCE = 0.02  # seconds without an answer: cut


class Api(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__('localhost')
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def patch(self, pod: str, patch: object) -> None:
        """``pod`` may end in /status."""
        url, headers = f'/api/v1/namespaces/default/pods/{pod}', {'content-type': 'application/merge-patch+json'}
        self.request('PATCH', url, json.dumps(patch), headers)
        answer = self.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()


def main() -> None:
    path, pod, server, times = sys.argv[1:]
    api, client = Api(path), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect((server, 9000))
    for _ in range(int(times)):
        for role in ('friend', None):
            began = time.monotonic()
            api.patch(pod, {'metadata': {'labels': {'role': role}}})
            print((noticed(client, role is not None) - began) * 1000)


def noticed(client: socket.socket, open: bool) -> float:
    """When the first answer came, or the last."""
    client.settimeout(0.0005 if open else PATIENCE)
    last = time.monotonic()
    while True:
        try:
            client.send(b'x')
            client.recv(100)
            last = time.monotonic()
            if open:
                return last
        except TimeoutError:
            if not open:
                return last


if __name__ == '__main__':
    main()
