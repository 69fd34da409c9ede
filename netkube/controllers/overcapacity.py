"""An Endpoints object holds so many addresses and no more. Source: pkg/controller/endpoint, truncateEndpoints."""

from __future__ import annotations

import math
from collections.abc import Sequence

from netkube.api.meta import Object

MAX_ADDRESSES = 1000
OVER_CAPACITY = 'endpoints.kubernetes.io/over-capacity'
READY, NOT_READY = 'addresses', 'notReadyAddresses'


def truncated(subsets: Sequence[Object]) -> list[Object]:
    """The ready addresses first, each subset with its share of the room; the same list where all fit."""
    ready, not_ready = _count(subsets, READY), _count(subsets, NOT_READY)
    if ready + not_ready <= MAX_ADDRESSES:
        return list(subsets)
    if ready > MAX_ADDRESSES:
        without = [{field: value for field, value in each.items() if field != NOT_READY} for each in subsets]
        return _cut(without, READY, MAX_ADDRESSES, ready)
    return _cut(subsets, NOT_READY, MAX_ADDRESSES - ready, not_ready)


def _cut(subsets: Sequence[Object], part: str, room: int, total: int) -> list[Object]:
    kept, left = [], room
    for each in subsets:
        addresses = each.get(part) or []
        share = min(left, math.ceil(len(addresses) / total * room))
        left -= share
        rest = {field: value for field, value in each.items() if field != part}
        kept.append(({part: addresses[:share]} if share else {}) | rest)
    return [each for each in kept if each.get(READY) or each.get(NOT_READY)]


def _count(subsets: Sequence[Object], part: str) -> int:
    return sum(len(each.get(part) or ()) for each in subsets)
