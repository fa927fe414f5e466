"""Operations that begin, measure and end a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from orbital_train.schedule.ops.base import Op
from orbital_train.schedule.values import OwnVersions, global_value, own_values


@dataclass(frozen=True, slots=True)
class Stage(Op):
    """A node has been sent the first model and its data, and can begin."""

    kind: ClassVar[str] = "stage"
    node: int


@dataclass(frozen=True, slots=True)
class Evaluate(Op):
    """Validation of the global model, after ``merged_steps`` inner steps went into it.

    In gossip the scope is ``mean``: of the slow weights of all nodes that are up, with their spread about it.
    """

    kind: ClassVar[str] = "evaluate"
    scope: str
    versions: tuple[int, ...]  # of each fragment; () for ``mean``
    merged_steps: int
    merged_tokens: int
    own: OwnVersions = ()

    @property
    def reads(self) -> tuple[str, ...]:
        """The fragments of the model, or of every node's."""
        model = tuple(global_value(fragment, version) for fragment, version in enumerate(self.versions))
        return (*model, *own_values(self.own))


@dataclass(frozen=True, slots=True)
class Deliver(Op):
    """The final model is brought from ``source``, which has all of it, to a site."""

    kind: ClassVar[str] = "deliver"
    site: int
    source: int
    versions: tuple[int, ...]  # of each fragment

    @property
    def reads(self) -> tuple[str, ...]:
        """The fragments of the model."""
        return tuple(global_value(fragment, version) for fragment, version in enumerate(self.versions))
