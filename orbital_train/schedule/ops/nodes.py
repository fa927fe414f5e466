"""Operations on the replicas of nodes: inner steps, adoptions, outages, upsets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from orbital_train.schedule.faults import FlipTarget
from orbital_train.schedule.ops.base import Op
from orbital_train.schedule.values import GLOBAL, global_value, local_value, own_scope, version_value

AdoptMode = Literal["replace", "keep", "blend"]


@dataclass(frozen=True, slots=True)
class Step(Op):
    """``n`` whole inner steps of one node; ``first`` counts from the node's first ever step and names the batch.

    Step ``first + k`` runs at learning-rate progress ``lr_progress + k * lr_progress_per_step``, clipped to 1.
    ``tokens`` are those of the flown workload, all ``n`` steps together.
    """

    kind: ClassVar[str] = "step"
    node: int
    state: int  # of the replica before the steps; they lead to the next
    first: int
    n: int
    tokens: int
    lr_progress: float
    lr_progress_per_step: float

    @property
    def reads(self) -> tuple[str, ...]:
        """The replica before."""
        return (local_value(self.node, self.state),)

    @property
    def writes(self) -> tuple[str, ...]:
        """The replica after."""
        return (local_value(self.node, self.state + 1),)


@dataclass(frozen=True, slots=True)
class SyncStep(Op):
    """``n`` whole steps of synchronous data parallel training: the group averages its gradients in every step."""

    kind: ClassVar[str] = "sync_step"
    group: tuple[int, ...]
    first: int
    n: int
    tokens: int  # of the whole group
    lr_progress: float
    lr_progress_per_step: float
    from_version: int
    to_version: int

    @property
    def reads(self) -> tuple[str, ...]:
        """The version before."""
        return (global_value(0, self.from_version),)

    @property
    def writes(self) -> tuple[str, ...]:
        """The version after."""
        return (global_value(0, self.to_version),)


@dataclass(frozen=True, slots=True)
class Adopt(Op):
    """A node takes a version of a fragment of the global model.

    ``replace``: the replica becomes that version. ``keep``: it becomes that version plus the progress that the node
    made since its snapshot ``since_snapshot`` (or, where that is None, since the version it last adopted; a snapshot
    of its own that is merged into a later version then moves along: the state it remembers shifts as the replica does).
    ``blend``: ``alpha`` times the version plus ``1 - alpha`` times the replica.

    A node that holds the global model has the version exactly: it applied what others sent of it. One that does not was
    sent the version's parameters, and has them as ``codec`` encodes them.
    """

    kind: ClassVar[str] = "adopt"
    node: int
    state: int
    fragment: int
    base_version: int  # that it adopted last
    version: int
    since_snapshot: str | None
    mode: AdoptMode
    alpha: float = 1.0
    codec: str | None = None
    scope: str = GLOBAL  # whose version

    @property
    def reads(self) -> tuple[str, ...]:
        """The replica, the version, and where the progress that is kept began."""
        begun = self.since_snapshot or version_value(self.scope, self.fragment, self.base_version)
        kept = () if self.mode == "replace" else (begun,)
        return (local_value(self.node, self.state), version_value(self.scope, self.fragment, self.version), *kept)

    @property
    def writes(self) -> tuple[str, ...]:
        """The replica after."""
        return (local_value(self.node, self.state + 1),)


@dataclass(frozen=True, slots=True)
class Lose(Op):
    """A node fails. The last ``steps`` steps are in no store; with ``loses_state`` nothing is.

    Where it failed with the worker that executed it, nobody has heard of its operations from ``unheard`` on.
    """

    kind: ClassVar[str] = "lose"
    node: int
    cause: str
    loses_state: bool
    steps: int
    unheard: int | None = None


@dataclass(frozen=True, slots=True)
class Restore(Op):
    """A node that failed goes on, or one that joins late begins.

    From its own store (``source`` is the node itself) it takes its replica and inner optimizer as they were in
    ``from_state``. From another node it takes the global model in ``versions`` of each fragment, and its inner
    optimizer starts anew. In gossip it takes the other node's slow weights for ``own_versions`` of its own, without
    momentum.
    """

    kind: ClassVar[str] = "restore"
    node: int
    state: int
    source: int
    from_state: int
    versions: tuple[int, ...]
    request: int  # how often the node had asked for the model
    codec: str | None  # of the parameters that it is sent; None: they are exact, as holders of the model need them
    own_versions: tuple[int, ...] = ()

    @property
    def reads(self) -> tuple[str, ...]:
        """What it goes on from."""
        if self.source == self.node:
            return (local_value(self.node, self.from_state),)
        scope = own_scope(self.source) if self.own_versions else GLOBAL
        return tuple(version_value(scope, fragment, version) for fragment, version in enumerate(self.versions))

    @property
    def writes(self) -> tuple[str, ...]:
        """The replica after, and in gossip the slow weights."""
        own = (version_value(own_scope(self.node), f, version) for f, version in enumerate(self.own_versions))
        return (local_value(self.node, self.state + 1), *own)


@dataclass(frozen=True, slots=True)
class Upset(Op):
    """A particle flips one bit of what a node has (see :class:`~orbital_train.schedule.faults.BitFlip`).

    It writes no value: what is written later by a node whose replica was hit is what came of that. A flip of the
    replica or the gradient that falls into inner steps takes place within them, in the step that is under way.
    """

    kind: ClassVar[str] = "upset"
    node: int
    target: FlipTarget
    place: float  # from 0 to 1, in what is hit
    bit: int
    value: str  # that is hit: a version, or an outer gradient or a sum under way; otherwise empty

    @property
    def reads(self) -> tuple[str, ...]:
        """What is hit, if it is a value of the trace."""
        return (self.value,) if self.value else ()
