"""The timeline of a large fleet as heat maps: one row a node, or a few neighbours; time runs to the right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from orbital_train.report.activity import activities, coverage
from orbital_train.report.runs import Plan
from orbital_train.report.style import INK, LANE, MUTED, figure, png, time_axis
from orbital_train.schedule.ops.merging import Merge
from orbital_train.windows.measures import open_links_at
from orbital_train.windows.plan import FloatArray

_BINS = 480
_MOST_ROWS = 160


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One quantity of every node over time."""

    title: str
    values: FloatArray  # (nodes, bins)
    colours: tuple[str, ...]  # from the lowest value to the highest
    low: float
    high: float
    ends: tuple[str, str]  # the same in words


def heat_plot(plan: Plan, title: str) -> bytes:
    """The whole run of the whole fleet: PNG."""
    with figure(12.0, 8.4) as fig:
        draw_heat(fig, plan, title)
        return png(fig)


def draw_heat(fig: Figure, plan: Plan, title: str) -> None:
    """Four panels over one time axis; ticks on top are merges."""
    nodes, end_s = plan.trace.fleet_nodes, plan.trace.end_us / 1e6
    shown = list(panels(plan, np.linspace(0.0, end_s, _BINS + 1)))
    axes = fig.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for ax, panel in zip(axes, shown, strict=True):
        _heat(fig, ax, panel, end_s)
        _rows(ax, [plan.contacts.node_names[i] for i in nodes])
    merges_s = [op.end_us / 1e6 for op in plan.trace.of_kind(Merge)]
    axes[0].plot(merges_s, np.full(len(merges_s), 1.04), "|", transform=axes[0].get_xaxis_transform(), **_TICK)
    merges = f"; ticks: {len(merges_s):,} merges" if merges_s else ""
    fig.suptitle(f"{title}: {len(nodes):,} nodes{merges}", x=0.008, ha="left", fontsize=11, fontweight="bold")
    time_axis(axes[-1], end_s)


_TICK = {"color": INK, "markersize": 6, "markeredgewidth": 0.8, "clip_on": False}


def panels(plan: Plan, edge_s: FloatArray) -> Iterator[Panel]:
    """Sunlight, battery (where there is one), links and training, averaged over the bins between the edges."""
    nodes, middle_s = list(plan.trace.fleet_nodes), (edge_s[:-1] + edge_s[1:]) / 2
    yield Panel(
        title="sunlight", values=_sunlight(plan, edge_s), colours=("#39415E", LANE["sun_line"], "#FFF3B8"),
        low=0, high=1, ends=("umbra", "full Sun"),
    )  # fmt: skip
    accounts = [plan.trace.accounts[n] for n in nodes]
    if all(a.battery_us for a in accounts):
        levels = np.array([np.interp(middle_s, np.array(a.battery_us) / 1e6, a.battery_wh) for a in accounts])
        low, high = min(min(a.battery_wh) for a in accounts), max(max(a.battery_wh) for a in accounts)
        ends = (f"{low:,.0f} Wh", f"{high:,.0f} Wh")
        colours = ("#F3EFE6", "#7DBFA4", LANE["battery"], "#0B3B2A")
        yield Panel(title="battery", values=levels, colours=colours, low=low, high=max(high, low + 1e-9), ends=ends)
    count = open_links_at(plan.contacts, middle_s)[nodes].astype(np.float64)
    most = max(1.0, float(count.max()))
    colours = ("#F4F7FB", "#9CCBEA", "#0072B2", "#06304F")
    yield Panel(title="open links", values=count, colours=colours, low=0, high=most, ends=("0", f"{most:.0f}"))
    work = activities(plan.trace, plan.faults)
    training = np.array([coverage([work[n].training], edge_s) for n in nodes])
    yield Panel(
        title="training", values=training, colours=("#4A515E", "#E3E7ED", LANE["training"]),
        low=0, high=1, ends=("not training", "training"),
    )  # fmt: skip


def _sunlight(plan: Plan, edge_s: FloatArray) -> FloatArray:
    """Mean sunlit fraction, exact in every bin, (nodes, bins)."""
    rows = []
    for n in plan.trace.fleet_nodes:
        own_s, fraction = plan.light.edge_s[n], plan.light.fraction[n]
        lit_s = np.append(0.0, np.cumsum(np.diff(own_s) * fraction))
        rows.append(np.diff(np.interp(edge_s, own_s, lit_s)) / np.diff(edge_s))
    return np.array(rows)


def grouped(values: FloatArray, most: int) -> FloatArray:
    """The same with at most so many rows: neighbours are averaged."""
    rows = min(most, len(values))
    first = np.arange(rows) * len(values) // rows
    size = np.diff(np.append(first, len(values)))
    return np.asarray(np.add.reduceat(values, first, axis=0) / size[:, None])


def _heat(fig: Figure, ax: Axes, panel: Panel, end_s: float) -> None:
    nodes = len(panel.values)
    image = ax.imshow(
        grouped(panel.values, _MOST_ROWS), aspect="auto", extent=(0, end_s, nodes, 0), interpolation="nearest",
        cmap=LinearSegmentedColormap.from_list(panel.title, panel.colours), vmin=panel.low, vmax=panel.high,
    )  # fmt: skip
    ax.set_title(panel.title, pad=9 if panel.title == "sunlight" else 4)
    ax.spines[["left", "bottom"]].set_visible(False)
    bar = fig.colorbar(image, ax=ax, pad=0.012, aspect=9, fraction=0.05, ticks=(panel.low, panel.high))
    bar.ax.set_yticklabels(panel.ends)
    bar.ax.tick_params(length=0, labelsize=8)
    bar.outline.set_visible(False)


def _rows(ax: Axes, names: list[str]) -> None:
    """A few names down the side."""
    shown = np.linspace(0, len(names) - 1, 5).round().astype(int)
    ax.set_yticks(shown + 0.5, [names[i] for i in shown])
    ax.tick_params(length=0, labelsize=8, colors=MUTED)
