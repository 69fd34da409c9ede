"""How a Deployment moves its replicas from old ReplicaSets to the new one: sizes in, sizes out.

Sources: pkg/controller/deployment/{rolling,sync,recreate}.go and util/deployment_util.go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec.structs import replace

from netkube.api.meta import Object

DESIRED_ANNOTATION = 'deployment.kubernetes.io/desired-replicas'
MAX_ANNOTATION = 'deployment.kubernetes.io/max-replicas'


class Strategy(msgspec.Struct, frozen=True):
    """What a Deployment asks for. ``max_surge`` and ``max_unavailable`` are Pods; both 0 unless it is rolling."""

    replicas: int
    rolling: bool = True
    max_surge: int = 0
    max_unavailable: int = 0

    @property
    def max_replicas(self) -> int:
        return self.replicas + self.max_surge

    @property
    def min_available(self) -> int:
        return self.replicas - self.max_unavailable


class Size(msgspec.Struct, frozen=True):
    """One ReplicaSet: what it should run (``replicas``) and what it does (its status)."""

    name: str
    replicas: int
    created: str = ''  # creationTimestamp: RFC 3339 sorts as text
    current: int = 0
    updated_generation: bool = True  # its controller has seen the latest spec
    ready: int = 0
    available: int = 0
    desired_annotation: int | None = None
    max_annotation: int | None = None


class Scaling(msgspec.Struct, frozen=True):
    """Set the ReplicaSet ``name`` to ``replicas``, and its annotations to the Deployment's numbers."""

    name: str
    replicas: int


