"""What a policy is told, and what it may decide: the whole interface between policies and the simulation.

A policy is a pure function ``decide(event, view, memory) -> (decisions, memory)``; ``memory`` is an immutable value of
its own. It sees orbits, links and light ahead of time, and the past; nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeVar

from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.collectives.plan import Collective
from orbital_train.schedule.groups import Groups
from orbital_train.schedule.network import Hop, Network
from orbital_train.schedule.ops.nodes import AdoptMode

Key = tuple[int, ...]
"""Names a gathering; the policy chooses it, and does not use it again while the gathering is open."""

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
    """A node's outer gradient of a fragment was taken, to be merged at a site."""

    node: int
    fragment: int


@dataclass(frozen=True, slots=True)
class Gathered:
    """All outer gradients of a gathering are at its site."""

    key: Key


@dataclass(frozen=True, slots=True)
class Lost:
    """Something of a gathering was at a node that failed, or a message of an all-reduce was lost: it will not come."""

    key: Key


@dataclass(frozen=True, slots=True)
class Merged:
    """A version of a fragment was made and is on its way to everybody, or to everybody of a group whose model it is."""

    fragment: int
    version: int
    group: int | None = None


@dataclass(frozen=True, slots=True)
class Exchanged:
    """A node's side of an exchange is over: it has mixed, or what it waited for has not come and it gives up."""

    node: int
    partner: int
    fragment: int
    mixed: bool


@dataclass(frozen=True, slots=True)
class Adopted:
    """A node has adopted a version of a fragment."""

    node: int
    fragment: int
    version: int


@dataclass(frozen=True, slots=True)
class NodeDown:
    """It is known that a node is down; it was for a while."""

    node: int


@dataclass(frozen=True, slots=True)
class NodeBack:
    """It is known that a node is back, with a model."""

    node: int


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
    | Gathered
    | Lost
    | Merged
    | Exchanged
    | Adopted
    | NodeDown
    | NodeBack
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
    """Take a node's outer gradient of a fragment now and send it to a site by the route of earliest arrival.

    It is a gathering of one; without a route it is taken and goes nowhere.
    """

    key: Key
    node: int
    fragment: int
    site: int


@dataclass(frozen=True, slots=True)
class Gather:
    """Take outer gradients of a fragment, add them up on the way, and bring the sum to a site.

    ``snapshots`` says whose, and when; what leaves a node by one of the ``legs``, which are booked now, is the sum of
    what it has of this gathering: its own outer gradient and what has come to it. Every leg leads to a node that has a
    leg of its own, later, or to the site.
    """

    key: Key
    fragment: int
    site: int
    snapshots: tuple[tuple[int, int], ...]  # (node, at_us)
    legs: tuple[Hop, ...]  # in the order in which they leave


@dataclass(frozen=True, slots=True)
class AllReduce:
    """Add up outer gradients of a fragment in parts, as planned, and bring the sum to all whose they are: a merge.

    They all hold the newest version. It is merged as soon as one has the whole sum. Before that it fails where any
    message of it is lost: then :class:`Lost` is told.
    """

    key: Key
    fragment: int
    plan: Collective  # its nodes hold the global model


@dataclass(frozen=True, slots=True)
class Cancel:
    """Give up a gathering of which no outer gradient was taken yet."""

    key: Key


@dataclass(frozen=True, slots=True)
class MergeNow:
    """Merge what has come of these gatherings to their one site; what has not come is refused.

    The averaged outer gradient goes to all who hold the global model. Others are sent the version's parameters if they
    are named in ``to``.
    """

    fragment: int
    keys: tuple[Key, ...]
    to: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Discard:
    """Refuse a gathering: the nodes keep their progress, which their next outer gradients hold again."""

    key: Key


@dataclass(frozen=True, slots=True)
class Exchange:
    """Let two nodes send each other their outer gradients of a fragment and the slow weights that these started from.

    The legs are booked now. Each node takes its outer gradient when its message leaves, and mixes once that and the
    other's message are there. A node is in one exchange of a fragment at a time; :class:`Exchanged` is said of each of
    the two when it is over.
    """

    fragment: int
    a: int
    b: int
    to_b: tuple[Hop, ...]
    to_a: tuple[Hop, ...]


@dataclass(frozen=True, slots=True)
class SendGroup:
    """Take a group's outer gradient now and send it to a site, from whichever of its nodes it is there first.

    It is a gathering of one. Nothing is taken where no node of the group has its newest version and a route.
    """

    key: Key
    group: int
    site: int


