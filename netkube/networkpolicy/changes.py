"""From what the kernel has to what it is to have, as one transaction. Pure."""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Iterable

from netkube.networkpolicy.model import Contents, Place, Touched
from netkube.networkpolicy.ruleset import FIXED_SETS, TABLE, render_chain, render_set

PROTOCOL_NUMBERS = {'tcp': 6, 'udp': 17, 'sctp': 132}


def nothing() -> Contents:
    """A new table's contents, beyond the chains that are fixed."""
    return Contents(sets=dict(FIXED_SETS), elements={name: {} for name in FIXED_SETS})


def everything(contents: Contents) -> Touched:
    places = {(name, key) for name, elements in contents.elements.items() for key in elements}
    return Touched(set(contents.chains), set(contents.sets), places)


def render_changes(old: Contents, new: Contents, touched: Touched) -> str:
    """'' if there is nothing to do. What others refer to comes before them, and goes after them."""
    come, gone = _elements(old, new, touched.places)
    chains = sorted(name for name in touched.chains if old.chains.get(name) != new.chains.get(name))
    live, dead = [n for n in chains if n in new.chains], [n for n in chains if n not in new.chains]
    sets = sorted(touched.sets)
    return '\n'.join([
        *(f'delete element {TABLE} {name} {{ {", ".join(keys)} }}' for name, keys in gone.items()),
        *(render_set(name, new.sets[name]) for name in sets if name in new.sets and name not in old.sets),
        *(f'add chain {TABLE} {name}' for name in live if name not in old.chains),
        *(render_chain(name, new.chains[name]) for name in live),
        *(f'add element {TABLE} {name} {{ {", ".join(texts)} }}' for name, texts in come.items()),
        *(f'flush chain {TABLE} {name}' for name in dead),
        *(f'delete chain {TABLE} {name}' for name in dead),
        *(f'delete {old.sets[name].kind} {TABLE} {name}' for name in sets if name in old.sets and name not in new.sets),
    ])  # fmt: skip


def _elements(old: Contents, new: Contents, places: Iterable[Place]) -> tuple[dict[str, list[str]], ...]:
    """By set, what comes (as text) and what goes. A set that goes takes its elements along."""
    come: dict[str, list[str]] = defaultdict(list)
    gone: dict[str, list[str]] = defaultdict(list)
    for name, key in sorted(places):
        before, after = old.elements.get(name, {}).get(key), new.elements.get(name, {}).get(key)
        if before == after:
            continue
        if before is not None and name in new.sets:
            gone[name].append(key)
        if after is not None:
            come[name].append(f'{key} : {after}' if after else key)
    return come, gone


def advance(old: Contents, new: Contents, touched: Touched) -> None:
    """The kernel has taken the changes: make ``old`` like ``new``."""
    for name in touched.sets:
        if name not in new.sets:
            old.sets.pop(name, None)
            old.elements.pop(name, None)
        elif name not in old.sets:
            old.sets[name], old.elements[name] = new.sets[name], {}
    _copy(old.chains, new.chains, touched.chains)
    for name, key in touched.places:
        if name in new.elements:
            _copy(old.elements[name], new.elements[name], (key,))


def _copy(old: dict, new: dict, keys: Iterable[str]) -> None:
    for key in keys:
        if key in new:
            old[key] = new[key]
        else:
            old.pop(key, None)


def encoded(key: str) -> bytes:
    """An element's key as the kernel has it."""
    return b''.join(_part(part) for part in key.split(' . '))


def _part(text: str) -> bytes:
    if ':' in text:
        return socket.inet_pton(socket.AF_INET6, text)
    if '.' in text:
        return socket.inet_pton(socket.AF_INET, text)
    if text in PROTOCOL_NUMBERS:
        return bytes([PROTOCOL_NUMBERS[text], 0, 0, 0])
    return int(text).to_bytes(2, 'big') + b'\0\0'
