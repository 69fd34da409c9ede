"""Manifests: files, folders or standard input, read document by document.

Each document is parsed on its own, so that one that is broken is reported with its file, document and line and
the others still count.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import yaml

from netkube.api import resources
from netkube.api.meta import Object
from netkube.api.resources import Resource
from netkube.cli.connection import Connection

Loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
SEPARATOR = re.compile(r'^---(?:[ \t].*)?$', re.MULTILINE)
SUFFIXES = ('.yaml', '.yml', '.json')


class ManifestError(Exception):
    """A document that cannot be used; the text names file, document and line."""


class Document(msgspec.Struct, frozen=True):
    source: str  # 'app.yaml: document 2 (line 14)'
    resource: Resource
    object: Object


class Undiscovered(msgspec.Struct, frozen=True):
    """A document of a kind that the server may know: perhaps by a definition that stands before it."""

    source: str
    object: Object


Entry = Document | Undiscovered | ManifestError


def resolved(connection: Connection, entry: Entry) -> Document:
    """With its resource, which the server is asked for when it is none of the table; ManifestError without one."""
    if isinstance(entry, ManifestError):
        raise entry
    if isinstance(entry, Document):
        return entry
    from netkube.cli import discovery

    api_version, kind = entry.object['apiVersion'], entry.object['kind']
    found = discovery.find_by_kind(connection, api_version, kind)
    if found is None:
        raise ManifestError(
            f'{entry.source}: no matches for kind "{kind}" in version "{api_version}"; '
            'see which kinds there are with: kubectl api-resources'
        )
    return Document(entry.source, found, entry.object)


def read(paths: tuple[str, ...], recursive: bool = False) -> Iterator[Entry]:
    """Every document of every file in order, or why it cannot be used."""
    for path in paths:
        for name, text in _texts(path, recursive):
            yield from parse(name, text)


def parse(name: str, text: str) -> Iterator[Entry]:
    for number, (line, part) in enumerate(_split(text), 1):
        source = f'{name}: document {number} (line {line})'
        try:
            loaded = yaml.load(part, Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            at = line + (mark.line if mark else 0)
            yield ManifestError(f'{name}: document {number}, line {at}: {error.problem or error.context}')
            continue
        except yaml.YAMLError as error:
            yield ManifestError(f'{source}: {error}')
            continue
        if loaded is not None:
            yield from _documents(source, loaded)


def _documents(source: str, loaded: object) -> Iterator[Entry]:
    if not isinstance(loaded, dict):
        yield ManifestError(f'{source}: an object was expected, not {type(loaded).__name__}')
    elif loaded.get('kind') == 'List' and loaded.get('apiVersion') == 'v1':
        items = loaded.get('items') or []
        for item in items if isinstance(items, list) else [items]:
            yield from _documents(source, item)
    else:
        yield _document(source, loaded)


def _document(source: str, obj: Object) -> Entry:
    for field in ('apiVersion', 'kind'):
        if not obj.get(field):
            return ManifestError(f'{source}: error validating data: {field} not set')
        if not isinstance(obj[field], str):
            return ManifestError(f'{source}: error validating data: {field} is no text but {obj[field]!r}')
    metadata = obj.get('metadata')
    if not isinstance(metadata, dict) or not (metadata.get('name') or metadata.get('generateName')):
        return ManifestError(
            f'{source}: {obj["kind"]}: metadata.name: Required value: name or generateName is required'
        )
    if not isinstance(metadata.get('annotations') or {}, dict):
        return ManifestError(f'{source}: {obj["kind"]}: metadata.annotations: a map was expected')
    resource = resources.BY_KIND.get((obj['apiVersion'], obj['kind']))
    return Document(source, resource, obj) if resource else Undiscovered(source, obj)


def _split(text: str) -> Iterator[tuple[int, str]]:
    """(first line, text) of each document that holds more than comments."""
    start = 0
    ends = [(match.start(), match.end()) for match in SEPARATOR.finditer(text)] + [(len(text), len(text))]
    for end, following in ends:
        part = text[start:end]
        if any(line.strip() and not line.lstrip().startswith('#') for line in part.splitlines()):
            skipped = len(part) - len(part.lstrip('\n'))
            yield text.count('\n', 0, start + skipped) + 1, part[skipped:]
        start = following


def _texts(path: str, recursive: bool) -> Iterator[tuple[str, str]]:
    if path == '-':
        yield 'standard input', sys.stdin.read()
        return
    if path.startswith(('http://', 'https://')):
        raise click.ClickException(f'{path}: manifests are read from files; fetch it first: curl -O {path}')
    root = Path(path)
    if not root.exists():
        raise click.ClickException(f'the path "{path}" does not exist')
    files = sorted(root.rglob('*') if recursive else root.iterdir()) if root.is_dir() else [root]
    for file in files:
        if file.is_file() and (file == root or file.suffix in SUFFIXES):
            try:
                yield str(file), file.read_text()
            except (OSError, UnicodeDecodeError) as error:
                raise click.ClickException(f'{file}: {error}') from error
