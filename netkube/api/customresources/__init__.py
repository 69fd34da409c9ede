"""Kinds that users define: CustomResourceDefinition and the objects of what it defines.

Structural schemas are kept as the JSON they are written in; pruning, defaulting and validation walk it.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from netkube.api.customresources.definition import CLEANUP, Definition, custom_resources, is_established

__all__ = ['CLEANUP', 'Definition', 'custom_resources', 'is_established']
