"""What a CustomResourceDefinition says without being told, and what of it is not acted upon."""

from __future__ import annotations

from typing import Any

from netkube.api.meta import Object


def default_crd(crd: Object) -> None:
    """pkg/apis/apiextensions/v1/defaults.go"""
    spec = crd.setdefault('spec', {})
    names = spec.setdefault('names', {})
    if names.get('kind'):
        names.setdefault('singular', names['kind'].lower())
        names.setdefault('listKind', f'{names["kind"]}List')
    conversion = spec.setdefault('conversion', {})
    conversion.setdefault('strategy', 'None')


def unenforced(crd: Object) -> list[str]:
    """What of the schemas is kept and not acted upon, in a sentence each."""
    found = []
    for version in (crd.get('spec') or {}).get('versions') or ():
        if _has_rules((version.get('schema') or {}).get('openAPIV3Schema')):
            where = f'spec.versions[{version.get("name", "")}]'
            found.append(f'{where}: netkube stores x-kubernetes-validations but does not enforce them yet')
    return found


def _has_rules(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return False
    if schema.get('x-kubernetes-validations'):
        return True
    children = [*(schema.get('properties') or {}).values(), schema.get('items'), schema.get('additionalProperties')]
    return any(map(_has_rules, children))
