"""Defaults of an image's name."""

from __future__ import annotations


def pull_policy(image: str) -> str:
    """Always for the tag ``latest``, which an image without tag and digest means."""
    rest, _, digest = image.partition('@')
    tag = rest.rpartition('/')[2].partition(':')[2] or ('' if digest else 'latest')
    return 'Always' if tag == 'latest' else 'IfNotPresent'
