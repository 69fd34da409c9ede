"""Ages as people read them (k8s.io/apimachinery/pkg/util/duration)."""

from __future__ import annotations

from datetime import datetime, timedelta

from netkube.api.meta import parse_timestamp

_HOURS_PER_YEAR = 24 * 365


def human_duration(duration: timedelta) -> str:
    """Two units while they matter: 5s, 3m20s, 7h5m, 3d4h, 500d. Up to a second in the future is now."""
    seconds = int(duration.total_seconds())
    minutes, hours = int(seconds / 60), int(seconds / 3600)
    if seconds < 0:
        return '<invalid>' if seconds < -1 else '0s'
    if seconds < 120:
        return f'{seconds}s'
    if minutes < 10:
        return _two(minutes, 'm', seconds % 60, 's')
    if minutes < 180:
        return f'{minutes}m'
    if hours < 8:
        return _two(hours, 'h', minutes % 60, 'm')
    if hours < 48:
        return f'{hours}h'
    if hours < 24 * 8:
        return _two(hours // 24, 'd', hours % 24, 'h')
    if hours < _HOURS_PER_YEAR * 2:
        return f'{hours // 24}d'
    if hours < _HOURS_PER_YEAR * 8:
        return _two(hours // _HOURS_PER_YEAR, 'y', hours // 24 % 365, 'd')
    return f'{hours // _HOURS_PER_YEAR}y'


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f'{large}{large_unit}{small}{small_unit}' if small else f'{large}{large_unit}'


def age(at: str | None, now: datetime) -> str:
    """How long ago a timestamp was; ``<unknown>`` when there is none."""
    return human_duration(now - parse_timestamp(at)) if at else '<unknown>'
