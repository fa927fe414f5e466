"""A policy that does what a test tells it to do, when it tells it to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from orbital_train.schedule import known
from orbital_train.schedule.known import Adoption, Decision, Event, View


@dataclass(frozen=True, kw_only=True)
class Scripted:
    """All train from the start. ``at_s`` has what is decided at which time, ``on`` what follows an event."""

    at_s: dict[float, list[Decision]] = field(default_factory=dict)
    on: dict[Event, list[Decision]] = field(default_factory=dict)
    home: tuple[int, ...] = ()
    weights: Literal["uniform", "tokens"] = "tokens"
    adoption: Adoption = field(default_factory=Adoption)
    name: str = "scripted"

    @property
    def wants(self) -> frozenset[type[Event]]:
        """What the script speaks of."""
        return frozenset({known.Started, known.Woke, *map(type, self.on)})

    def start(self) -> tuple[Event, ...]:
        """Nothing has happened."""
        return ()

    def decide(self, event: Event, view: View, memory: tuple[Event, ...]) -> tuple[list[Decision], tuple[Event, ...]]:
        """Events are remembered, and the script is followed."""
        memory = (*memory, event)
        if isinstance(event, known.Started):
            wakes = [known.Wake(round(at_s * 1e6), str(at_s)) for at_s in self.at_s]
            return [*(known.Train(node) for node in view.training_nodes), *wakes], memory
        if isinstance(event, known.Woke):
            return self.at_s[float(event.note)], memory
        return self.on.get(event, []), memory
