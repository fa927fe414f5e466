"""What light and contacts amount to: eclipses, how much of the time nodes are linked, how many links are open."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orbital_train.windows.plan import ContactPlan, FloatArray, Illumination, IntArray

_SETTLE_S = 600.0  # a moment is taken no further into its interval than this


@dataclass(frozen=True, kw_only=True)
class Eclipses:
    """The shadow on every node over the scenario, in columns of shape (N,)."""

    umbra: FloatArray  # share of the time
    shaded: FloatArray  # share of the sunlight that is lost: umbra, and penumbra by what it covers of the Sun
    longest_s: FloatArray  # longest stretch without full sunlight, penumbra included


def eclipses(light: Illumination) -> Eclipses:
    """Measure the shadow."""
    rows = zip(light.edge_s, light.fraction, strict=True)
    table = np.array([_eclipses(np.diff(edge_s), fraction) for edge_s, fraction in rows]).reshape(-1, 3)
    return Eclipses(umbra=table[:, 0] / light.horizon_s, shaded=table[:, 1] / light.horizon_s, longest_s=table[:, 2])


def _eclipses(length_s: FloatArray, fraction: FloatArray) -> tuple[float, float, float]:
    """Time in umbra, sunlight lost, and the longest stretch of steps below 1, all in seconds."""
    dark = fraction < 1.0
    first = np.flatnonzero(dark & ~np.append(False, dark[:-1]))
    stretches_s = np.add.reduceat(np.where(dark, length_s, 0.0), first) if first.size else np.zeros(1)
    return float(length_s[fraction == 0.0].sum()), float((length_s * (1.0 - fraction)).sum()), float(stretches_s.max())


def fraction_at(light: Illumination, t_s: float) -> FloatArray:
    """Fraction of the Sun that every node sees at a moment before the horizon, (N,)."""
    rows = zip(light.edge_s, light.fraction, strict=True)
    return np.array([fraction[np.searchsorted(edge_s, t_s, side="right") - 1] for edge_s, fraction in rows])


@dataclass(frozen=True, kw_only=True)
class Linked:
    """The contacts of every node as the sender, in columns of shape (N,)."""

    contacts: IntArray
    duty: FloatArray  # share of the time with at least one link open
    open_links: FloatArray  # how many are open, on average


def linked(plan: ContactPlan) -> Linked:
    """Measure the links."""
    nodes = len(plan.node_names)
    order = np.lexsort((plan.start_s, plan.source))
    ends = np.searchsorted(plan.source[order], np.arange(1, nodes))
    parts = zip(np.split(plan.start_s[order], ends), np.split(plan.end_s[order], ends), strict=True)
    open_s = np.bincount(plan.source, weights=plan.end_s - plan.start_s, minlength=nodes)
    return Linked(
        contacts=np.bincount(plan.source, minlength=nodes),
        duty=np.array([_union_s(*part) for part in parts]) / plan.horizon_s,
        open_links=open_s / plan.horizon_s,
    )


def _union_s(start_s: FloatArray, end_s: FloatArray) -> float:
    """Length of the union of intervals that are sorted by start."""
    if not start_s.size:
        return 0.0
    reached = np.maximum.accumulate(end_s)
    before = np.append(start_s[0], reached[:-1])
    return float(np.clip(reached - np.maximum(start_s, before), 0.0, None).sum())


def pairs_linked(plan: ContactPlan) -> int:
    """Number of pairs of nodes that are ever linked."""
    nodes = len(plan.node_names)
    low, high = np.minimum(plan.source, plan.dest), np.maximum(plan.source, plan.dest)
    return int(np.unique(low * nodes + high).size)


def pair_shares(plan: ContactPlan) -> FloatArray:
    """Share of the time that each pair is linked, shape (N, N), from row to column."""
    nodes = len(plan.node_names)
    shares = np.zeros((nodes, nodes))
    np.add.at(shares, (plan.source, plan.dest), (plan.end_s - plan.start_s) / plan.horizon_s)
    return np.minimum(shares, 1.0)


def open_links_at(plan: ContactPlan, t_s: FloatArray) -> IntArray:
    """How many links every node has open at moments of shape (T,), sorted: shape (N, T)."""
    change = np.zeros((len(plan.node_names), t_s.size + 1), dtype=np.int64)
    np.add.at(change, (plan.source, np.searchsorted(t_s, plan.start_s, side="left")), 1)
    np.add.at(change, (plan.source, np.searchsorted(t_s, plan.end_s, side="left")), -1)
    return np.cumsum(change, axis=1)[:, :-1]


def open_at(plan: ContactPlan, t_s: float) -> IntArray:
    """Pairs of nodes that are linked at a moment, the lower index first, shape (P, 2)."""
    rows = (plan.start_s <= t_s) & (t_s < plan.end_s)
    pairs = np.sort(np.column_stack([plan.source[rows], plan.dest[rows]]), axis=1)
    return np.unique(pairs, axis=0)


def typical_moment_s(plan: ContactPlan) -> float:
    """An early moment at which as many links are open as in the median over time."""
    times_s = np.concatenate([[0.0], plan.start_s, plan.end_s])
    change = np.repeat([0, 1, -1], [1, len(plan), len(plan)])
    order = np.argsort(times_s, kind="stable")
    edge_s, first = np.unique(times_s[order], return_index=True)
    count = np.cumsum(np.add.reduceat(change[order], first))
    length_s = np.diff(np.append(edge_s, plan.horizon_s))
    by_count = np.argsort(count, kind="stable")
    passed_s = np.cumsum(length_s[by_count])
    median = count[by_count[np.searchsorted(passed_s, passed_s[-1] / 2)]]
    chosen = np.flatnonzero((count == median) & (length_s > 0))[0]
    return float(edge_s[chosen] + min(length_s[chosen] / 2, _SETTLE_S))
