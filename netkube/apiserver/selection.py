"""Label and field selectors together: what a list or a watch shows."""

from __future__ import annotations

import msgspec

from netkube.api.fields import FieldSelector, parse_field_selector
from netkube.api.meta import Object
from netkube.api.resources import Resource
from netkube.api.selectors import Selector, parse_selector


class Selection(msgspec.Struct, frozen=True):
    labels: Selector
    fields: FieldSelector

    @classmethod
    def parse(cls, resource: Resource, label_selector: str, field_selector: str) -> Selection:
        """ApiError 400 on bad syntax or an unsupported field."""
        return cls(parse_selector(label_selector), parse_field_selector(field_selector, resource))

    @property
    def everything(self) -> bool:
        return self.labels.empty and self.fields.empty

    def matches(self, obj: Object) -> bool:
        return self.labels.matches(obj['metadata'].get('labels') or {}) and self.fields.matches(obj)