def parse_strategy(deployment: Object) -> Strategy:
    spec = deployment['spec']
    replicas, strategy = spec.get('replicas', 1), spec.get('strategy') or {}
    if strategy.get('type', 'RollingUpdate') != 'RollingUpdate':
        return Strategy(replicas, rolling=False)
    rolling = strategy.get('rollingUpdate') or {}
    surge = scaled_value(rolling.get('maxSurge', '25%'), replicas, round_up=True)
    unavailable = scaled_value(rolling.get('maxUnavailable', '25%'), replicas, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1  # validation forbids two zeros, but two percentages may round to them
    return Strategy(replicas, True, surge, min(unavailable, replicas))


def scaled_value(value: int | str, total: int, *, round_up: bool) -> int:
    """An IntOrString: the number, or that percentage of ``total``."""
    if isinstance(value, int):
        return value
    share = int(value.removesuffix('%')) * total
    return -(-share // 100) if round_up else share // 100


def parse_size(replica_set: Object) -> Size:
    metadata, status = replica_set['metadata'], replica_set.get('status') or {}
    annotations = metadata.get('annotations') or {}
    return Size(
        name=metadata['name'],
        replicas=replica_set['spec'].get('replicas', 1),
        created=metadata.get('creationTimestamp', ''),
        current=status.get('replicas', 0),
        updated_generation=metadata.get('generation', 0) <= status.get('observedGeneration', 0),
        ready=status.get('readyReplicas', 0),
        available=status.get('availableReplicas', 0),
        desired_annotation=parse_number(annotations.get(DESIRED_ANNOTATION)),
        max_annotation=parse_number(annotations.get(MAX_ANNOTATION)),
    )


def parse_number(text: str | None) -> int | None:
    return int(text) if text is not None and text.lstrip('-').isdecimal() else None


def is_scaling_event(strategy: Strategy, sizes: Iterable[Size]) -> bool:
    """The Deployment was resized since its active ReplicaSets were last looked at."""
    active = (size for size in sizes if size.replicas > 0)
    return any(size.desired_annotation not in (None, strategy.replicas) for size in active)


def plan_scale(strategy: Strategy, new: Size | None, old: Sequence[Size]) -> list[Scaling]:
    """Sizes after a resize in the middle of a rollout, or while it is paused: proportional to what they were."""
    only = _active_or_latest(new, old)
    if only is not None:
        return [Scaling(only.name, strategy.replicas)]
    if new is not None and _is_saturated(strategy, new):
        return [Scaling(size.name, 0) for size in old if size.replicas > 0]
    if not strategy.rolling:
        return []
    return _plan_proportional(strategy, [size for size in _with_new(new, old) if size.replicas > 0])


def plan_rolling_update(strategy: Strategy, new: Size, old: Sequence[Size]) -> list[Scaling]:
    """The next step: more of the new, or else fewer of the old; [] when nothing may move yet."""
    target = new_replicas(strategy, new, old)
    if target != new.replicas:
        return [Scaling(new.name, target)]
    return _plan_old_down(strategy, new, [size for size in old if size.replicas > 0])


def plan_recreate(strategy: Strategy, new: Size | None, old: Sequence[Size]) -> list[Scaling]:
    """All old ones to 0 first; the new one only when the caller finds that no old Pod runs any more."""
    down = [Scaling(size.name, 0) for size in old if size.replicas > 0]
    if down or new is None or new.replicas == strategy.replicas:
        return down
    return [Scaling(new.name, strategy.replicas)]


def new_replicas(strategy: Strategy, new: Size, old: Sequence[Size]) -> int:
    """How large the new ReplicaSet may be now."""
    if not strategy.rolling or new.replicas >= strategy.replicas:
        return strategy.replicas
    room = strategy.max_replicas - new.replicas - sum(size.replicas for size in old)
    return min(new.replicas + max(room, 0), strategy.replicas)


def _plan_old_down(strategy: Strategy, new: Size, old: Sequence[Size]) -> list[Scaling]:
    oldest_first = sorted(old, key=lambda size: (size.created, size.name))
    total = new.replicas + sum(size.replicas for size in old)
    room = total - strategy.min_available - (new.replicas - new.available)
    if not old or room <= 0:
        return []
    unhealthy = _shrink(oldest_first, room, lambda size: size.replicas - size.available)
    left = [replace(size, replicas=unhealthy.get(size.name, size.replicas)) for size in oldest_first]
    # A status may be older than the spec: what was scaled away is about to go, though it still counts as available.
    spare = new.available + sum(min(size.available, size.replicas) for size in left) - strategy.min_available
    healthy = _shrink(left, spare, lambda size: size.replicas)
    return [Scaling(name, replicas) for plan in (unhealthy, healthy) for name, replicas in plan.items()]


def _shrink(sizes: Iterable[Size], room: int, removable: Callable[[Size], int]) -> dict[str, int]:
    """Take up to ``room`` replicas away, in order, at most ``removable`` of each: the new sizes of what changes."""
    changed = {}
    for size in sizes:
        count = min(room, removable(size))
        if count > 0:
            changed[size.name] = size.replicas - count
            room -= count
    return changed


def _with_new(new: Size | None, old: Sequence[Size]) -> list[Size]:
    return [*old, *([new] if new is not None else ())]


def _active_or_latest(new: Size | None, old: Sequence[Size]) -> Size | None:
    """The only ReplicaSet with replicas, or the newest when none has any; None when several have."""
    active = [size for size in _with_new(new, old) if size.replicas > 0]
    if len(active) > 1:
        return None
    return next(iter(active), None) or new or max(old, key=lambda size: size.created, default=None)


def _is_saturated(strategy: Strategy, new: Size) -> bool:
    """The new ReplicaSet alone is all that the Deployment wants."""
    return new.replicas == new.desired_annotation == new.available == strategy.replicas


def _plan_proportional(strategy: Strategy, active: Sequence[Size]) -> list[Scaling]:
    if not active:
        return []
    allowed = strategy.max_replicas if strategy.replicas > 0 else 0
    to_add = allowed - sum(size.replicas for size in active)
    newest_first = sorted(active, key=lambda size: size.created, reverse=to_add > 0)
    largest_first = sorted(newest_first, key=lambda size: -size.replicas)
    added, targets = 0, {}
    for size in largest_first:
        share = _share(strategy, size, to_add, added)
        targets[size.name] = size.replicas + share
        added += share
    if to_add:
        first = largest_first[0].name
        targets[first] = max(targets[first] + to_add - added, 0)
    return [Scaling(name, replicas) for name, replicas in targets.items()]


def _share(strategy: Strategy, size: Size, to_add: int, added: int) -> int:
    if to_add == added or size.replicas == 0:
        return 0
    fraction = _fraction(strategy, size)
    return min(fraction, to_add - added) if to_add > 0 else max(fraction, to_add - added)


def _fraction(strategy: Strategy, size: Size) -> int:
    """How much this ReplicaSet changes when all keep their share of the Deployment's maximum."""
    if strategy.replicas == 0:
        return -size.replicas
    if not size.max_annotation:
        return 0
    exact = size.replicas * strategy.max_replicas / size.max_annotation
    return math.floor(exact + 0.5) - size.replicas
