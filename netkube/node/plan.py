"""What to do about one Pod: pure, from what is wanted, what runs, and the time.

A plan holds only what can be done now. Carrying it out changes what is observed, and the next plan goes on
from there, so a plan never has to foresee its own effects. Source: kubernetes
pkg/kubelet/kuberuntime/kuberuntime_manager.go (computePodActions, doBackOff).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

import msgspec

from netkube.api.meta import Object, parse_timestamp
from netkube.node.podspec import (
    IMAGE_ANNOTATION,
    all_containers,
    current_round,
    finished_at,
    init_containers,
    is_sidecar,
    latest,
    main_containers,
    ran_for,
    restarts_after,
    restarts_all_after,
    restarts_of,
    round_of,
)
from netkube.runtime.cri import CREATED, EXITED, RUNNING, ContainerStatus

FIRST_BACKOFF, MAX_BACKOFF = 10, 300  # seconds
RESET_AFTER = timedelta(seconds=2 * MAX_BACKOFF)  # a container that ran this long has recovered
NO_IMAGE = 'ErrImageNeverPull'


class CreateSandbox(msgspec.Struct, frozen=True):
    """Address, network namespace, veth, volumes."""


class StartContainer(msgspec.Struct, frozen=True):
    name: str
    attempt: int
    restarts: int  # in a row, this one included: the place in the back-off
    round: int = 0  # how often the whole Pod has been restarted in its place


class StopContainer(msgspec.Struct, frozen=True):
    id: str
    name: str
    message: str  # of the Killing event
    probe: str = ''  # 'liveness' or 'startup' when that is why: the probe may have a grace period of its own
    since: datetime | None = None  # when the grace period began, if not now
    abrupt: bool = False  # killed at once, without its preStop hook
    grace: int | None = None  # seconds, whatever the Pod says


class RemoveContainer(msgspec.Struct, frozen=True):
    """The runtime forgets an attempt that nobody can ask for any more."""

    id: str


class RemoveSandbox(msgspec.Struct, frozen=True):
    """Nothing runs any more: give back the address, the network namespace, the runtime's records."""


Action = CreateSandbox | StartContainer | StopContainer | RemoveContainer | RemoveSandbox


class Waiting(msgspec.Struct, frozen=True):
    """Why a container does not run: its ``state.waiting``."""

    reason: str
    message: str = ''
    until: datetime | None = None  # when to try again; None is when something changes


class Observed(msgspec.Struct, frozen=True):
    """One Pod as it is on the Node."""

    sandbox: bool = False  # it exists in the runtime
    containers: tuple[ContainerStatus, ...] = ()  # all attempts that are remembered
    refused: Mapping[str, Waiting] = msgspec.field(default_factory=dict)  # by container: the last try did not start it
    failed_probes: Mapping[str, str] = msgspec.field(default_factory=dict)  # container id -> 'liveness' or 'startup'
    started: frozenset[str] = frozenset()  # ids of running containers whose startup probe (if any) has succeeded
    stopping: frozenset[str] = frozenset()  # ids that have been told to stop


class Plan(msgspec.Struct, frozen=True):
    actions: tuple[Action, ...] = ()
    waiting: Mapping[str, Waiting] = msgspec.field(default_factory=dict)  # by container name
    look_again: datetime | None = None


def plan_pod(pod: Object, observed: Observed, now: datetime) -> Plan:
    """The way to a running Pod."""
    round = current_round(pod, observed.containers)
    if earlier := [c for c in _running(observed) if round_of(c) < round]:
        return Plan(tuple(_restart_all(observed, earlier)), look_again=deadline_of(pod))
    ended, observed = observed.containers, of_round(observed, round)
    if not needs_to_run(pod, observed):
        return plan_end(observed, pod, _ended_at(pod, observed)) if _running(observed) else Plan()
    actions: list[Action] = []
    waiting: dict[str, Waiting] = {}
    for container, init in _due(pod, observed):
        decision = _decide(pod, container, observed, now, Before(round, ended), init=init)
        if isinstance(decision, Waiting):
            waiting[container['name']] = decision
        elif decision is not None:
            actions.append(decision)
    if not observed.sandbox and any(isinstance(action, StartContainer) for action in actions):
        return Plan((CreateSandbox(),), waiting)
    return Plan((*actions, *_outdated(pod, ended)), waiting, _earliest(waiting, deadline_of(pod)))


