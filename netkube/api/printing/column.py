"""A column of a server-side table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from netkube.api.meta import Object

Print = Callable[[Object, datetime], list[Any]]
_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.'


class Column(msgspec.Struct, frozen=True):
    """``description`` is a sentence, or ``definition.property`` whose description it is."""

    name: str
    description: str
    type: str = 'string'
    format: str = ''
    priority: int = 0


def wide(name: str, description: str, type: str = 'string') -> Column:
    """Shown with ``-o wide``."""
    return Column(name, description, type, priority=1)


NAME = Column('Name', _META + 'ObjectMeta.name', format='name')
AGE = Column('Age', _META + 'ObjectMeta.creationTimestamp')
CREATED_AT = Column('Created At', _META + 'ObjectMeta.creationTimestamp', 'date')
CONTAINERS = wide('Containers', 'Names of each container in the template.')
IMAGES = wide('Images', 'Images referenced by each container in the template.')
Table = tuple[tuple[Column, ...], Print]
