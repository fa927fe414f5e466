"""Tables that are told apart by their ``kind``, one of which stands for all that is not built in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import Field

from orbital_train.config.tables.base import Table
from orbital_train.train.registry import BUILT_IN, is_known

OTHER = "other"  # the tag of tables that are not built in


class Other(Table):
    """A model or data set of an installed package, or of your own, see docs/models.md."""

    kind: str
    """Name of an entry point, or ``package.module:function`` with ``--import package.module``."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Of the function."""


def tag_of(what: str, usual: str) -> Callable[[Any], Any]:
    """Which table a ``kind`` asks for; one that is not known is its own tag, and refused."""

    def tag(table: Any) -> Any:
        kind = table.get("kind", usual) if isinstance(table, Mapping) else getattr(table, "kind", usual)
        return OTHER if kind not in BUILT_IN[what] and isinstance(kind, str) and is_known(what, kind) else kind

    return tag
