"""kubeconfig files: write the cluster's own, or merge it into the user's."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import yaml

from netkube.api.meta import Object


def kubeconfig(name: str, server: str, ca: bytes, certificate: bytes, key: bytes) -> Object:
    """A Config with one cluster, one user and one context, all called ``name``; PEM in, base64 inside."""

    def encoded(pem: bytes) -> str:
        return base64.b64encode(pem).decode()

    user = {'client-certificate-data': encoded(certificate), 'client-key-data': encoded(key)}
    return {
        'apiVersion': 'v1',
        'kind': 'Config',
        'clusters': [{'name': name, 'cluster': {'server': server, 'certificate-authority-data': encoded(ca)}}],
        'users': [{'name': name, 'user': user}],
        'contexts': [{'name': name, 'context': {'cluster': name, 'user': name}}],
        'current-context': name,
    }


def merge(into: Object, config: Object) -> Object:
    """``into`` with the entries of ``config`` added or replaced by name, and its context made the current one."""
    merged = {'apiVersion': 'v1', 'kind': 'Config', 'preferences': {}, **into}
    for section in ('clusters', 'users', 'contexts'):
        names = {entry['name'] for entry in config[section]}
        kept = [entry for entry in merged.get(section) or [] if entry['name'] not in names]
        merged[section] = kept + config[section]
    merged['current-context'] = config['current-context']
    return merged


def write(path: Path, config: Object) -> None:
    """Replace the file at once, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'{path.name}.{os.getpid()}.tmp')
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, 'w') as file:
        yaml.safe_dump(config, file, sort_keys=False)
    os.replace(temporary, path)


def read(path: Path) -> Object:
    """An absent or empty file is an empty Config."""
    if not path.exists():
        return {}
    return yaml.safe_load(path.read_text()) or {}
