"""Validation of Jobs and CronJobs (pkg/apis/batch/validation)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from netkube.api.errors import FieldError
from netkube.api.fielderrors import invalid, not_supported, required
from netkube.api.meta import Object
from netkube.api.selectors import from_label_selector
from netkube.api.validation.labels import validate_label_selector
from netkube.api.validation.metadata import validate_immutable
from netkube.api.validation.podspec import validate_pod_template
from netkube.api.validation.values import nonnegative_fields, one_of

_COUNTS = ('parallelism', 'completions', 'activeDeadlineSeconds', 'backoffLimit', 'ttlSecondsAfterFinished',
           'backoffLimitPerIndex', 'maxFailedIndexes')  # fmt: skip
_MODES, _REPLACEMENTS = ('NonIndexed', 'Indexed'), ('Failed', 'TerminatingOrFailed')
_CONCURRENCY = ('Allow', 'Forbid', 'Replace')
_JOB_FROZEN = ('completionMode', 'podFailurePolicy', 'successPolicy', 'backoffLimitPerIndex', 'managedBy')
_MACROS = ('@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly')
_FIELDS = (('minute', 0, 59), ('hour', 0, 23), ('day of month', 1, 31), ('month', 1, 12), ('day of week', 0, 6))
_MONTHS = ('jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec')
_DAYS = ('sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat')
_CRONJOB_NAME = 52  # a Job's name is this and a time


def validate_job(job: Object) -> Iterator[FieldError]:
    spec = job.get('spec', {})
    selector = spec.get('selector')
    yield from validate_job_spec(spec, 'spec')
    if selector is None:
        yield required('spec.selector')
    else:
        yield from validate_label_selector(selector, 'spec.selector')
        labels = ((spec.get('template') or {}).get('metadata') or {}).get('labels') or {}
        if not from_label_selector(selector).matches(labels):
            yield invalid('spec.template.metadata.labels', labels, '`selector` does not match template `labels`')


def validate_job_spec(spec: dict[str, Any], path: str) -> Iterator[FieldError]:
    yield from nonnegative_fields(spec, _COUNTS, path)
    if spec.get('completionMode') is not None:
        yield from one_of(spec['completionMode'], _MODES, f'{path}.completionMode')
    if spec.get('completionMode') == 'Indexed' and 'completions' not in spec:
        yield required(f'{path}.completions', 'when completion mode is Indexed')
    if spec.get('podReplacementPolicy') is not None:
        yield from one_of(spec['podReplacementPolicy'], _REPLACEMENTS, f'{path}.podReplacementPolicy')
    yield from validate_pod_template(spec.get('template') or {}, f'{path}.template')
    policy = ((spec.get('template') or {}).get('spec') or {}).get('restartPolicy', '')
    where = f'{path}.template.spec.restartPolicy'
    if policy in ('', 'Always'):
        yield required(where, 'valid values: "OnFailure", "Never"')
    elif policy not in ('OnFailure', 'Never'):
        yield not_supported(where, policy, ('OnFailure', 'Never'))
    elif policy != 'Never' and 'podFailurePolicy' in spec:
        yield invalid(where, policy, 'only "Never" is supported when podFailurePolicy is specified')


def validate_job_update(new: Object, old: Object) -> Iterator[FieldError]:
    spec, before = new['spec'], old['spec']
    yield from validate_job(new)
    suspended = bool(before.get('suspend')) and not (old.get('status') or {}).get('startTime')
    if not (spec.get('completionMode') == 'Indexed' and spec.get('completions') == spec.get('parallelism')):
        yield from validate_immutable(spec.get('completions'), before.get('completions'), 'spec.completions')
    yield from validate_immutable(spec.get('selector'), before.get('selector'), 'spec.selector')
    if not suspended:
        yield from validate_immutable(spec.get('template'), before.get('template'), 'spec.template')
    for name in _JOB_FROZEN:
        yield from validate_immutable(spec.get(name), before.get(name), f'spec.{name}')


def validate_cronjob(cronjob: Object) -> Iterator[FieldError]:
    name, spec = cronjob['metadata'].get('name', ''), cronjob.get('spec', {})
    yield from _validate_cronjob_spec(spec)
    if len(name) > _CRONJOB_NAME:
        yield invalid('metadata.name', name, 'must be no more than 52 characters')


def validate_cronjob_update(new: Object, old: Object) -> Iterator[FieldError]:
    yield from _validate_cronjob_spec(new.get('spec', {}))


def _validate_cronjob_spec(spec: dict[str, Any]) -> Iterator[FieldError]:
    schedule = spec.get('schedule', '')
    if not schedule:
        yield required('spec.schedule')
    elif 'TZ' in schedule and ('TZ=' in schedule):
        yield invalid('spec.schedule', schedule,
                      'cannot use TZ or CRON_TZ in schedule, use timeZone field instead')  # fmt: skip
    elif fault := schedule_fault(schedule):
        yield invalid('spec.schedule', schedule, fault)
    if 'timeZone' in spec:
        yield from _validate_time_zone(spec['timeZone'])
    names = ('startingDeadlineSeconds', 'successfulJobsHistoryLimit', 'failedJobsHistoryLimit')
    yield from nonnegative_fields(spec, names, 'spec')
    yield from one_of(spec.get('concurrencyPolicy'), _CONCURRENCY, 'spec.concurrencyPolicy')
    yield from validate_job_spec((spec.get('jobTemplate') or {}).get('spec') or {}, 'spec.jobTemplate.spec')


def _validate_time_zone(name: str) -> Iterator[FieldError]:
    if not name:
        yield invalid('spec.timeZone', name, 'timeZone must be nil or non-empty string')
    elif name.lower() == 'local':
        yield invalid('spec.timeZone', name, 'timeZone must be an explicit time zone as defined in '
                                             'https://www.iana.org/time-zones')  # fmt: skip
    elif not _is_time_zone(name):
        yield invalid('spec.timeZone', name, f'unknown time zone {name}')


def _is_time_zone(name: str) -> bool:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name is a directory of the database
        return False
    return True


def schedule_fault(schedule: str) -> str:
    """Why a schedule is none, in the words of github.com/robfig/cron; '' for a good one."""
    if schedule.startswith('@'):
        if schedule in _MACROS or re.fullmatch(r'@every (\d+(\.\d+)?(ns|us|ms|s|m|h))+', schedule):
            return ''
        return f'unrecognized descriptor: {schedule}'
    parts = schedule.split()
    if len(parts) != len(_FIELDS):
        shown = '[' + ' '.join(parts) + ']'
        return f'expected exactly 5 fields, found {len(parts)}: {shown}'
    for part, (_, low, high) in zip(parts, _FIELDS, strict=True):
        for one in part.split(','):
            if fault := _range_fault(one, low, high):
                return fault
    return ''


def _range_fault(text: str, low: int, high: int) -> str:
    found = re.fullmatch(r'(\*|\?|(?P<from>\w+)(-(?P<to>\w+))?)(/(?P<step>\d+))?', text)
    if not found:
        return f'failed to parse int from {text}'
    names = _MONTHS if (low, high) == (1, 12) else _DAYS if high == 6 else ()
    first = _cron_number(found['from'], names, low)
    last = _cron_number(found['to'], names, low)
    for word, value in (('from', first), ('to', last)):
        if found[word] is not None and value is None:
            return f'failed to parse int from {found[word]}: strconv.Atoi: parsing "{found[word]}": invalid syntax'
    if first is not None and first < low:
        return f'beginning of range ({first}) below minimum ({low}): {text}'
    end = last if last is not None else first
    if end is not None and end > high:
        return f'end of range ({end}) above maximum ({high}): {text}'
    if first is not None and last is not None and first > last:
        return f'beginning of range ({first}) beyond end of range ({last}): {text}'
    if found['step'] is not None and int(found['step']) == 0:
        return f'step of range should be a positive number: {text}'
    return ''


def _cron_number(text: str | None, names: tuple[str, ...], low: int) -> int | None:
    if text is None:
        return None
    if text.lower() in names:
        return names.index(text.lower()) + low
    return int(text) if text.isascii() and text.isdigit() else None
