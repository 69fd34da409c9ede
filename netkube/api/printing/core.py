"""Rows of Namespaces, ConfigMaps, Secrets, ServiceAccounts and Leases."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netkube.api.durations import age
from netkube.api.meta import Object


def _row(obj: Object, now: datetime, *cells: Any) -> list[Any]:
    return [obj['metadata']['name'], *cells, age(obj['metadata'].get('creationTimestamp'), now)]


def print_namespace(namespace: Object, now: datetime) -> list[Any]:
    return _row(namespace, now, namespace.get('status', {}).get('phase', ''))


def print_configmap(configmap: Object, now: datetime) -> list[Any]:
    return _row(configmap, now, len(configmap.get('data') or ()) + len(configmap.get('binaryData') or ()))


def print_secret(secret: Object, now: datetime) -> list[Any]:
    return _row(secret, now, secret.get('type', ''), len(secret.get('data') or ()))


def print_serviceaccount(serviceaccount: Object, now: datetime) -> list[Any]:
    return _row(serviceaccount, now, len(serviceaccount.get('secrets') or ()))


def print_lease(lease: Object, now: datetime) -> list[Any]:
    return _row(lease, now, lease.get('spec', {}).get('holderIdentity', ''))
