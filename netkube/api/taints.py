"""Taints of a Node and the tolerations of a Pod. Source: k8s.io/component-helpers/scheduling/corev1."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from netkube.api.meta import Object

UNSCHEDULABLE = 'node.kubernetes.io/unschedulable'
NOT_READY = 'node.kubernetes.io/not-ready'


class Taint(msgspec.Struct, frozen=True):
    key: str
    value: str
    effect: str  # NoSchedule, PreferNoSchedule or NoExecute

    def __str__(self) -> str:
        return f'{{{self.key}: {self.value}}}'


def parse_taints(node: Object) -> tuple[Taint, ...]:
    """Its taints, and the one of a Node that is not ready, which nobody may have written yet."""
    taints = [Taint(each['key'], each.get('value') or '', each['effect']) for each in node['spec'].get('taints') or ()]
    if not is_ready(node):
        taints.append(Taint(NOT_READY, '', 'NoSchedule'))
    return tuple(dict.fromkeys(taints))


def no_execute_taints(node: Object) -> tuple[Taint, ...]:
    taints = (each for each in node['spec'].get('taints') or () if each['effect'] == 'NoExecute')
    return tuple(Taint(each['key'], each.get('value') or '', each['effect']) for each in taints)


def is_ready(node: Object) -> bool:
    conditions = (node.get('status') or {}).get('conditions') or ()
    return any(each['type'] == 'Ready' and each['status'] == 'True' for each in conditions)


def tolerates(toleration: Object, taint: Taint) -> bool:
    """An empty effect tolerates every effect, an empty key with Exists every taint."""
    key, effect = toleration.get('key') or '', toleration.get('effect') or ''
    if effect not in ('', taint.effect) or key not in ('', taint.key):
        return False
    return toleration.get('operator') == 'Exists' or (key != '' and (toleration.get('value') or '') == taint.value)


def find_untolerated(taints: Iterable[Taint], tolerations: Iterable[Object], effects: tuple[str, ...]) -> Taint | None:
    """The first taint of one of these effects that nothing tolerates."""
    every = tuple(tolerations)
    for taint in taints:
        if taint.effect in effects and not any(tolerates(each, taint) for each in every):
            return taint
    return None
