"""``$(NAME)`` in commands, arguments and variables.

Source: kubernetes third_party/forked/golang/expansion: ``$$`` is a literal ``$``, an unknown name stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

REFERENCE = re.compile(r'\$(?:\$|\(([^)]*)\))')


def references_in(text: str) -> list[str]:
    """The names that ``text`` refers to."""
    return [name for name in REFERENCE.findall(text) if name]


def expand(text: str, variables: Mapping[str, str]) -> str:
    if '$' not in text:
        return text

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        return '$' if name is None else variables.get(name, match.group(0))

    return REFERENCE.sub(value, text)
