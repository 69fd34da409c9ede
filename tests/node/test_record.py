"""What a Node's agent takes for news."""

from __future__ import annotations

from netkube.node.record import PodRecord
from netkube.runtime.cri import CREATED, EXITED, RUNNING, ContainerStatus

CONTAINER = ContainerStatus(
    id='c', sandbox_id='u', name='main', attempt=0, state=RUNNING, pid=7, created_at='', annotations={}
)


def test_what_is_known_is_no_news() -> None:
    record = PodRecord('u', ('default', 'p'))
    assert record.see_container(CONTAINER)
    assert not record.see_container(CONTAINER)


def test_an_older_state_is_no_news() -> None:
    record = PodRecord('u', ('default', 'p'))
    assert record.see_container(CONTAINER._replace(state=EXITED, pid=0))
    assert not record.see_container(CONTAINER)
    assert not record.see_container(CONTAINER._replace(state=CREATED, pid=0))
    assert record.containers['c'].state == EXITED
