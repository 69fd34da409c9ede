"""The start of an agent: find again what an earlier life left running, and remove what nobody can want any more."""

from __future__ import annotations

import asyncio

from netkube.node.network import NodeNetwork, link_name
from netkube.node.record import PodRecords
from netkube.node.sandboxes import Sandboxes
from netkube.runtime.client import RuntimeClient


async def adopt_pods(
    records: PodRecords, runtime: RuntimeClient, network: NodeNetwork, sandboxes: Sandboxes, wanted: set[str]
) -> None:
    """A record for each sandbox of the runtime, with its containers; ``wanted`` are the uids of this Node's Pods.

    Sandboxes of other Pods get a record too: their containers have to be stopped first.
    """
    ports = await network.ports()
    found = await runtime.list_pod_sandboxes()
    for sandbox in found:
        record = records.ensure(sandbox.id, (sandbox.namespace, sandbox.name))
        await sandboxes.adopt(record, sandbox, ports)
    for status in await runtime.list_containers():
        known = records.find(status.sandbox_id)
        if known is not None and known.sandbox:
            known.see_container(status)
    uids = {sandbox.id for sandbox in found}
    for link in ports - {link_name(uid) for uid in uids}:
        await network.unplug_link(link)
    for uid in await asyncio.to_thread(sandboxes.known_directories) - wanted - uids:
        await sandboxes.remove_files(uid)
