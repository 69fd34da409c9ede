"""Rows of Jobs and CronJobs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from netkube.api.durations import age
from netkube.api.meta import Object
from netkube.api.printing.workloads import template_cells
from netkube.api.selectors import from_label_selector


def print_job(job: Object, now: datetime) -> list[Any]:
    spec, status = job['spec'], job.get('status') or {}
    return [
        job['metadata']['name'],
        _job_status(job),
        f'{status.get("succeeded", 0)}/{_wanted(spec)}',
        _duration(status, now),
        age(job['metadata'].get('creationTimestamp'), now),
        *template_cells(spec),
        str(from_label_selector(spec.get('selector'))),
    ]


def _wanted(spec: dict[str, Any]) -> str:
    if 'completions' in spec:
        return str(spec['completions'])
    parallelism = spec.get('parallelism', 0)
    return f'1 of {parallelism}' if parallelism > 1 else '1'


def _job_status(job: Object) -> str:
    true = {one['type'] for one in (job.get('status') or {}).get('conditions') or () if one.get('status') == 'True'}
    if 'Complete' in true:
        return 'Complete'
    if 'Failed' in true:
        return 'Failed'
    if 'deletionTimestamp' in job['metadata']:
        return 'Terminating'
    for condition in ('Suspended', 'FailureTarget', 'SuccessCriteriaMet'):
        if condition in true:
            return condition
    return 'Running'


def _duration(status: dict[str, Any], now: datetime) -> str:
    if not status.get('startTime'):
        return ''
    ended = status.get('completionTime')
    return age(status['startTime'], datetime.fromisoformat(ended) if ended else now)


def print_cronjob(cronjob: Object, now: datetime) -> list[Any]:
    spec, status = cronjob['spec'], cronjob.get('status') or {}
    template = (spec.get('jobTemplate') or {}).get('spec') or {}
    last = status.get('lastScheduleTime')
    return [
        cronjob['metadata']['name'],
        spec.get('schedule', ''),
        spec.get('timeZone', '<none>'),
        'True' if spec.get('suspend') else 'False',
        len(status.get('active') or ()),
        age(last, now) if last else '<none>',
        age(cronjob['metadata'].get('creationTimestamp'), now),
        *template_cells(template),
        str(from_label_selector(template.get('selector'))) or '<none>',
    ]
