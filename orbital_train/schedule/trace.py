"""The trace: a dataflow of immutable named values, in integer microseconds.

Every operation (``ops/``) has a dense ``id`` in topological order; it reads and writes named values (``values.py``),
each written once. Anything that executes operations in id order therefore finds every value that it needs. How a value
travels is told by the transfers that carry it: those of one name form a tree from where the value was written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from orbital_train.schedule.ops.base import Op
from orbital_train.schedule.ops.merging import Merge
from orbital_train.schedule.transfers import Transfer
from orbital_train.schedule.values import GLOBAL, OwnVersions


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeAccount:
    """What one node did over the run, in exact whole steps, microseconds and watt-hours."""

    name: str
    trains: bool
    steps: int  # whole inner steps trained
    steps_allowed: int  # that its energy and its outages would have allowed, had it never waited
    steps_always_powered: int  # of the same node in constant sunlight
    training_us: int
    no_energy_us: int
    waiting_us: int  # powered, but told to wait (for a link, a merge or the end)
    down_us: int
    restoring_us: int  # up again, but waiting for the model
    harvested_wh: float  # at the array, before curtailment
    curtailed_wh: float
    consumed_wh: float
    battery_loss_wh: float
    unserved_wh: float
    battery_us: tuple[int, ...] = field(repr=False)  # battery energy at these times, linear in between
    battery_wh: tuple[float, ...] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Trace:
    """The whole of a simulated run."""

    policy: str
    fleet_nodes: tuple[int, ...]  # indices of the nodes that train
    fragments: int
    versions: tuple[int, ...]  # of each fragment, that the final model is made of
    budget_steps: int
    merged_steps: int  # a step counts where all fragments of it are merged; parts of steps add up
    own: OwnVersions = ()  # gossip: the final model is the mean of these
    end_us: int
    step_us: int
    tokens_per_step: int
    message_bits: int  # of an outer gradient of the whole model
    state_bits: int  # of its parameters
    transfers: tuple[Transfer, ...]
    ops: tuple[Op, ...]
    accounts: tuple[NodeAccount, ...]  # one per node of the contact plan

    @property
    def grouped(self) -> bool:
        """Whether groups of nodes have models of their own."""
        return any(op.scope != GLOBAL for op in self.of_kind(Merge))

    def of_kind(self, kind: type[Op]) -> Iterator[Any]:
        """Operations of one kind, in id order."""
        return (op for op in self.ops if type(op) is kind)
