"""Something that happens once, and what is to be done then."""

from __future__ import annotations

from collections.abc import Callable, Collection


class Gate:
    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] | None = []

    def open(self) -> None:
        """Runs what waits; a second time it does nothing."""
        waiting, self._waiting = self._waiting or (), None
        for callback in waiting:
            callback()

    def then(self, callback: Callable[[], None]) -> None:
        """At once when it is open already."""
        if self._waiting is None:
            callback()
        else:
            self._waiting.append(callback)


def when_all_open(gates: Collection[Gate], callback: Callable[[], object]) -> None:
    """At once when there are none."""
    missing = len(gates)

    def count() -> None:
        nonlocal missing
        missing -= 1
        if missing == 0:
            callback()

    for gate in gates:
        gate.then(count)
    if not gates:
        callback()
