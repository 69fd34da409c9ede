"""Defaults of Job and CronJob (pkg/apis/batch/v1/defaults.go)."""

from __future__ import annotations

from typing import Any

from netkube.api.defaults.pod import default_pod_template
from netkube.api.meta import Object

_NEVER = 2**31 - 1


def default_job(job: Object) -> None:
    spec = job.setdefault('spec', {})
    if 'completions' not in spec and 'parallelism' not in spec:
        spec['completions'] = 1
    spec.setdefault('parallelism', 1)
    spec.setdefault('backoffLimit', _NEVER if 'backoffLimitPerIndex' in spec else 6)
    spec.setdefault('completionMode', 'NonIndexed')
    spec.setdefault('suspend', False)
    spec.setdefault('manualSelector', False)
    spec.setdefault('podReplacementPolicy', 'Failed' if 'podFailurePolicy' in spec else 'TerminatingOrFailed')
    for rule in (spec.get('podFailurePolicy') or {}).get('rules') or ():
        for pattern in rule.get('onPodConditions') or ():
            pattern.setdefault('status', 'True')
    default_pod_template(spec.setdefault('template', {}))


def default_cronjob(cronjob: Object) -> None:
    spec = cronjob.setdefault('spec', {})
    spec.setdefault('concurrencyPolicy', 'Allow')
    spec.setdefault('suspend', False)
    spec.setdefault('successfulJobsHistoryLimit', 3)
    spec.setdefault('failedJobsHistoryLimit', 1)
    template: dict[str, Any] = spec.setdefault('jobTemplate', {})
    template.setdefault('metadata', {})
    default_pod_template(template.setdefault('spec', {}).setdefault('template', {}))
