"""What the simulation knows of the model's copies: each node's replica, outer gradients on their way, versions made."""

from __future__ import annotations

from dataclasses import dataclass, field

from orbital_train.schedule.network import Route


@dataclass(slots=True)
class Snapshot:
    """An outer gradient that is under way or waits at its site."""

    value: str
    node: int
    site: int
    base_version: int
    total_steps: int  # of its node when it was taken
    steps: int
    arrived: bool = False


@dataclass(slots=True)
class Replica:
    """What the simulation knows of one training node beside its energy."""

    goal: int | None = None
    commands: int = 0  # counts changes; a predicted goal is void when it is not the one it was made for
    base_version: int = 0
    base_steps: int = 0  # own steps that the adopted version holds
    merged_steps: int = 0  # own steps that any version holds
    planned: tuple[int, Route] | None = None  # site and route of an outer gradient that it will send
    snapshot: Snapshot | None = None
    merged_in: int | None = None  # version that holds its last contribution, until it adopts it
    merged_snapshot: Snapshot | None = None
    received: set[int] = field(default_factory=set)
    applied: int = 0  # newest version that it has together with all before


@dataclass(slots=True)
class Version:
    """A version that was made: when, from how many steps, and how it reaches every node."""

    made_us: int
    merged_steps: int
    complete_us: dict[int, int]  # when each node has it together with all before
    transfers: dict[int, tuple[int, ...]]
