"""How far a start is: the daemon says it, a line a step, to whoever started it and waits."""

from __future__ import annotations

import contextlib
import os

READY = 'ready'  # the last line
FAILED = 'failed: '  # begins the last line of a start that did not succeed


class Progress:
    """Tells whoever started the daemon how far it is, a line a step; it may have gone away."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def say(self, text: str) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._descriptor, f'{text}\n'.encode())

    def end(self, text: str) -> None:
        self.say(text)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
