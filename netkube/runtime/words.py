"""What the server says of itself, in the file that is its standard error."""

from __future__ import annotations

import contextlib
import os
import sys


def say(text: str) -> None:
    """On a full disk it goes unsaid: that must not be the end of every container."""
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f'{text}\n'.encode(errors='replace'))
