"""``netkube doctor``."""

from __future__ import annotations

import sys

import click

from netkube.cli.output import dump
from netkube.cli.settings import Settings, common_options
from netkube.cluster.preflight import Finding, run_checks


@click.command()
@common_options(namespace=False)
def doctor(settings: Settings) -> None:
    """Try everything a cluster needs of this machine; each failure names its remedy."""
    findings = run_checks()
    if settings.output in ('json', 'yaml'):
        click.echo(dump(settings.output, [as_object(finding) for finding in findings]), nl=False)
    else:
        for finding in findings:
            click.echo(sentence(finding))
    if any(not finding.ok and finding.check.required for finding in findings):
        sys.exit(1)


def as_object(finding: Finding) -> dict:
    found = {'check': finding.check.name, 'ok': finding.ok, 'required': finding.check.required}
    return found if finding.ok else {**found, 'error': finding.error, 'remedy': finding.check.remedy}


def sentence(finding: Finding) -> str:
    if finding.ok:
        return f'ok       {finding.check.name}'
    mark = 'missing ' if finding.check.required else 'optional'
    return f'{mark} {finding.check.name}: {finding.error}\n         remedy: {finding.check.remedy}'
