"""What a component reports about an object, as it stands in the API."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from netkube.api.meta import Object
from netkube.api.resources import EVENTS
from netkube.apiserver.registry import Registry
from netkube.client.events import EventRecorder
from netkube.testing import eventually, memory_api
from netkube.testing.objects import pod


@asynccontextmanager
async def recording() -> AsyncIterator[tuple[Registry, EventRecorder]]:
    async with memory_api() as api:
        recorder = EventRecorder(api, 'tester', 'node')
        task = asyncio.create_task(recorder.run())
        yield api, recorder
        task.cancel()
        await asyncio.wait([task])


async def events(api: Registry) -> list[Object]:
    return (await api.list(EVENTS)).items


async def test_what_repeats_is_counted_in_one_object() -> None:
    async with recording() as (api, recorder):
        for text in ('one', 'two', 'one'):
            recorder.event(pod('p'), 'Warning', 'BackOff', text)
        await eventually(lambda: written(api, {'one': 2, 'two': 1}))
        recorder.event(pod('p'), 'Warning', 'BackOff', 'two')
        await eventually(lambda: written(api, {'one': 2, 'two': 2}))
        (first, _) = await events(api)
        assert (first['source'], first['type']) == ({'component': 'tester', 'host': 'node'}, 'Warning')


async def written(api: Registry, counts: dict[str, int]) -> bool:
    return {event['message']: event['count'] for event in await events(api)} == counts


async def test_an_event_that_is_written_is_not_kept() -> None:
    async with recording() as (api, recorder):
        names = ('a', 'b', 'c')
        for name in names:
            recorder.event(pod('p'), 'Normal', 'Started', f'Started container {name}')
        await eventually(lambda: written(api, {f'Started container {name}': 1 for name in names}))
        kept = [one for one in gc.get_objects() if isinstance(one, dict) and one.get('reason') == 'Started']
        ours = [one for one in kept if 'reportingComponent' in one and 'uid' not in one['metadata']]
        assert len(ours) <= 1  # the last one


async def test_what_repeats_after_it_has_expired_is_made_again() -> None:
    async with recording() as (api, recorder):
        recorder.event(pod('p'), 'Warning', 'BackOff', 'one')
        await eventually(lambda: written(api, {'one': 1}))
        (event,) = await events(api)
        await api.delete(EVENTS, 'default', event['metadata']['name'])
        recorder.event(pod('p'), 'Warning', 'BackOff', 'one')
        await eventually(lambda: written(api, {'one': 2}))