class Before(msgspec.Struct, frozen=True):
    """What the Pod has behind it: earlier rounds count for attempts and back-off."""

    round: int
    containers: tuple[ContainerStatus, ...]


def of_round(observed: Observed, round: int) -> Observed:
    """As if the containers of earlier rounds had never been: a Pod that restarts as a whole begins anew."""
    now = tuple(container for container in observed.containers if round_of(container) == round)
    return observed if len(now) == len(observed.containers) else msgspec.structs.replace(observed, containers=now)


def _restart_all(observed: Observed, running: list[ContainerStatus]) -> Iterator[StopContainer]:
    """Abruptly, as KEP-5532 has it: a restart in place is meant to be fast."""
    for container in running:
        if container.id not in observed.stopping:
            message = f'Stopping container {container.name} to restart all containers'
            yield StopContainer(container.id, container.name, message, abrupt=True)


def plan_end(observed: Observed, pod: Object | None = None, since: datetime | None = None) -> Plan:
    """The way to a Pod of which nothing is left: stop all containers, then remove the sandbox.

    Sidecars end last, in the opposite order of their start, each when those that came after it have ended (KEP-753);
    the grace period, which began at ``since`` (or now), is one for all. The end of each container is an event of the
    runtime, so there is no time to look again.
    """
    running = _running(observed)
    if not running:
        return Plan((RemoveSandbox(),) if observed.sandbox else ())
    names = {container.name for container in running}
    sidecars = _sidecars(pod) if pod is not None else []
    due = names - set(sidecars) or {next(name for name in reversed(sidecars) if name in names)}
    return Plan(
        tuple(
            StopContainer(c.id, c.name, f'Stopping container {c.name}', since=since)
            for c in running
            if c.name in due and c.id not in observed.stopping
        )
    )


def _sidecars(pod: Object) -> list[str]:
    return [container['name'] for container in init_containers(pod) if is_sidecar(container)]


def _ended_at(pod: Object, observed: Observed) -> datetime | None:
    """When the last container that was not a sidecar ended."""
    ends = (finished_at(c) for c in observed.containers if c.name not in _sidecars(pod))
    return max((end for end in ends if end is not None), default=None)


def needs_to_run(pod: Object, observed: Observed) -> bool:
    """False once every container has ended for good, or an init container has failed for good."""
    for container in init_containers(pod):
        last = latest(observed.containers, container['name'])
        failed = last is not None and last.state == EXITED and last.exit_code != 0
        if failed and last and not restarts_after(pod, container, last.exit_code, init=True):
            return False
    return not all(_is_over(pod, container, observed) for container in main_containers(pod))


def is_past_deadline(pod: Object, now: datetime) -> bool:
    """``activeDeadlineSeconds`` have gone by."""
    deadline = deadline_of(pod)
    return deadline is not None and now >= deadline


def backoff_seconds(ended: ContainerStatus) -> int:
    """How long after its end a container is started again: at once, then 10 s, doubling to 300 s.

    It starts anew for a container that ran for ten minutes.
    """
    restarts = restarts_of(ended)
    if restarts == 0 or ran_for(ended) >= RESET_AFTER:
        return 0
    return min(FIRST_BACKOFF * 2 ** min(restarts - 1, 10), MAX_BACKOFF)


def _is_over(pod: Object, container: Object, observed: Observed) -> bool:
    last = latest(observed.containers, container['name'])
    return last is not None and last.state == EXITED and not restarts_after(pod, container, last.exit_code)


def _running(observed: Observed) -> list[ContainerStatus]:
    return [container for container in observed.containers if container.state == RUNNING]


def _due(pod: Object, observed: Observed) -> Iterator[tuple[Object, bool]]:
    """The containers whose turn it is, each with whether it is an init container.

    Init containers go one after the other, a sidecar counting as done once it has started; a Pod whose main
    containers have begun does not go back to its init containers unless it lost its sandbox.
    """
    begun = observed.sandbox and any(latest(observed.containers, c['name']) for c in main_containers(pod))
    for container in init_containers(pod):
        last = latest(observed.containers, container['name'])
        if is_sidecar(container):
            yield container, True
            if not begun and (last is None or last.id not in observed.started):
                return
        elif not begun and not (last is not None and last.state == EXITED and last.exit_code == 0):
            yield container, True
            return
    for container in main_containers(pod):
        yield container, False


