"""Output for people (kubectl's tables) and for machines (YAML, JSON, names)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from netkube.api.errors import ApiError
from netkube.api.meta import Object
from netkube.api.resources import Resource

FORMATS = ('json', 'name', 'wide', 'yaml')


def check_format(output: str) -> None:
    if output and output not in FORMATS:
        raise click.ClickException(
            f'unable to match a printer suitable for the output format "{output}", '
            f'allowed formats are: {",".join(FORMATS)}'
        )


def refusal(error: ApiError, source: str = '') -> str:
    """kubectl's words for a refusal; ``source`` says which document was refused."""
    where = f'{source}: ' if source else ''
    return f'Error from server{f" ({error.reason})" if error.reason else ""}: {where}{error.message}'


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, no_headers: bool = False) -> str:
    """Columns three spaces apart, as kubectl's; the last one is not padded."""
    lines = [list(row) for row in rows] if no_headers else [list(header), *map(list, rows)]
    widths = [max((len(line[column]) for line in lines), default=0) for column in range(len(header))]
    return '\n'.join(
        '   '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def qualified_name(resource: Resource, name: str) -> str:
    """``pod/web`` or ``deployment.apps/web``, as kubectl names an object."""
    return f'{resource.singular}.{resource.group}/{name}' if resource.group else f'{resource.singular}/{name}'


def dump(output: str, value: Any) -> str:
    """``value`` as YAML or JSON text, ending in a line feed."""
    if output == 'json':
        return json.dumps(value, indent=4, ensure_ascii=False) + '\n'
    import yaml

    dumper = getattr(yaml, 'CSafeDumper', yaml.SafeDumper)
    return yaml.dump(value, Dumper=dumper, default_flow_style=False, allow_unicode=True, sort_keys=True)


def without_managed_fields(obj: Object) -> Object:
    """Who wrote which field is longer than the object, and rarely what is asked for."""
    metadata = {key: value for key, value in obj['metadata'].items() if key != 'managedFields'}
    return {**obj, 'metadata': metadata}


def as_list(items: Sequence[Object]) -> Object:
    return {'apiVersion': 'v1', 'kind': 'List', 'metadata': {'resourceVersion': ''}, 'items': list(items)}
