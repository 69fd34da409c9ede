"""Which Pods and containers a command means: ``web-1``, ``pod/web-1``, ``deploy/web``, or a label selector."""

from __future__ import annotations

import click

from netkube.api import resources
from netkube.api.meta import Object
from netkube.api.resources import Resource
from netkube.cli.connection import Connection
from netkube.cli.targets import parse_resource

DEFAULT_CONTAINER = 'kubectl.kubernetes.io/default-container'


def find_pods(connection: Connection, namespace: str, word: str) -> list[Object]:
    """The Pod named, or those of the workload or Service named; ready ones first. ApiError when there is none such."""
    kind, _, name = word.rpartition('/')
    resource = parse_resource(kind, connection) if kind else resources.PODS
    obj = connection.get(resource.path(namespace, name))
    if resource is not resources.PODS and not obj.get('spec', {}).get('selector'):
        raise click.ClickException(f'cannot find the pods of a {resource.kind}')
    pods = pods_of(connection, resource, obj)
    if not pods:
        raise click.ClickException(f'{resource.singular} "{name}" has no pods')
    return sorted(pods, key=lambda pod: not _is_ready(pod))


def pods_of(connection: Connection, resource: Resource, obj: Object) -> list[Object]:
    """The Pods that a workload's or Service's selector selects now; of a Pod, itself. [] when none is left."""
    namespace, name = obj['metadata']['namespace'], obj['metadata']['name']
    if resource is resources.PODS:
        return connection.get(resource.path(namespace), fieldSelector=f'metadata.name={name}')['items']
    return select_pods(connection, namespace, _as_text(obj['spec']['selector']))


def select_pods(connection: Connection, namespace: str, selector: str) -> list[Object]:
    return connection.get(resources.PODS.path(namespace), labelSelector=selector)['items']


def containers(pod: Object) -> list[str]:
    return [container['name'] for container in pod['spec']['containers']]


def default_container(pod: Object) -> str:
    """The annotated container or the first one; says which when there was a choice, as kubectl does."""
    names = containers(pod)
    annotated = (pod['metadata'].get('annotations') or {}).get(DEFAULT_CONTAINER)
    if annotated in names:
        return annotated
    if len(names) > 1:
        click.echo(f'Defaulted container "{names[0]}" out of: {", ".join(names)}', err=True)
    return names[0]


def _is_ready(pod: Object) -> bool:
    return any(c['type'] == 'Ready' and c['status'] == 'True' for c in pod.get('status', {}).get('conditions', ()))


def _as_text(selector: Object) -> str:
    """A Service's map or a workload's LabelSelector in the selector grammar."""
    labels = selector.get('matchLabels', {}) if {'matchLabels', 'matchExpressions'} & set(selector) else selector
    parts = [f'{key}={value}' for key, value in labels.items()]
    for rule in selector.get('matchExpressions') or () if labels is not selector else ():
        key, values = rule['key'], ','.join(rule.get('values') or ())
        forms = {
            'In': f'{key} in ({values})',
            'NotIn': f'{key} notin ({values})',
            'Exists': key,
            'DoesNotExist': f'!{key}',
        }
        parts.append(forms[rule['operator']])
    return ','.join(parts)
