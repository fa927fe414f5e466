"""What a simulation is given."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from orbital_train.schedule.faults import NO_FAULTS, FaultPlan
from orbital_train.schedule.node import Node, NodeSetting
from orbital_train.schedule.power import PowerSpec
from orbital_train.schedule.workload import Workload
from orbital_train.windows.plan import ContactPlan, Illumination


@dataclass(frozen=True, kw_only=True)
class StagingSpec:
    """What is brought up before the training, and down after it."""

    sources: tuple[int, ...]  # nodes or sites that have the first model and all data at the start
    data_bits: int  # of each node's own data
    deliver_to: tuple[int, ...] = ()  # sites of which one is to get the final model; none: it stays in orbit


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A fleet in its orbits, its power, its work and its budget.

    ``training_nodes`` are indices into the contact plan's nodes; the others (ground sites) relay and may be places of
    merging, and need no battery. ``light`` is what falls on the nodes' arrays: sunlit fraction, times the cosine of
    incidence where arrays do not track the Sun (:mod:`orbital_train.windows.incidence`). ``power`` None means mains
    power: an ideal baseline. ``budget_steps`` inner steps are trained by the fleet together; then everything still
    unmerged is drained.
    """

    contacts: ContactPlan
    light: Illumination
    power: PowerSpec | None
    workload: Workload
    training_nodes: tuple[int, ...]
    budget_steps: int
    evaluate_every_steps: int  # of the fleet, merged
    faults: FaultPlan = NO_FAULTS
    staging: StagingSpec | None = None
    more_faults: bool = False  # some may be appended while it is trained

    @property
    def horizon_us(self) -> int:
        """End of the contact plan, in whole microseconds."""
        return math.floor(self.contacts.horizon_s * 1e6)

    @cached_property
    def _training(self) -> frozenset[int]:
        return frozenset(self.training_nodes)

    def build_nodes(self) -> list[Node]:
        """Every node of the contact plan at time zero, with a full battery, waiting."""
        return [Node(self._setting(i)) for i in range(len(self.contacts.node_names))]

    def _setting(self, node: int) -> NodeSetting:
        trains = node in self._training
        power = self.power if trains else None
        edges_us = tuple(math.ceil(edge_s * 1e6) for edge_s in self.light.edge_s[node].tolist())
        array_w = power.array_w(self.light.sun_distance_au) if power else 0.0
        supply_w = tuple(array_w * fraction for fraction in self.light.fraction[node].tolist())
        return NodeSetting(
            step_us=self.workload.step_us, trains=trains, power=power, edge_us=edges_us, supply_w=supply_w
        )
