"""A configuration merged into a live object: what it names takes its values, the rest stays.

Nothing is removed here. (structured-merge-diff/typed/merge.go)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netkube.api.managedfields.shape import Shape


def merge(live: dict[str, Any], config: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """A new object; it shares what did not change. The list items of ``config`` have keys of their own each."""
    return _members(live, config, shape)


def _merge(live: Any, config: Any, shape: Shape) -> Any:
    kind = shape.of(live if config is None else config)
    if not live or kind in ('scalar', 'atom'):
        return config
    if kind in ('struct', 'map') and isinstance(live, dict):
        return _members(live, config or {}, shape)
    if kind in ('keyed', 'set') and isinstance(live, list):
        return _items(live, config or [], shape)
    return config


def _members(live: dict[str, Any], config: dict[str, Any], shape: Shape) -> dict[str, Any]:
    merged = dict(live)
    for name, value in config.items():
        merged[name] = _merge(live[name], value, shape.member(name)) if name in live else value
    return merged


def _items(live: list[Any], config: list[Any], shape: Shape) -> list[Any]:
    """Live items that share their keys give way together to the one the configuration has."""
    old: dict[str, list[Any]] = {}
    for item in live:
        old.setdefault(shape.step(item), []).append(item)
    new = {shape.step(item): item for item in config}
    merged: list[Any] = []
    for step in order(list(old), list(new)):
        if step not in new:
            merged += old[step]
        elif len(old.get(step, ())) == 1:
            merged.append(_merge(old[step][0], new[step], shape.element))
        else:
            merged.append(new[step])
    return merged


def order(live: list[str], config: list[str]) -> Iterator[str]:
    """The configuration's order for what it names; what is only live stays behind what it followed."""
    known, wanted = set(live), set(config)
    shared = [step for step in config if step in known]
    left = right = 0
    while left < len(live) or right < len(config):
        if left < len(live) and right < len(config):
            step = live[left]
            if step == config[right]:
                yield step
                left, right, shared = left + 1, right + 1, shared[1:]
                continue
            if step in wanted and shared and shared[0] != step:
                left += 1  # shared, but its turn comes where the configuration has it
                continue
        if left < len(live) and live[left] not in wanted:
            yield live[left]
            left += 1
        elif right < len(config):
            yield config[right]
            if shared and shared[0] == config[right]:
                shared = shared[1:]
            right += 1
        else:
            left += 1
