"""What a step has found out, and what follows from all of them."""

from __future__ import annotations

from typing import Any

import msgspec


class TraceError(Exception):
    """The question itself cannot be put: one sentence for the user."""


class Finding(msgspec.Struct, frozen=True):
    """``ok`` is None where there is nothing to judge. ``advice`` says what is wrong, and what to do about it."""

    step: str
    ok: bool | None
    text: str
    details: tuple[str, ...] = ()
    advice: str = ''
    facts: dict[str, Any] = {}


class Report(msgspec.Struct, frozen=True):
    source: str
    destination: str
    steps: tuple[Finding, ...]
    works: bool

    @property
    def verdict(self) -> str:
        """One sentence: the first thing that is wrong is what to mend."""
        if self.works:
            doubts = [step.advice for step in self.steps if step.ok is False and step.advice]
            return ' '.join([f'{self.source} reaches {self.destination}.', *(f'But {doubt}.' for doubt in doubts)])
        wrong = [step for step in self.steps if step.ok is False]
        first = next((step for step in wrong if step.advice), None)
        reason = first.advice if first else wrong[-1].text if wrong else 'nothing was found that explains it'
        return f'{self.source} does not reach {self.destination}: {reason}{"" if reason.endswith("?") else "."}'


def as_object(report: Report) -> dict[str, Any]:
    return {
        'source': report.source,
        'destination': report.destination,
        'works': report.works,
        'verdict': report.verdict,
        'steps': [
            {name: value for name, value in msgspec.structs.asdict(step).items() if value not in ((), {}, '')}
            for step in report.steps
        ],
    }


def listed(words: tuple[str, ...] | list[str], most: int = 5) -> str:
    """``a, b and 3 more``."""
    shown = ', '.join(words[:most])
    return f'{shown} and {len(words) - most} more' if len(words) > most else shown


def many(count: int, noun: str) -> str:
    return f'{count} {noun}' if count == 1 else f'{count} {noun}s'