@dataclass(frozen=True, slots=True)
class Wake:
    """Ask for :class:`Woke` at this time."""

    at_us: int
    note: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Nothing is left to do."""


Decision = Train | Hold | Send | Gather | AllReduce | Cancel | MergeNow | Discard | Exchange | SendGroup | Wake | Finish

# -- the view ---


class NodeView(NamedTuple):
    """One training node, and its copy of one fragment, as they are known now."""

    node: int
    fragment: int
    steps: int  # whole inner steps ever trained
    snapshot_steps: int  # of those, how many were in its last snapshot that was merged or is under way
    unmerged_steps: int  # steps that no merge holds yet, those of a snapshot under way included
    base_version: int  # the version it last adopted
    holding: bool
    waiting_for: int | None  # version that holds its last contribution and that it has not adopted yet
    under_way: bool  # its outer gradient is on the way to, or waits at, a site; or it is in an exchange


class GroupState(NamedTuple):
    """What a group's model holds, as it is known now."""

    unmerged_steps: int  # of its nodes, that no global version holds
    free: bool  # its outer gradient may be taken: the last one is merged, and its result taken


class View(Protocol):
    """What is known now. Predictions are exact as long as a node is told nothing new."""

    horizon_us: int
    step_us: int
    fragments: int
    fragment_bits: int  # of one outer gradient of a fragment, or of an average of them
    offer_bits: int  # of one outer gradient of a fragment with the slow weights that it started from
    network: Network
    training_nodes: tuple[int, ...]
    holders: tuple[int, ...]  # nodes that hold the global model
    sites: tuple[int, ...]  # nodes at which contributions may meet
    groups: Groups  # nodes that share a model between global merges; one of all where the policy has none

    @property
    def now_us(self) -> int:
        """Now."""

    @property
    def bookings(self) -> Bookings:
        """All that is booked; fork before trying something out."""

    @property
    def draining(self) -> bool:
        """Whether the budget is trained."""

    @property
    def down(self) -> frozenset[int]:
        """Nodes that are known to be out: routes avoid them."""

    def sum_bits(self, count: int) -> int:
        """Size of a message on its way to a site that holds this many outer gradients of a fragment."""

    def gathered(self, key: Key) -> bool:
        """Whether all outer gradients of a gathering are at its site."""

    def begun(self, key: Key) -> bool:
        """Whether any outer gradient of a gathering was taken: then it cannot be cancelled."""

    def arrived(self, key: Key) -> bool:
        """Whether anything of a gathering is at its site."""

    def version(self, fragment: int) -> int:
        """The newest version of a fragment."""

    def merged_us(self, fragment: int) -> int:
        """When the newest version of a fragment was made."""

    def group(self, number: int) -> View:
        """What is known within a group: its nodes, and its model, whose versions are counted along its own line."""

    def group_state(self, number: int) -> GroupState:
        """A group's model beside the global one."""

    def node(self, node: int, fragment: int) -> NodeView:
        """A training node's state."""

    def timeline(self, node: int, until_us: int) -> tuple[Sequence[int], Sequence[int]]:
        """A node's whole steps over time, from now on, to be interpolated."""

    def pause_us(self, node: int) -> int | None:
        """When a node that trains will next stop for want of energy; None if not before the horizon."""

    def result_arrival_us(self, node: int, fragment: int, version: int) -> int | None:
        """When a node has a version that was made, and all before it; None if not before the horizon."""


@dataclass(frozen=True, slots=True)
class Adoption:
    """How nodes take a result: at their first step boundary after it has come.

    A node that trains takes one that holds a contribution of its own no sooner than ``after_steps`` inner steps after
    the contribution's snapshot.
    """

    mode: AdoptMode = "keep"
    alpha: float = 1.0  # of ``blend``
    after_steps: int = 0
    scope: Literal["global", "own", "group"] = "global"  # whose versions: the global model's, slow weights of their own


MemoryT = TypeVar("MemoryT")


class Policy(Protocol[MemoryT]):
    """One way to synchronise. ``memory`` is immutable and its own; ``decide`` has no side effects."""

    @property
    def name(self) -> str:
        """As recipes and reports name it."""

    @property
    def weights(self) -> Literal["uniform", "tokens"]:
        """How much each contribution counts: all the same, or by its tokens."""

    @property
    def adoption(self) -> Adoption:
        """What nodes do with results."""

    @property
    def home(self) -> tuple[int, ...]:
        """Nodes or sites that hold the global model, and its outer momentum; none: all that train do."""

    @property
    def wants(self) -> frozenset[type[Event]]:
        """The events that it is told of; one for every node and round costs time in large fleets."""

    def start(self) -> MemoryT:
        """The memory at the start."""

    def decide(self, event: Event, view: View, memory: MemoryT) -> tuple[list[Decision], MemoryT]:
        """What to do about an event."""
