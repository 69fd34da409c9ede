"""The downward API: a Pod's own fields and a container's own resources as text.

Source: kubernetes pkg/fieldpath/fieldpath.go, pkg/api/v1/resource/helpers.go.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import msgspec

from netkube.api.meta import Object
from netkube.api.quantity import parse_quantity

SUBSCRIPT = re.compile(r"(metadata\.(?:labels|annotations))\['(.*)'\]")
UNLIMITED_BY_NODE = ('cpu', 'memory', 'ephemeral-storage')  # without a limit the Node's own amount counts


class UnsupportedField(Exception):
    """A fieldPath or resource that the downward API does not know."""


class PodFacts(msgspec.Struct, frozen=True):
    """What is known on the Node and not yet in the object when the Pod's containers start."""

    host_ips: tuple[str, ...]
    pod_ips: tuple[str, ...]
    node_name: str
    allocatable: Mapping[str, str]  # the Node's, by resource name


def field_value(pod: Object, path: str, facts: PodFacts) -> str:
    """The value of a ``fieldRef``."""
    metadata, spec = pod['metadata'], pod['spec']
    if match := SUBSCRIPT.fullmatch(path):
        return (metadata.get(match[1].partition('.')[2]) or {}).get(match[2], '')
    match path:
        case 'metadata.name' | 'metadata.namespace' | 'metadata.uid':
            return metadata[path.partition('.')[2]]
        case 'metadata.labels' | 'metadata.annotations':
            return render_map(metadata.get(path.partition('.')[2]) or {})
        case 'spec.nodeName':
            return spec.get('nodeName') or facts.node_name
        case 'spec.serviceAccountName':
            return spec.get('serviceAccountName', '')
        case 'status.hostIP':
            return facts.host_ips[0]
        case 'status.hostIPs':
            return ','.join(facts.host_ips)
        case 'status.podIP':
            return facts.pod_ips[0]
        case 'status.podIPs':
            return ','.join(facts.pod_ips)
    raise UnsupportedField(f'unsupported fieldPath: {path}')


def render_map(values: Mapping[str, str]) -> str:
    """``key="value"`` lines, sorted, as files of labels and annotations hold them."""
    return '\n'.join(f'{key}={_quoted(values[key])}' for key in sorted(values))


def _quoted(text: str) -> str:
    """Go's %q for the characters that matter in a value."""
    escapes = {'\\': r'\\', '"': r'\"', '\n': r'\n', '\t': r'\t', '\r': r'\r'}
    return '"' + ''.join(escapes.get(character, character) for character in text) + '"'


def resource_value(container: Object, resource: str, divisor: str, facts: PodFacts) -> str:
    """The value of a ``resourceFieldRef``, in units of ``divisor``, rounded up."""
    kind, _, name = resource.partition('.')
    resources = container.get('resources') or {}
    if kind not in ('limits', 'requests'):
        raise UnsupportedField(f'unsupported container resource : {resource}')
    amount = (resources.get(kind) or {}).get(name)
    if amount is None and kind == 'limits' and name in UNLIMITED_BY_NODE:
        amount = facts.allocatable.get(name, '0')
    unit = parse_quantity(divisor or '1') or 1
    return str(math.ceil(parse_quantity(amount or '0') / unit))
