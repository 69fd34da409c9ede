"""Writing a Pod's status: only when it differs, and never over something newer."""

from __future__ import annotations

from collections.abc import Callable

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import PODS
from netkube.client.interface import Client
from netkube.node.record import PodRecord


async def write_status(client: Client, record: PodRecord, make: Callable[[Object], Object]) -> None:
    """``make`` computes the status from the newest Pod, again after each Conflict. A Pod that has gone needs none."""
    conflict = False
    while record.pod is not None:
        status = make(record.pod)
        if status == record.pod.get('status'):
            return
        try:
            record.pod = await client.update(PODS, {**record.pod, 'status': status}, 'status')
            record.written = '' if conflict else record.pod['metadata']['resourceVersion']
            return
        except ApiError as error:
            if error.code == 404:
                return
            if error.code != 409:
                raise
        conflict = True
        newest = await client.get(PODS, *record.key)
        if newest['metadata']['uid'] != record.uid:
            return
        record.see_pod(newest)


async def report_gone(client: Client, record: PodRecord) -> None:
    """Nothing is left of a deleted Pod: the API may forget it."""
    namespace, name = record.key
    try:
        await client.delete(PODS, namespace, name, uid=record.uid, grace_period_seconds=0)
    except ApiError as error:
        if error.code not in (404, 409):  # gone already; another Pod has the name
            raise
    record.gone = True
