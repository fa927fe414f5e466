"""What each node was doing, as spans of time: arrays of shape (K, 2) of start and end in seconds, sorted, disjoint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from orbital_train.schedule.faults import FaultPlan
from orbital_train.schedule.ops.nodes import Lose, Restore, Step, SyncStep
from orbital_train.schedule.trace import NodeAccount, Trace
from orbital_train.windows.intervals import subtract
from orbital_train.windows.plan import FloatArray, Illumination
from orbital_train.windows.search import Windows


@dataclass(frozen=True, kw_only=True)
class Activity:
    """One node over the run: at every moment it does one of these."""

    training: FloatArray  # (K, 2) s
    waiting: FloatArray  # it has the energy to train, and was told to wait
    no_energy: FloatArray
    down: FloatArray
    restoring: FloatArray  # it is up again, and waits for the model


def kinds(trace: Trace) -> tuple[str, ...]:
    """What nodes of this run can be seen doing: faults only where there were any."""
    failed = any(account.down_us or account.restoring_us for account in trace.accounts)
    names = ("training", "waiting", "no_energy", "down", "restoring")
    return names if failed else names[:3]


def activities(trace: Trace, faults: FaultPlan) -> dict[int, Activity]:
    """The activity of every node that trains, by node index.

    Breaks shorter than one inner step (the rest of a step that was cut short) count as training. A trace records how
    long each node waited and how long it had no energy, not when; the breaks are therefore told apart by the
    battery level at which they begin: the lowest ones, as many as add up best to the recorded time without energy.
    """
    out, down = _out(trace), _down(trace, faults)
    spans: dict[int, list[tuple[float, float]]] = {node: [] for node in trace.fleet_nodes}
    for op in trace.ops:
        if isinstance(op, Step):
            spans[op.node].append((op.start_us / 1e6, op.end_us / 1e6))
        elif isinstance(op, SyncStep):
            for node in op.group:
                spans[node].append((op.start_us / 1e6, op.end_us / 1e6))
    return {node: _activity(trace, node, _spans(s), out[node], down[node]) for node, s in spans.items()}


def _activity(trace: Trace, node: int, steps: FloatArray, out: FloatArray, down: FloatArray) -> Activity:
    training = joined(steps[np.argsort(steps[:, 0], kind="stable")], trace.step_us / 1e6)
    breaks = complement(training, trace.end_us / 1e6)
    here, up = _without(breaks, out), _without(breaks, down)
    waiting, no_energy = _told_apart(here, trace.accounts[node])
    return Activity(
        training=training,
        waiting=waiting,
        no_energy=no_energy,
        down=_without(breaks, up),
        restoring=_without(up, here),
    )


def _out(trace: Trace) -> dict[int, FloatArray]:
    """When each node that trains was down or had not restored its state yet."""
    found: dict[int, list[tuple[float, float]]] = {node: [] for node in trace.fleet_nodes}
    since_us: dict[int, int] = {}
    for op in trace.ops:
        if isinstance(op, Lose):
            since_us.setdefault(op.node, op.end_us)
        elif isinstance(op, Restore) and op.node in since_us:
            found[op.node].append((since_us.pop(op.node) / 1e6, op.end_us / 1e6))
    for node, at_us in since_us.items():
        found[node].append((at_us / 1e6, trace.end_us / 1e6))
    return {node: _spans(spans) for node, spans in found.items()}


def _down(trace: Trace, faults: FaultPlan) -> dict[int, FloatArray]:
    """When each node that trains was down."""
    found: dict[int, list[tuple[float, float]]] = {node: [] for node in trace.fleet_nodes}
    for outage in faults.down:
        end_us = trace.end_us if outage.end_us is None else min(outage.end_us, trace.end_us)
        if outage.node in found and outage.start_us < end_us:
            found[outage.node].append((outage.start_us / 1e6, end_us / 1e6))
    return {node: _spans(spans) for node, spans in found.items()}


def _spans(rows: Iterable[tuple[float, float]]) -> FloatArray:
    return np.array(list(rows), dtype=np.float64).reshape(-1, 2)


def _without(spans: FloatArray, gaps: FloatArray) -> FloatArray:
    """What the gaps leave of these spans."""
    left = subtract(*(Windows(np.zeros(len(rows), dtype=np.int64), rows[:, 0], rows[:, 1]) for rows in (spans, gaps)))
    return np.column_stack([left.start_s, left.end_s])


def _told_apart(breaks: FloatArray, account: NodeAccount) -> tuple[FloatArray, FloatArray]:
    if not account.battery_us:
        return breaks, breaks[:0]
    level_wh = np.interp(breaks[:, 0], np.array(account.battery_us) / 1e6, account.battery_wh)
    lowest_first = np.argsort(level_wh, kind="stable")
    summed_s = np.concatenate([[0.0], np.cumsum(np.diff(breaks[lowest_first], axis=1))])
    chosen = lowest_first[: int(np.argmin(np.abs(summed_s - account.no_energy_us / 1e6)))]
    is_dark = np.zeros(len(breaks), dtype=bool)
    is_dark[chosen] = True
    return breaks[~is_dark], breaks[is_dark]


def joined(spans: FloatArray, gap_s: float) -> FloatArray:
    """The same spans, with those joined that are less than ``gap_s`` apart."""
    if not len(spans):
        return spans
    new = np.append(True, spans[1:, 0] - spans[:-1, 1] >= gap_s)
    return np.column_stack([spans[new, 0], spans[np.append(new[1:], True), 1]])


def complement(spans: FloatArray, end_s: float) -> FloatArray:
    """What of ``[0, end_s)`` the spans leave out."""
    edges = np.column_stack([np.append(0.0, spans[:, 1]), np.append(spans[:, 0], end_s)])
    return edges[edges[:, 1] > edges[:, 0]]


def sunlit_spans(light: Illumination, node: int) -> FloatArray:
    """When a node sees at least part of the Sun."""
    edge_s, lit = light.edge_s[node], light.fraction[node] > 0
    return joined(np.column_stack([edge_s[:-1][lit], edge_s[1:][lit]]), 1e-6)


def coverage(spans: Iterable[FloatArray], edge_s: FloatArray) -> FloatArray:
    """How many of these spans are open, averaged exactly over each bin between ``edge_s`` (B + 1,): shape (B,)."""
    both = np.concatenate([np.empty((0, 2)), *spans])
    return np.diff(_open_time_s(both, edge_s)) / np.diff(edge_s)


def _open_time_s(spans: FloatArray, at_s: FloatArray) -> FloatArray:
    """Total time that the spans have been open by each moment."""

    def since(times: FloatArray) -> FloatArray:
        times = np.sort(times)
        before = np.searchsorted(times, at_s, side="right")
        total: FloatArray = before * at_s - np.append(0.0, np.cumsum(times))[before]
        return total

    return since(spans[:, 0]) - since(spans[:, 1])


def orbit_period_s(light: Illumination, nodes: Iterable[int]) -> float | None:
    """The orbit's period, from eclipse to eclipse of the first node with two of them; None without."""
    for node in nodes:
        dark = light.fraction[node] == 0
        starts_s = light.edge_s[node][1:-1][dark[1:] & ~dark[:-1]]
        if len(starts_s) > 1:
            return float(np.median(np.diff(starts_s)))
    return None


def fleet_shares(trace: Trace) -> dict[str, float]:
    """Shares of the fleet's time over the whole run by :func:`kinds`, exact from the accounts."""
    accounts = [trace.accounts[node] for node in trace.fleet_nodes]
    parts = {name: sum(getattr(a, f"{name}_us") for a in accounts) for name in kinds(trace)}
    total = sum(parts.values())
    return {name: part / total for name, part in parts.items()}
