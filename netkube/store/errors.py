"""What the store refuses."""

from __future__ import annotations


class StoreError(Exception):
    """Base of the store's own errors."""


class KeyExists(StoreError):
    """``create`` of a key that is there already."""


class Conflict(StoreError):
    """The key is not at the revision the caller expected (or not there at all)."""


class Compacted(StoreError):
    """A watch asked for revisions that are no longer remembered, or fell too far behind."""

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f'too old resource version: {asked} ({oldest})')
        self.asked, self.oldest = asked, oldest


class NoSpace(StoreError):
    """The disk is full. What is in memory is written when there is room again."""


class Failed(StoreError):
    """The disk refused a write; nothing after it will be acknowledged."""
