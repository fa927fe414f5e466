"""What the simulation knows of the model's copies: each node's replica, outer gradients on their way, versions made."""

from __future__ import annotations

from dataclasses import dataclass, field

from orbital_train.schedule.collectives.plan import Collective
from orbital_train.schedule.known import Key
from orbital_train.schedule.network import Hop


@dataclass(slots=True, eq=False)
class OuterGradient:
    """One node's outer gradient of a fragment, under way or waiting at its site."""

    value: str
    node: int
    fragment: int
    base_version: int
    total_steps: int  # of its node when it was taken
    steps: int
    taken_us: int
    void: bool = False  # it went with the worker that had it


@dataclass(slots=True, eq=False)
class Parcel:
    """What travels as one message: an outer gradient, or a sum of several, or a part of one."""

    value: str
    holds: tuple[OuterGradient, ...]
    part: int = 0


@dataclass(slots=True, eq=False)
class Gathering:
    """Outer gradients that are to meet at a site."""

    key: Key
    fragment: int
    site: int
    legs: tuple[Hop, ...]
    coming: set[int]  # nodes whose outer gradients are not at the site yet
    taken: list[OuterGradient] = field(default_factory=list)
    at: dict[int, list[Parcel]] = field(default_factory=dict)  # what each node has of it
    leaving: dict[int, int] = field(default_factory=dict)  # how many legs each node has still ahead
    begun: bool = False  # an outer gradient was taken
    open: bool = True  # something of it may still be merged
    cancelled: bool = False


@dataclass(slots=True, eq=False, kw_only=True)
class Reduction(Gathering):
    """A gathering in parts: each is added up at a place of its own, and goes from there to all who take part."""

    plan: Collective
    holds: list[int]  # how many outer gradients are in each move of the plan
    lives: dict[int, int]  # of all nodes that it passes, when it began: one that has failed since holds nothing of it
    left: set[int] = field(default_factory=set)  # moves of the plan that have begun
    waiting: set[int] = field(default_factory=set)  # nodes that will have all of it
    version: int | None = None  # that was made of it


@dataclass(slots=True, eq=False)
class Copy:
    """A training node's copy of one fragment. Steps count from the node's first ever."""

    base_version: int = 0
    base_steps: int = 0  # own steps that the adopted version holds
    merged_steps: int = 0  # own steps that any version holds
    under_way: OuterGradient | None = None
    merged_in: int | None = None  # version that holds its last contribution, until it adopts it
    merged: OuterGradient | None = None  # that contribution
    applied: int = 0  # newest version that its node has
    catching_up: bool = False  # it has asked for what it misses
    exchanging: bool = False  # with another node: it is to send its outer gradient, and to mix

    def forget(self, steps: int) -> None:
        """Steps that were trained last are lost: what was merged or sent before moves up by as many."""
        self.base_steps += steps
        self.merged_steps += steps
        for gradient in (self.under_way, self.merged):
            if gradient is not None:
                gradient.total_steps += steps


@dataclass(slots=True, eq=False)
class Version:
    """A version of a fragment."""

    made_us: int
    merged_steps: int  # in all, with those before
    parent: int
    gradients: tuple[OuterGradient, ...] = ()
    complete_us: dict[int, int] = field(default_factory=dict)  # when nodes have it and all before, as far as is known
    has_us: dict[int, int] = field(default_factory=dict)  # since when nodes really have it
    update_us: dict[int, int] = field(default_factory=dict)  # and since when what makes it of the one before
    coming: dict[int, int] = field(default_factory=dict)  # who it is on its way to, as far as is known, in which life
