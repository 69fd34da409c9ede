"""``matchLabelKeys`` and ``mismatchLabelKeys``: what a Pod's own labels add to a selector (KEP-3633, KEP-3243)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from netkube.api.meta import Object
from netkube.api.selectors import Selector, from_label_selector

OPERATORS = {'matchLabelKeys': 'In', 'mismatchLabelKeys': 'NotIn'}


def selector_of(term: Object, pod: Object) -> Selector:
    """The selector of a term, or of a spread constraint, of this Pod. A key that the Pod does not have adds nothing."""
    selector = term.get('labelSelector')
    added = list(_expressions(term, pod['metadata'].get('labels') or {}))
    if selector is None or not added:
        return from_label_selector(selector)
    return from_label_selector({**selector, 'matchExpressions': [*(selector.get('matchExpressions') or ()), *added]})


def _expressions(term: Object, labels: dict[str, str]) -> Iterator[dict[str, Any]]:
    for field, operator in OPERATORS.items():
        for key in term.get(field) or ():
            if key in labels:
                yield {'key': key, 'operator': operator, 'values': [labels[key]]}
