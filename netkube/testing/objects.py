"""Objects as a user writes them, with no more than they need."""

from __future__ import annotations

from typing import Any

from netkube.api.meta import Object

ECHO = """
import os, socketserver
class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        while (line := self.rfile.readline()) not in (b'\\r\\n', b'\\n', b''):
            pass
        body = os.uname().nodename.encode() + b'\\n'
        self.wfile.write(b'HTTP/1.0 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(body) + body)
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer.request_queue_size = 128
socketserver.ThreadingTCPServer(('', 80), Answer).serve_forever()
"""


def container(*command: str, name: str = 'main', **fields: Any) -> Object:
    return {'name': name, 'image': 'none', 'command': list(command), **fields}


def server(**fields: Any) -> Object:
    """A container that answers HTTP on port 80 with its Pod's name, ready when it listens."""
    probe = {'tcpSocket': {'port': 80}, 'periodSeconds': 1}
    return container('python3', '-c', ECHO, name='server', readinessProbe=probe, **fields)


def pod(name: str, *containers: Object, namespace: str = 'default', **spec: Any) -> Object:
    """Labelled ``app: NAME``; without containers it sleeps. Its end needs no grace."""
    return {
        'apiVersion': 'v1',
        'kind': 'Pod',
        'metadata': {'name': name, 'namespace': namespace, 'labels': {'app': name}},
        'spec': _pod_spec(containers, spec),
    }


def deployment(
    name: str, *containers: Object, replicas: int = 1, namespace: str = 'default', **spec: Any
) -> Object:
    """Its Pods are labelled ``app: NAME``."""
    labels = {'app': name}
    return {
        'apiVersion': 'apps/v1',
        'kind': 'Deployment',
        'metadata': {'name': name, 'namespace': namespace, 'labels': labels},
        'spec': {
            'replicas': replicas,
            'selector': {'matchLabels': labels},
            'template': {'metadata': {'labels': labels}, 'spec': _pod_spec(containers, spec)},
        },
    }


def service(
    name: str, port: int, target_port: int | str = 0, *, protocol: str = 'TCP', namespace: str = 'default', **spec: Any
) -> Object:
    """Before the Pods labelled ``app: NAME``."""
    return {
        'apiVersion': 'v1',
        'kind': 'Service',
        'metadata': {'name': name, 'namespace': namespace},
        'spec': {
            'selector': {'app': name},
            'ports': [{'port': port, 'targetPort': target_port or port, 'protocol': protocol}],
            **spec,
        },
    }


def config_map(name: str, namespace: str = 'default', **data: str) -> Object:
    metadata = {'name': name, 'namespace': namespace}
    return {'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': metadata, 'data': data}


def _pod_spec(containers: tuple[Object, ...], spec: Object) -> Object:
    return {
        'terminationGracePeriodSeconds': 0,
        'containers': list(containers) or [container('sleep', 'inf')],
        **spec,
    }
