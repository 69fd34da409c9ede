"""What a Node's agent takes for its own word when the API tells it: a status that says all of the newest Pod."""

from __future__ import annotations

from netkube.api.meta import key_of
from netkube.api.resources import PODS
from netkube.apiserver.registry import Registry
from netkube.node.record import PodRecord
from netkube.node.statuswriter import write_status
from netkube.testing import memory_api

CONTAINERS = [{'name': 'c', 'image': 'none'}]
RUNNING = {'phase': 'Running'}


async def record_of_a_new_pod(api: Registry) -> PodRecord:
    pod = {'metadata': {'name': 'p', 'namespace': 'default'}, 'spec': {'containers': CONTAINERS}}
    created = await api.create(PODS, pod)
    return PodRecord(created['metadata']['uid'], key_of(created), created)


async def test_a_status_of_the_newest_pod_is_the_agents_own_word() -> None:
    async with memory_api() as api:
        record = await record_of_a_new_pod(api)
        await write_status(api, record, lambda pod: RUNNING)
        written = await api.get(PODS, 'default', 'p')
        assert written['status'] == RUNNING | {'qosClass': 'BestEffort'}
        assert record.written == written['metadata']['resourceVersion']


async def test_a_change_that_came_in_between_has_not_been_looked_at() -> None:
    async with memory_api() as api:
        record = await record_of_a_new_pod(api)
        await api.patch(PODS, 'default', 'p', {'metadata': {'labels': {'seen': 'no'}}})
        await write_status(api, record, lambda pod: RUNNING)
        assert (await api.get(PODS, 'default', 'p'))['status']['phase'] == 'Running'
        assert record.written == ''


async def test_a_status_says_nothing_about_the_rest_of_the_pod() -> None:
    async with memory_api() as api:
        record = await record_of_a_new_pod(api)
        before = record.pod
        assert before is not None
        record.pod = {**before, 'spec': {'containers': []}}
        await write_status(api, record, lambda pod: RUNNING)
        assert (await api.get(PODS, 'default', 'p'))['spec'] == before['spec']
