"""Operations that bring replicas together: outer gradients, their sums, and what is made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from orbital_train.schedule.ops.base import Op
from orbital_train.schedule.values import (
    GLOBAL,
    WHOLE,
    Part,
    global_value,
    group_snapshot_value,
    local_value,
    own_scope,
    part_value,
    snapshot_value,
    sum_value,
    version_value,
)


@dataclass(frozen=True, slots=True)
class Contribution:
    """One snapshot's part in a merge; the weights of a merge add up to 1. What is void has none."""

    snapshot: str
    node: int
    steps: int
    weight: float
    staleness: int


@dataclass(frozen=True, slots=True)
class Snapshot(Op):
    """A node's outer gradient of a fragment at this moment: version ``base_version`` minus its replica."""

    kind: ClassVar[str] = "snapshot"
    node: int
    state: int
    fragment: int
    base_version: int
    steps: int
    tokens: int
    codec: str
    scope: str = GLOBAL  # whose version

    @property
    def value(self) -> str:
        """Name of the outer gradient."""
        return snapshot_value(self.node, self.fragment, self.state)

    @property
    def reads(self) -> tuple[str, ...]:
        """The replica and the version that it started from."""
        return (local_value(self.node, self.state), version_value(self.scope, self.fragment, self.base_version))

    @property
    def writes(self) -> tuple[str, ...]:
        """The outer gradient."""
        return (self.value,)


@dataclass(frozen=True, slots=True)
class GroupSnapshot(Op):
    """A group's outer gradient: the global version that it took last minus its own newest, at a node that has both."""

    kind: ClassVar[str] = "group_snapshot"
    group: int
    node: int
    fragment: int
    base_version: int
    version: int
    steps: int  # of its nodes that are in its version and not in the global one
    tokens: int
    codec: str

    @property
    def value(self) -> str:
        """Name of the outer gradient."""
        return group_snapshot_value(self.group, self.node, self.fragment, self.version)

    @property
    def reads(self) -> tuple[str, ...]:
        """The two versions."""
        return tuple(global_value(self.fragment, version) for version in (self.base_version, self.version))

    @property
    def writes(self) -> tuple[str, ...]:
        """The outer gradient."""
        return (self.value,)


@dataclass(frozen=True, slots=True)
class Combine(Op):
    """A weighted sum of outer gradients, or of such sums, formed at ``site`` on the way and encoded again by ``codec``.

    Outer gradients enter with ``weights``, sums with 1: the weights are not normalised, a merge divides by their total.
    Of a part (number, of how many) only that part of outer gradients enters, and sums are of the same part.
    """

    kind: ClassVar[str] = "combine"
    site: int
    number: int
    fragment: int
    inputs: tuple[str, ...]
    weights: tuple[float, ...]  # one for each input
    codec: str
    part: Part = WHOLE

    @property
    def value(self) -> str:
        """Name of the sum."""
        return part_value(sum_value(self.site, self.fragment, self.number), self.part)

    @property
    def reads(self) -> tuple[str, ...]:
        """What is added."""
        return self.inputs

    @property
    def writes(self) -> tuple[str, ...]:
        """The sum."""
        return (self.value,)


@dataclass(frozen=True, slots=True)
class Merge(Op):
    """An outer step: contributions meet at ``site``, and every holder applies the same step to its own copy.

    In the scope of a group its nodes are the holders; the step is then the plain average, without momentum, and
    contributions to the global model are those of groups.

    ``share`` is how much of the fleet, or of the group, its contributions stand for: K / M where K of M nodes that are
    up contribute alike. The step is that much of a whole one, since the others still bring the progress that they make.

    The averaged outer gradient is the sum of ``inputs`` with ``input_weights``; each input is an outer gradient or a
    partial sum of several. What is sent back, and applied everywhere, is that average as ``codec`` encodes it.
    Inputs may be sums of parts, of every part then, each complete. Whoever has been sent all of these needs nothing
    back; ``site`` is the first that has them.
    """

    kind: ClassVar[str] = "merge"
    scope: str
    site: int
    holders: tuple[int, ...]
    fragment: int
    from_version: int
    to_version: int
    contributions: tuple[Contribution, ...]
    inputs: tuple[str, ...]
    input_weights: tuple[float, ...]
    momentum: Literal["replicated", "travels"]
    codec: str  # of the averaged outer gradient that is sent back
    share: float = 1.0

    @property
    def reads(self) -> tuple[str, ...]:
        """The version before, and what is merged into it."""
        return (global_value(self.fragment, self.from_version), *self.inputs)

    @property
    def writes(self) -> tuple[str, ...]:
        """The version after."""
        return (global_value(self.fragment, self.to_version),)


@dataclass(frozen=True, slots=True)
class Rebase(Op):
    """A group takes a global version and keeps what is not in it: its model becomes

        from_version - since_version + global_version,

    where ``since_version`` is its model at its outer gradient that the global version holds, or else the global version
    that it took before. All of the group's nodes do the same, and nothing is sent but what made the global version.
    """

    kind: ClassVar[str] = "rebase"
    group: int
    fragment: int
    from_version: int
    since_version: int
    global_version: int
    to_version: int

    @property
    def reads(self) -> tuple[str, ...]:
        """The three versions that it is made of."""
        versions = (self.from_version, self.since_version, self.global_version)
        return tuple(global_value(self.fragment, version) for version in versions)

    @property
    def writes(self) -> tuple[str, ...]:
        """The group's next version."""
        return (global_value(self.fragment, self.to_version),)


@dataclass(frozen=True, slots=True)
class Mix(Op):
    """Gossip: one node makes a new version of its own slow weights, from its own and those of the nodes it met.

    With outer gradients D_j of weights w_j (they add up to 1), slow weights p_j, and m the plain mean of all p_j
    (NoLoCo, arXiv 2506.10911; here an outer gradient is slow weights minus replica):

        momentum' = a momentum + b sum_j w_j D_j + c (p - m),    p' = p - momentum'

    with the momentum coefficient a, outer learning rate b and pull c of the outer optimizer. ``p - m`` is reckoned with
    every p_j as ``codec`` encodes it, the node's own too: what is pulled from one node is then given to the others, and
    mixing leaves the mean of all nodes' slow weights where it is. The first contribution is the node's own.
    """

    kind: ClassVar[str] = "mix"
    node: int
    fragment: int
    from_version: int
    to_version: int
    contributions: tuple[Contribution, ...]
    slow_versions: tuple[int, ...]  # of the slow weights that came with each contribution
    codec: str  # of slow weights

    @property
    def reads(self) -> tuple[str, ...]:
        """Outer gradients, and the slow weights that they started from."""
        slow = (
            version_value(own_scope(c.node), self.fragment, version)
            for c, version in zip(self.contributions, self.slow_versions, strict=True)
        )
        return (*slow, *(c.snapshot for c in self.contributions))

    @property
    def writes(self) -> tuple[str, ...]:
        """The node's slow weights after."""
        return (version_value(own_scope(self.node), self.fragment, self.to_version),)
