"""What a policy is told, and what it may decide: the whole interface between policies and the simulation.

A policy is a pure function ``decide(event, view, memory) -> (decisions, memory)``; ``memory`` is an immutable value of
its own. It sees orbits, links and light ahead of time, and the past; nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.network import Network, Route
from orbital_train.schedule.trace import AdoptMode

# -- events: what has just happened ---


@dataclass(frozen=True, slots=True)
class Started:
    """The run begins: every node holds version 0 and waits."""


@dataclass(frozen=True, slots=True)
class GoalReached:
    """A node has trained the whole steps that it was asked for."""

    node: int


@dataclass(frozen=True, slots=True)
class SnapshotTaken:
    """A node's outer gradient has left for its site."""

    node: int


@dataclass(frozen=True, slots=True)
class ContributionArrived:
    """The outer gradient of ``node`` has arrived at ``site``."""

    node: int
    site: int


@dataclass(frozen=True, slots=True)
class Merged:
    """A version was made and is on its way to everybody."""

    version: int


@dataclass(frozen=True, slots=True)
class ResultArrived:
    """A node has received a version (and all before it)."""

    node: int
    version: int


@dataclass(frozen=True, slots=True)
class Adopted:
    """A node has adopted a version."""

    node: int
    version: int


@dataclass(frozen=True, slots=True)
class Woke:
    """A time that the policy asked for has come."""

    note: str


@dataclass(frozen=True, slots=True)
class BudgetReached:
    """The run's budget of inner steps is trained and all nodes have stopped. Drain what is not merged, and finish."""


Event = (
    Started
    | GoalReached
    | SnapshotTaken
    | ContributionArrived
    | Merged
    | ResultArrived
    | Adopted
    | Woke
    | BudgetReached
)

# -- decisions: what to do now ---


@dataclass(frozen=True, slots=True)
class Train:
    """Let a node train; say so when it has trained ``goal`` whole steps in all (None: never)."""

    node: int
    goal: int | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Let a node wait; the step in progress is lost."""

    node: int


@dataclass(frozen=True, slots=True)
class Send:
    """Take a node's outer gradient now and send it to a site by the route of earliest arrival."""

    node: int
    site: int


@dataclass(frozen=True, slots=True)
class SendAt:
    """Take a node's outer gradient at ``at_us`` and send it along a route, which is booked now.

    The route is empty where the node is the site itself.
    """

    node: int
    site: int
    route: Route
    at_us: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Give up what a node was to send later; nothing happens if it was to send nothing."""

    node: int


@dataclass(frozen=True, slots=True)
class MergeNow:
    """Merge the contributions of these nodes, which have arrived at ``site``, and send the result to everybody."""

    site: int
    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Discard:
    """Refuse a contribution: the node keeps its progress, which its next outer gradient holds again."""

    node: int


@dataclass(frozen=True, slots=True)
class AdoptNow:
    """Let a node adopt a version that it has received, at its next step boundary."""

    node: int
    version: int
    mode: AdoptMode


@dataclass(frozen=True, slots=True)
class Wake:
    """Ask for :class:`Woke` at this time."""

    at_us: int
    note: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing is left to do."""


Decision = Train | Hold | Send | SendAt | Cancel | MergeNow | Discard | AdoptNow | Wake | Finish

# -- the view ---


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeView:
    """One training node as it is known now."""

    node: int
    steps: int  # whole inner steps ever trained
    snapshot_steps: int  # of those, how many were in its last snapshot that was merged or is under way
    unmerged_steps: int  # steps that no merge holds yet, those of a snapshot under way included
    base_version: int  # the version it last adopted
    holding: bool
    waiting_for: int | None  # version that holds its last contribution and that it has not adopted yet
    under_way: bool  # its outer gradient is on the way to, or waits at, a site


class View(Protocol):
    """What is known now. Predictions are exact as long as a node is told nothing new."""

    now_us: int
    horizon_us: int
    step_us: int
    message_bits: int
    network: Network
    bookings: Bookings  # fork before trying something out
    training_nodes: tuple[int, ...]
    sites: tuple[int, ...]  # nodes at which contributions may meet
    draining: bool  # the budget is trained

    @property
    def version(self) -> int:
        """The newest version."""

    @property
    def merged_us(self) -> int:
        """When the newest version was made."""

    def node(self, node: int) -> NodeView:
        """A training node's state."""

    def timeline(self, node: int, until_us: int) -> tuple[Sequence[int], Sequence[int]]:
        """A node's whole steps over time, from now on, to be interpolated."""

    def pause_us(self, node: int) -> int | None:
        """When a node that trains will next stop for want of energy; None if not before the horizon."""

    def result_arrival_us(self, node: int, version: int) -> int | None:
        """When a node receives a version that was made; None if not before the horizon."""


MemoryT = TypeVar("MemoryT")


class Policy(Protocol[MemoryT]):
    """One way to synchronise. ``memory`` is immutable and its own; ``decide`` has no side effects."""

    @property
    def name(self) -> str:
        """As recipes and reports name it."""

    @property
    def weights(self) -> Literal["uniform", "tokens"]:
        """How much each contribution counts: all the same, or by its tokens."""

    def start(self) -> MemoryT:
        """The memory at the start."""

    def decide(self, event: Event, view: View, memory: MemoryT) -> tuple[list[Decision], MemoryT]:
        """What to do about an event."""
