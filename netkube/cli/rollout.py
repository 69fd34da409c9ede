"""Waiting until what was applied is there: Deployments rolled out, Pods ready."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import click

from netkube.api import resources
from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import Resource
from netkube.cli.connection import Connection
from netkube.cli.output import qualified_name
from netkube.cli.pods import pods_of


def pending_deployment(obj: Object) -> str:
    """What a Deployment still waits for, '' when it is rolled out; kubectl's rollout status, in its words."""
    spec, status = obj['spec'], obj.get('status', {})
    if status.get('observedGeneration', 0) < obj['metadata'].get('generation', 0):
        return 'waiting for deployment spec update to be observed'
    wanted, updated = spec.get('replicas', 1), status.get('updatedReplicas', 0)
    if updated < wanted:
        return f'{updated} out of {wanted} new replicas have been updated'
    if (old := status.get('replicas', 0) - updated) > 0:
        return f'{old} old replicas are pending termination'
    if (available := status.get('availableReplicas', 0)) < updated:
        return f'{available} of {updated} updated replicas are available'
    return ''


def pending_replicaset(obj: Object) -> str:
    wanted, available = obj['spec'].get('replicas', 1), obj.get('status', {}).get('availableReplicas', 0)
    return '' if available >= wanted else f'{available} of {wanted} replicas are available'


def pending_pod(obj: Object) -> str:
    status = obj.get('status', {})
    ready = any(c['type'] == 'Ready' and c['status'] == 'True' for c in status.get('conditions', ()))
    return (
        '' if ready or status.get('phase') == 'Succeeded' else f'the pod is {status.get("phase", "Pending")}, not ready'
    )


def pending_definition(obj: Object) -> str:
    conditions = obj.get('status', {}).get('conditions', ())
    established = any(c['type'] == 'Established' and c['status'] == 'True' for c in conditions)
    wrong = next((c['message'] for c in conditions if c['type'] == 'NamesAccepted' and c['status'] == 'False'), '')
    return '' if established else wrong or 'the definition is not established'


def pending_custom(obj: Object) -> str:
    """By the conventions that kstatus reads: observedGeneration, and condition Ready where there is one."""
    status = obj.get('status') or {}
    if status.get('observedGeneration', obj['metadata']['generation']) < obj['metadata']['generation']:
        return 'its controller has not seen the change'
    ready = next((c for c in status.get('conditions') or () if c['type'] == 'Ready'), None)
    return '' if ready is None or ready['status'] == 'True' else ready.get('message') or 'it is not ready'


WITH_PODS = (resources.DEPLOYMENTS, resources.REPLICASETS, resources.PODS)
PENDING: dict[Resource, Callable[[Object], str]] = {
    resources.DEPLOYMENTS: pending_deployment,
    resources.REPLICASETS: pending_replicaset,
    resources.PODS: pending_pod,
    resources.CUSTOMRESOURCEDEFINITIONS: pending_definition,
}


def pending(resource: Resource) -> Callable[[Object], str] | None:
    """What says what an object waits for; None for a kind that is ready when it is there."""
    return PENDING.get(resource) or (pending_custom if resource not in resources.SERVED else None)


def wait_ready(connection: Connection, applied: list[tuple[Resource, Object]], timeout: float) -> bool:
    """Whether each object got ready in time; says on standard error which did not, and why."""
    deadline = time.monotonic() + timeout
    ready = True
    for resource, obj in applied:
        if pending(resource):
            problem = _wait(connection, resource, obj, deadline)
            if problem:
                click.echo(f'error: {qualified_name(resource, obj["metadata"]["name"])}: {problem}', err=True)
                _explain(connection, resource, obj)
                ready = False
    return ready


def _wait(connection: Connection, resource: Resource, obj: Object, deadline: float) -> str:
    """'' once ready, else what it still waited for at the deadline."""
    judge = pending(resource)
    assert judge is not None
    metadata = obj['metadata']
    only = f'metadata.name={metadata["name"]}'
    path = resource.path(metadata.get('namespace'))
    listed = connection.get(path, fieldSelector=only)
    if not listed['items']:
        return 'it has been deleted'
    waits_for = judge(listed['items'][0])
    version = listed['metadata']['resourceVersion']
    _progress(metadata['name'], waits_for)
    try:
        if waits_for:
            seconds = max(deadline - time.monotonic(), 0.001)
            for line in connection.stream(
                path, timeout=seconds, watch=True, resourceVersion=version, fieldSelector=only
            ):
                event = json.loads(line)
                if event['type'] == 'ERROR':
                    raise ApiError.from_status(event['object'])
                if event['type'] == 'DELETED':
                    return 'it has been deleted'
                waits_for = judge(event['object'])
                _progress(metadata['name'], waits_for)
                if not waits_for or time.monotonic() > deadline:
                    break
    except TimeoutError:
        pass
    finally:
        _progress('', '')
    return waits_for and f'timed out: {waits_for}'


def _progress(name: str, pending: str) -> None:
    """One line on a terminal, rewritten in place; nothing in a pipe."""
    if sys.stderr.isatty():
        click.echo(f'\r\033[K{name}: {pending}' if pending else '\r\033[K', nl=False, err=True)


def _explain(connection: Connection, resource: Resource, obj: Object) -> None:
    """Which of its containers hold things up, in the kubelet's words."""
    for pod in pods_of(connection, resource, obj) if resource in WITH_PODS else ():
        for container in pod.get('status', {}).get('containerStatuses', ()):
            waiting = container.get('state', {}).get('waiting')
            if waiting and waiting.get('reason') != 'ContainerCreating':
                where = f'pod {pod["metadata"]["name"]}, container {container["name"]}'
                click.echo(f'  {where}: {waiting["reason"]}: {waiting.get("message", "")}', err=True)