def _decide(
    pod: Object, container: Object, observed: Observed, now: datetime, before: Before, *, init: bool
) -> StartContainer | StopContainer | Waiting | None:
    """What one container needs; None when it is as it should be."""
    if not container.get('command'):
        return _no_image(container)
    name, last = container['name'], latest(observed.containers, container['name'])
    if last is not None and last.state == RUNNING:
        return _keep_or_stop(pod, container, last, observed)
    if last is not None and last.state == EXITED and not restarts_after(pod, container, last.exit_code, init=init):
        return None
    past = latest(before.containers, name)
    if past is not None and past.state == EXITED:
        begins_anew = last is None and not restarts_all_after(container, past.exit_code)
        if not begins_anew and (backing_off := _back_off(pod, past, now)):
            return backing_off
    refused = observed.refused.get(name)
    if refused is not None and refused.until is not None and refused.until > now:
        return refused
    return _start(name, past, before.round)


def _start(name: str, last: ContainerStatus | None, round: int) -> StartContainer:
    if last is None:
        return StartContainer(name, 0, 0, round)
    if last.state == CREATED:  # the daemon died between creating and starting it
        return StartContainer(name, last.attempt, restarts_of(last), round)
    recovered = ran_for(last) >= RESET_AFTER
    return StartContainer(name, last.attempt + 1, 1 if recovered else restarts_of(last) + 1, round)


def _keep_or_stop(pod: Object, container: Object, running: ContainerStatus, observed: Observed) -> StopContainer | None:
    if running.id in observed.stopping:
        return None
    name, probe = container['name'], observed.failed_probes.get(running.id, '')
    if running.annotations.get(IMAGE_ANNOTATION, container.get('image', '')) != container.get('image', ''):
        return StopContainer(running.id, name, f'Container {name} definition changed, will be restarted')
    if probe:
        will = ', will be restarted' if restarts_after(pod, container, 1) else ''
        return StopContainer(running.id, name, f'Container {name} failed {probe} probe{will}', probe)
    return None


def _back_off(pod: Object, ended: ContainerStatus, now: datetime) -> Waiting | None:
    end, seconds = finished_at(ended), backoff_seconds(ended)
    if end is None or now >= end + timedelta(seconds=seconds):
        return None
    metadata = pod['metadata']
    who = f'container={ended.name} pod={metadata["name"]}_{metadata["namespace"]}({metadata["uid"]})'
    message = f'back-off {go_duration(seconds)} restarting failed {who}'
    return Waiting('CrashLoopBackOff', message, end + timedelta(seconds=seconds))


def go_duration(seconds: int) -> str:
    """``10s``, ``1m20s``, ``5m0s``: time.Duration's String."""
    minutes, rest = divmod(seconds, 60)
    return f'{minutes}m{rest}s' if minutes else f'{rest}s'


def _no_image(container: Object) -> Waiting:
    message = (
        f'Container image "{container.get("image", "")}" is not present: netkube has no images, programs come from '
        f'this machine. Give container "{container["name"]}" a command that exists here, or give the image a program: '
        f'netkube up --images FILE'
    )
    return Waiting(NO_IMAGE, message)


def _outdated(pod: Object, containers: tuple[ContainerStatus, ...]) -> Iterator[RemoveContainer]:
    """All attempts but the last and the one before it, which ``lastState`` and ``logs --previous`` still show."""
    for container in all_containers(pod):
        attempts = sorted((c for c in containers if c.name == container['name']), key=lambda c: c.attempt)
        for old in attempts[:-2]:
            yield RemoveContainer(old.id)


def deadline_of(pod: Object) -> datetime | None:
    """``activeDeadlineSeconds`` after the start that has been reported."""
    seconds = pod['spec'].get('activeDeadlineSeconds')
    start = (pod.get('status') or {}).get('startTime')
    if seconds is None or not start:
        return None
    return parse_timestamp(start) + timedelta(seconds=seconds)


def _earliest(waiting: Mapping[str, Waiting], deadline: datetime | None) -> datetime | None:
    """A deadline that goes by while a plan is made counts, too: nobody else would look again."""
    times = [wait.until for wait in waiting.values() if wait.until is not None]
    if deadline is not None:
        times.append(deadline)
    return min(times, default=None)
