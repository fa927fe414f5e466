"""One node over time: its light, its battery, and the whole inner steps that it trains.

The node is advanced lazily: between two changes of what it is told to do, everything follows in closed form from light
edges, loads and battery thresholds. A copy advanced ahead of time is therefore a prediction, and an exact one.
"""

from __future__ import annotations

import math
from bisect import insort
from dataclasses import dataclass
from typing import Literal, NamedTuple

from orbital_train.schedule.power import US_PER_H, PowerSpec, flow, slope_w, time_to_level_us


class Run(NamedTuple):
    """Whole inner steps trained without a break: ``n`` steps from ``start_us``, the first with index ``first``."""

    start_us: int
    first: int
    n: int
    step_us: int
    known_us: int = 0  # when it was known that no more belong to it, if that was after its end

    @property
    def end_us(self) -> int:
        """When the last of them ends."""
        return self.start_us + self.n * self.step_us


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeSetting:
    """What does not change about a node during a simulation."""

    step_us: int
    trains: bool
    power: PowerSpec | None  # None: mains power, never dark (ground sites, ideal baselines)
    edge_us: tuple[int, ...]  # illumination is fraction[k] on [edge_us[k], edge_us[k + 1])
    supply_w: tuple[float, ...]


class Node:
    """Mutable state of one node; see the module's docstring."""

    def __init__(self, setting: NodeSetting) -> None:
        self.setting = setting
        self.now_us = 0
        self.energy_wh = setting.power.battery_wh if setting.power else math.inf
        self.powered = True  # has the energy to train (with hysteresis)
        self.wanted = False  # is told to train
        self.run_start_us = -1  # start of the first step not yet in ``runs``; -1 while no step is in progress
        self.step_us = setting.step_us  # of the step in progress, and of those after it unless the pace changes
        self.out: Literal["", "down", "restoring", "staging"] = ""  # why it could not train whatever it is told
        self.steps = 0  # whole steps, up to ``now_us``, that are in ``runs``
        self.runs: list[Run] = []  # finished runs that were not taken yet
        self.sends: tuple[tuple[int, int], ...] = ()  # intervals in which a message is sent, sorted
        self.training_us = self.no_energy_us = self.waiting_us = self.down_us = self.restoring_us = 0
        self.harvested_wh = self.consumed_wh = self.curtailed_wh = self.loss_wh = self.unserved_wh = 0.0
        self.battery: list[tuple[int, float]] = [(0, self.energy_wh)] if setting.power else []
        self._edge = 0
        self._next_step_us: int | None = None  # from the next step on
        self._loads: tuple[float, float, float] | None = None  # as they are now; None: to be worked out

    # -- commands ---

    def train(self) -> None:
        """Start training, or go on."""
        self.wanted = self.setting.trains
        self._start_or_stop()

    def hold(self) -> None:
        """Stop training; a step in progress is lost."""
        self.wanted = False
        self._start_or_stop()

    def put_out(self, why: Literal["", "down", "restoring", "staging"]) -> None:
        """Let it fail, wait for the model, or be as good as new; a step in progress when it fails is lost."""
        self.out = why
        self._start_or_stop()

    def set_pace(self, factor: float) -> None:
        """Let steps take so many times as long as usual, from the next one on."""
        self._next_step_us = math.ceil(self.setting.step_us * factor)
        self._change_pace()

    def add_send(self, start_us: int, end_us: int) -> None:
        """Book the load of a transmission that begins now or later."""
        sends = list(self.sends)
        insort(sends, (start_us, end_us))
        self.sends = tuple(s for s in sends if s[1] > self.now_us)
        self._loads = None

    def remove_send(self, start_us: int, end_us: int) -> None:
        """Take back the load of a transmission, as far as it is still ahead."""
        sends = list(self.sends)
        sends.remove((start_us, end_us))
        if start_us < self.now_us:
            insort(sends, (start_us, self.now_us))
        self.sends = tuple(sends)
        self._loads = None

    def take_runs(self) -> list[Run]:
        """All whole steps since the last call, up to now. A step in progress stays in progress."""
        self._bank()
        self._close_run()
        runs, self.runs = self.runs, []
        return runs

    def stepped_now(self) -> bool:
        """Whether a step that was not taken yet ended at this very moment."""
        last = self.runs[-1] if self.runs else None
        return last is not None and last.end_us == self.now_us

    def drop_last_step(self) -> None:
        """Undo the step that ended just now (the run's budget was exceeded by steps that ended together)."""
        run = self.runs.pop()
        if run.n > 1:
            self.runs.append(Run(run.start_us, run.first, run.n - 1, run.step_us, self.now_us))
        self.steps -= 1

    # -- time ---

    def advance(self, to_us: int) -> None:
        """Let time pass until ``to_us``."""
        while self.now_us < to_us:
            self._segment(self._segment_end(to_us))
        self._bank()

    def time_of_steps_us(self, steps: int, until_us: int) -> int | None:
        """When the node will have trained ``steps`` whole steps in all; None if not by ``until_us``."""
        ahead = self.fork()
        while ahead.steps < steps:
            if ahead.now_us >= until_us:
                return None
            if ahead.run_start_us >= 0:
                done_us = ahead.run_start_us + (steps - ahead.steps) * ahead.step_us
                ahead._segment(ahead._segment_end(min(done_us, until_us)))
            else:
                ahead._segment(ahead._segment_end(until_us))
            ahead._bank()
        return ahead.now_us

    def boundary_us(self) -> int:
        """The next moment at which no step is in progress (now, if none is)."""
        if self.run_start_us < 0 or self.now_us == self.run_start_us:
            return self.now_us
        done_us = self.run_start_us + self.step_us
        if self._has_energy_until(done_us):
            return done_us
        ahead = self.fork()
        while ahead.now_us < done_us and ahead.run_start_us >= 0:
            ahead._segment(ahead._segment_end(done_us))
        return ahead.now_us

    def pause_us(self, until_us: int) -> int | None:
        """When the node will next be without the energy to train (now, if it is); None if not by ``until_us``."""
        ahead = self.fork()
        while ahead.run_start_us >= 0 and ahead.now_us < until_us:
            ahead._segment(ahead._segment_end(until_us))
        return None if ahead.run_start_us >= 0 or not ahead.wanted else ahead.now_us

    def timeline(self, until_us: int) -> tuple[list[int], list[int]]:
        """Whole steps over time, from now to ``until_us``, if it is told nothing new.

        Returns corners (times in order, steps) to interpolate between and round down: each stretch of training starts
        and ends in one, at the boundary of a step. The first corner is the start of the step in progress, or now.
        """
        ahead = self.fork()
        times = [self.run_start_us if self.run_start_us >= 0 else self.now_us]
        steps = [self.steps]
        ahead.advance(until_us)
        for run in ahead.runs:
            times += [run.start_us, run.end_us]
            steps += [run.first, run.first + run.n]
        return [*times, until_us], [*steps, ahead.steps]

    def fork(self) -> Node:
        """A copy that can be advanced without touching this one."""
        ahead = Node.__new__(Node)
        ahead.__dict__.update(self.__dict__)
        ahead.runs, ahead.battery = [], []
        return ahead

    # -- inside ---

    def _loads_w(self) -> tuple[float, float, float]:
        """Supply, load, and how fast the battery fills, right now."""
        if self._loads is None:
            power = self.setting.power
            assert power is not None
            load_w = power.idle_w + (power.train_w if self.run_start_us >= 0 else 0.0)
            for start_us, end_us in self.sends:
                if start_us > self.now_us:
                    break
                if self.now_us < end_us:
                    load_w += power.transmit_w
            supply_w = self.setting.supply_w[self._edge]
            self._loads = supply_w, load_w, slope_w(power, supply_w, load_w)
        return self._loads

    def _has_energy_until(self, to_us: int) -> bool:
        """Whether its battery is sure to last, without any supply and with all messages sent at once."""
        power = self.setting.power
        if power is None:
            return True
        load_w = power.idle_w + power.train_w + power.transmit_w * len(self.sends)
        left_wh = self.energy_wh + slope_w(power, 0.0, load_w) * (to_us - self.now_us) / US_PER_H
        return left_wh > power.floor_wh * (1.0 + 1e-9)

    def _segment_end(self, to_us: int) -> int:
        """The end of the longest interval from now in which supply and load are constant; at least 1 us away."""
        power = self.setting.power
        if self._next_step_us is not None:
            to_us = min(to_us, self.run_start_us + self.step_us)
        if power is None:
            return to_us
        end_us, now_us = to_us, self.now_us
        if self._edge + 1 < len(self.setting.supply_w):
            end_us = min(end_us, self.setting.edge_us[self._edge + 1])
        for start_us, stop_us in self.sends:
            if start_us >= end_us:
                break
            if start_us > now_us:
                end_us = start_us
            elif now_us < stop_us < end_us:
                end_us = stop_us
        rate_w = self._loads_w()[2]
        level_wh = self._next_level_wh(power, rate_w)
        if level_wh is None:
            return end_us
        # For ever, at the smallest of rates. Rounded up, so that the threshold is reached when the segment ends.
        wait_us = min(end_us - now_us, time_to_level_us(self.energy_wh, level_wh, rate_w))
        return now_us + max(1, math.ceil(wait_us))

    def _next_level_wh(self, power: PowerSpec, rate_w: float) -> float | None:
        """The battery level at which something changes next, at this rate."""
        energy_wh = self.energy_wh
        if rate_w < 0 < energy_wh:
            return power.floor_wh if self.powered and power.floor_wh < energy_wh else 0.0
        if rate_w > 0:
            if not self.powered and power.resume_wh > energy_wh:
                return power.resume_wh
            if power.battery_wh > energy_wh:
                return power.battery_wh
        return None

    def _segment(self, end_us: int) -> None:
        duration_us = end_us - self.now_us
        if self.setting.trains:
            self._count_time(duration_us)
        power = self.setting.power
        if power is None:
            self.now_us = end_us
            self._bank()
            return
        supply_w, load_w, _ = self._loads_w()
        stored_wh, harvested_wh, consumed_wh, curtailed_wh, loss_wh, unserved_wh = flow(
            power, self.energy_wh, supply_w, load_w, duration_us
        )
        self.energy_wh = min(power.battery_wh, max(0.0, self.energy_wh + stored_wh))
        self.harvested_wh += harvested_wh
        self.consumed_wh += consumed_wh
        self.curtailed_wh += curtailed_wh
        self.loss_wh += loss_wh
        self.unserved_wh += unserved_wh
        self.battery.append((end_us, self.energy_wh))
        self.now_us, self._loads = end_us, None
        edge_us, last = self.setting.edge_us, len(self.setting.supply_w) - 1
        while self._edge < last and edge_us[self._edge + 1] <= end_us:
            self._edge += 1
        self._switch(power)

    def _count_time(self, duration_us: int) -> None:
        if self.out == "down":
            self.down_us += duration_us
        elif self.out == "restoring":
            self.restoring_us += duration_us
        elif self.out:
            self.waiting_us += duration_us
        elif self.run_start_us >= 0:
            self.training_us += duration_us
        elif self.powered:
            self.waiting_us += duration_us
        else:
            self.no_energy_us += duration_us

    def _switch(self, power: PowerSpec) -> None:
        """Apply the battery thresholds: training stops at the floor and starts again at the resume level."""
        tolerance_wh = 1e-13 * power.battery_wh  # rounding: less than passes in a microsecond
        if self.powered:
            stays = self.energy_wh > power.floor_wh + tolerance_wh or self._loads_w()[2] >= 0
        else:
            stays = self.energy_wh < power.resume_wh - tolerance_wh
        if stays:
            self._bank()
        else:
            self.powered = not self.powered
            self._start_or_stop()

    def _start_or_stop(self) -> None:
        self._bank()
        was_running = self.run_start_us >= 0
        if self.wanted and self.powered and not self.out:
            if self.run_start_us < 0:
                self.run_start_us = self.now_us
        else:
            self._close_run()
            self.run_start_us = -1
        self._change_pace()
        if was_running != (self.run_start_us >= 0):
            self._loads = None

    def _close_run(self) -> None:
        """Note that the steps that were trained so far without a break are followed by no others."""
        if self.runs and self.runs[-1].end_us == self.run_start_us:
            self.runs[-1] = self.runs[-1]._replace(known_us=self.now_us)

    def _bank(self) -> None:
        """Move the steps that are complete by now into ``runs``."""
        if self.run_start_us < 0:
            return
        n = (self.now_us - self.run_start_us) // self.step_us
        if n:
            last = self.runs[-1] if self.runs else None
            if last and last.end_us == self.run_start_us and last.step_us == self.step_us:
                self.runs[-1] = Run(last.start_us, last.first, last.n + n, self.step_us)
            else:
                self.runs.append(Run(self.run_start_us, self.steps, n, self.step_us))
            self.steps += n
            self.run_start_us += n * self.step_us
        if self._next_step_us is not None:
            self._change_pace()

    def _change_pace(self) -> None:
        """Take up another pace between two steps."""
        if self._next_step_us is not None and self.run_start_us in (-1, self.now_us):
            self.step_us, self._next_step_us = self._next_step_us, None
