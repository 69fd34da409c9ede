"""Defaults of roles and their bindings (pkg/apis/rbac/v1/defaults.go)."""

from __future__ import annotations

from netkube.api.meta import Object
from netkube.api.resources import RBAC_GROUP


def default_role(role: Object) -> None:
    """No omitempty: a role without rules says so."""
    role.setdefault('rules', None)


def default_binding(binding: Object) -> None:
    reference = binding.get('roleRef')
    if isinstance(reference, dict) and not reference.get('apiGroup'):
        reference['apiGroup'] = RBAC_GROUP
    for subject in binding.get('subjects') or ():
        if subject.get('kind') in ('User', 'Group') and not subject.get('apiGroup'):
            subject['apiGroup'] = RBAC_GROUP
