"""Liveness, readiness and startup probes: when to ask, and what the answers add up to.

Source: kubernetes pkg/kubelet/prober/worker.go. One task for each probe of a running container, no process for
any but exec.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from netkube.api.meta import Object
from netkube.node.handlers import HandlerFailed, Handlers, Target

STARTUP, LIVENESS, READINESS = 'startup', 'liveness', 'readiness'
KINDS = (STARTUP, LIVENESS, READINESS)
FIRST_RETRY = 0.02  # seconds; a Pod that is not ready yet is asked more often, as the kubelet may


class ProbeSpec(msgspec.Struct, frozen=True):
    """``v1.Probe`` in seconds and counts."""

    kind: str
    handler: dict[str, Any]
    initial_delay: float
    period: float
    timeout: float
    success_threshold: int
    failure_threshold: int

    @property
    def is_cheap(self) -> bool:
        """Asking makes no process."""
        return 'exec' not in self.handler


def parse_probes(container: Object) -> Iterator[ProbeSpec]:
    for kind in KINDS:
        probe = container.get(f'{kind}Probe')
        if probe:
            yield ProbeSpec(
                kind,
                probe,
                probe.get('initialDelaySeconds', 0),
                probe.get('periodSeconds') or 10,
                probe.get('timeoutSeconds') or 1,
                probe.get('successThreshold') or 1,
                probe.get('failureThreshold') or 3,
            )


class Thresholds(msgspec.Struct):
    """Single answers in, a verdict out: it changes after so many equal answers in a row."""

    spec: ProbeSpec
    verdict: bool | None  # None: not known yet
    _last: bool | None = None
    _row: int = 0

    def add(self, success: bool) -> bool:
        """Take one answer; True if the verdict changed."""
        self._row = self._row + 1 if success == self._last else 1
        self._last = success
        needed = self.spec.success_threshold if success else self.spec.failure_threshold
        if self._row < needed or self.verdict == success:
            return False
        self.verdict = success
        return True


class ContainerProbes:
    """The probes of one running container. ``run`` ends when they have nothing more to say.

    ``changed`` is called whenever ``started``, ``ready`` or ``failed`` has; ``report`` with the kind and the message
    of each failed answer that counts.
    """

    def __init__(
        self,
        target: Target,
        handlers: Handlers,
        *,
        running_for: Callable[[], float],
        changed: Callable[[], None],
        report: Callable[[str, str], None],
        was_started: bool = False,
        was_ready: bool = False,
    ) -> None:
        """``was_started`` and ``was_ready``: what an earlier life of the agent knew of this same container."""
        specs = {spec.kind: spec for spec in parse_probes(target.container)}
        self._specs = specs
        self._target, self._handlers = target, handlers
        self._running_for, self._changed, self._report = running_for, changed, report
        self.started = STARTUP not in specs or was_started
        self.ready = READINESS not in specs or was_ready
        self.failed = ''  # LIVENESS or STARTUP: the container has to be restarted

    @property
    def needed(self) -> bool:
        return bool(self._specs)

    async def run(self) -> None:
        if not self.started and not await self._await_startup(self._specs[STARTUP]):
            return
        async with asyncio.TaskGroup() as tasks:
            if LIVENESS in self._specs:
                tasks.create_task(self._watch_liveness(self._specs[LIVENESS]))
            if READINESS in self._specs:
                tasks.create_task(self._watch_readiness(self._specs[READINESS]))

    async def _await_startup(self, spec: ProbeSpec) -> bool:
        verdict = Thresholds(spec, None)
        async for _ in self._ticks(spec):
            if verdict.add(await self._ask(spec)):
                self.started = verdict.verdict is True
                self.failed = '' if self.started else STARTUP
                self._changed()
                return self.started
        return False

    async def _watch_liveness(self, spec: ProbeSpec) -> None:
        verdict = Thresholds(spec, True)
        async for _ in self._ticks(spec):
            if verdict.add(await self._ask(spec)):
                self.failed = LIVENESS
                self._changed()
                return

    async def _watch_readiness(self, spec: ProbeSpec) -> None:
        verdict = Thresholds(spec, self.ready)
        await self._until(spec.initial_delay)
        if not self.ready and spec.is_cheap and spec.success_threshold == 1:
            await self._hurry(spec, verdict)
        async for _ in self._ticks(spec):
            self._set_ready(verdict, await self._ask(spec))

    async def _hurry(self, spec: ProbeSpec, verdict: Thresholds) -> None:
        """For the first period ask ever more rarely; only a success counts, a failure is not reported."""
        pause, deadline = FIRST_RETRY, self._running_for() + spec.period
        while self._running_for() < deadline:
            if await self._ask(spec, quiet=True):
                self._set_ready(verdict, True)
                break
            await asyncio.sleep(pause)
            pause *= 1.5
        await self._until(deadline)

    def _set_ready(self, verdict: Thresholds, success: bool) -> None:
        if verdict.add(success):
            self.ready = success
            self._changed()

    async def _ticks(self, spec: ProbeSpec):  # type: ignore[no-untyped-def]
        """One at the end of the initial delay, then one a period; an answer that takes longer delays the next."""
        await self._until(spec.initial_delay)
        while True:
            began = self._running_for()
            yield
            await self._until(began + spec.period)

    async def _until(self, running_for: float) -> None:
        await asyncio.sleep(max(0.0, running_for - self._running_for()))

    async def _ask(self, spec: ProbeSpec, *, quiet: bool = False) -> bool:
        try:
            await self._handlers.run(spec.handler, self._target, spec.timeout)
        except HandlerFailed as error:
            if not quiet:
                self._report(spec.kind, str(error))
            return False
        return True


def seconds_since(at: datetime, now: Callable[[], datetime]) -> Callable[[], float]:
    return lambda: (now() - at).total_seconds()
