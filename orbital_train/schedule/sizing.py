"""What array and battery a load needs in a given light, if it is never to pause."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orbital_train.orbit.arrays import FloatArray, IntArray
from orbital_train.schedule.power import PowerSpec
from orbital_train.windows.plan import Illumination

_HALVINGS = 60


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """A power system that carries a load; infinite where there is no light."""

    array_w: float  # of the array in full sun, facing it
    battery_wh: float  # capacity, of which no more than the depth of discharge is used


def size_power(light: Illumination, nodes: Sequence[int], load_w: float, spec: PowerSpec) -> Sizing:
    """The smallest array, and with it the smallest battery, that carry a constant load on every one of these nodes.

    A node's light is divided into cycles, from the beginning of one night to the beginning of the next. In each of them
    the array must give back what the battery gave, so that nothing is carried over from one season to another; the
    battery must hold what is drawn from it until it is full again. For e of eclipse and s of sunlight an orbit this is

        array = load (1 + e / (s η_charge η_discharge)),  battery = load e / (η_discharge × depth of discharge).

    Args:
        light: on the arrays, as in :class:`~orbital_train.schedule.scenario.Scenario`.
        nodes: which of its nodes; the worst counts.
        load_w: the load. What it draws now and then (transmissions) is not in it.
        spec: efficiencies and depth of discharge; its array and battery are not looked at.
    """
    parts = [_whole_cycles(light.edge_s[i], light.fraction[i]) for i in nodes]
    lengths, fractions, begins = zip(*parts, strict=True)
    offset = np.cumsum([0, *(fraction.size for fraction in fractions[:-1])])
    begin = np.concatenate([b + first for b, first in zip(begins, offset, strict=True)])
    array_w = _balanced_w(np.concatenate(lengths), np.concatenate(fractions), begin, load_w, spec)
    if math.isinf(array_w):
        return Sizing(array_w=math.inf, battery_wh=math.inf)
    drawn_wh = max(_drawn_wh(length_s, _stored_w(array_w * fraction, load_w, spec)) for length_s, fraction, _ in parts)
    return Sizing(array_w=array_w, battery_wh=drawn_wh / spec.depth_of_discharge)


def _whole_cycles(edge_s: FloatArray, fraction: FloatArray) -> tuple[FloatArray, FloatArray, IntArray]:
    """Lengths and fractions of a node's steps in whole cycles, and the first step of each cycle.

    The cycles that the scenario's ends cut short are left out; where that leaves none, all the time is one cycle.
    """
    night = np.flatnonzero((fraction[1:] == 0) & (fraction[:-1] > 0)) + 1
    if night.size < 2:
        return np.diff(edge_s), fraction, np.zeros(1, dtype=np.int64)
    part = slice(int(night[0]), int(night[-1]))
    return np.diff(edge_s)[part], fraction[part], night[:-1] - night[0]


def _balanced_w(length_s: FloatArray, fraction: FloatArray, begins: IntArray, load_w: float, spec: PowerSpec) -> float:
    """The array at which the worst of all nodes' cycles stores as much as it draws, by bisection."""
    lit_s, all_s = np.add.reduceat(fraction * length_s, begins), np.add.reduceat(length_s, begins)
    if not lit_s.min() > 0:
        return math.inf
    low_w = np.zeros(begins.size)
    # With this much, what is lost on the way through the battery is there even if everything takes it.
    high_w = load_w * all_s / lit_s / (spec.charge_efficiency * spec.discharge_efficiency)
    counts = np.diff(np.append(begins, fraction.size))
    for _ in range(_HALVINGS):
        middle_w = (low_w + high_w) / 2.0
        stored_w = _stored_w(np.repeat(middle_w, counts) * fraction, load_w, spec)
        enough = np.add.reduceat(stored_w * length_s, begins) >= 0
        low_w, high_w = np.where(enough, low_w, middle_w), np.where(enough, middle_w, high_w)
    return float(high_w.max())


def _stored_w(supply_w: FloatArray, load_w: float, spec: PowerSpec) -> FloatArray:
    """What goes into the battery, negative what comes out of it, while it is neither full nor empty."""
    net_w = supply_w - load_w
    return np.where(net_w >= 0, net_w * spec.charge_efficiency, net_w / spec.discharge_efficiency)


def _drawn_wh(length_s: FloatArray, stored_w: FloatArray) -> float:
    """The most that a battery, full at first, is ever below full."""
    content_wh = np.concatenate([[0.0], np.cumsum(stored_w * length_s) / 3600.0])
    return float((np.maximum.accumulate(content_wh) - content_wh).max())
