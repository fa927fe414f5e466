"""The timeline of the nodes: one lane each, with shadow, work, open links, transfers, battery and merges over time."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from orbital_train.report.activity import Activity, activities, kinds
from orbital_train.report.runs import Plan
from orbital_train.report.style import INK, LANE, MUTED, figure, png, time_axis
from orbital_train.report.view import View
from orbital_train.schedule.ops.merging import Merge
from orbital_train.windows.plan import FloatArray, LinkKind

# Where things are in a lane that is one unit high: bottom, height.
_WORK = (0.58, 0.30)
_LINKS = (0.34, 0.19)
_BATTERY = (0.08, 0.21)
# Right of it, in widths of the axes: the first total, and from one to the next.
_TOTALS, _COLUMN = 1.026, 0.036


def lanes_plot(run: Plan, title: str, view: View) -> bytes:
    """The timeline of one run: PNG."""
    work = activities(run.trace, run.faults)
    lane_of = {node: lane for lane, node in enumerate(reversed(view.nodes))}  # the first node on top
    with figure(11.0, 1.15 + 0.56 * len(view.nodes)) as fig:
        ax = fig.subplots()
        links_most = max(_open_links(run, node)[1].sum(axis=0).max() for node in view.nodes)
        levels_wh = [wh for a in run.trace.accounts for wh in a.battery_wh]
        for node, lane in lane_of.items():
            _light(ax, run, node, lane, view.end_s)
            _work(ax, work[node], lane)
            _links(ax, run, node, lane, links_most)
            _transfers(ax, run, node, lane, view.end_s)
            _battery(ax, run, node, lane, levels_wh)
            _totals(ax, run, node, lane)
        _merges(ax, run, lane_of, view.end_s)
        ax.set_title(title, pad=9)
        _frame(ax, [run.trace.accounts[node].name for node in lane_of], view.end_s, len(kinds(run.trace)))
        _legend(fig, run)
        return png(fig)


def _frame(ax: Axes, names: list[str], end_s: float, columns: int) -> None:
    """Limits, names and separators of the lanes, from the lowest up, and what stands over the columns of totals."""
    ax.set(xlim=(0, end_s), ylim=(0, len(names)))
    ax.set_yticks(np.arange(len(names)) + 0.5, names)
    ax.tick_params(axis="y", length=0)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.hlines(range(len(names) + 1), 0, end_s, color="white", lw=3, zorder=1)
    time_axis(ax, end_s)
    totals = {"color": MUTED, "fontsize": 7.5, "ha": "center", "va": "bottom"}
    ax.text(_TOTALS + _COLUMN * (columns - 1) / 2, 1.0, "of the whole run", totals, transform=ax.transAxes)


def _bars(ax: Axes, spans: FloatArray, bottom: float, height: float, colour: str, zorder: int) -> None:
    bars = [(start, end - start) for start, end in spans.tolist()]
    ax.broken_barh(bars, (bottom, height), facecolor=colour, linewidth=0, zorder=zorder)


def _light(ax: Axes, run: Plan, node: int, lane: int, end_s: float) -> None:
    edge_s, fraction = run.light.edge_s[node], run.light.fraction[node]
    spans = np.column_stack([edge_s[:-1], edge_s[1:]])
    partly = (fraction > 0) & (fraction < 1)
    for kind, rows in (("sunlit", fraction == 1), ("penumbra", partly), ("umbra", fraction == 0)):
        _bars(ax, spans[rows & (edge_s[:-1] < end_s)], lane, 1.0, LANE[kind], zorder=0)


def _work(ax: Axes, activity: Activity, lane: int) -> None:
    for kind in vars(activity):
        _bars(ax, getattr(activity, kind), lane + _WORK[0], _WORK[1], LANE[kind], zorder=2)


def _open_links(run: Plan, node: int) -> tuple[FloatArray, FloatArray]:
    """Moments of change (T,) and a node's open links from then on (2, T): to satellites, to the ground."""
    plan = run.contacts
    mine = plan.source == node
    times_s = np.unique(np.concatenate([[0.0, plan.horizon_s], plan.start_s[mine], plan.end_s[mine]]))
    ground = plan.kind == LinkKind.GROUND
    counts = [
        np.searchsorted(np.sort(plan.start_s[rows]), times_s, side="right")
        - np.searchsorted(np.sort(plan.end_s[rows]), times_s, side="right")
        for rows in (mine & ~ground, mine & ground)
    ]
    return times_s, np.array(counts, dtype=np.float64)


def _links(ax: Axes, run: Plan, node: int, lane: int, most: float) -> None:
    times_s, counts = _open_links(run, node)
    tops = lane + _LINKS[0] + _LINKS[1] * np.cumsum(counts, axis=0) / max(most, 1.0)
    bottom = np.full(len(times_s), lane + _LINKS[0])
    for top, kind in zip(tops, ("links", "ground_links"), strict=True):
        ax.fill_between(times_s, bottom, top, step="post", color=LANE[kind], lw=0, zorder=2)
        bottom = top


def _transfers(ax: Axes, run: Plan, node: int, lane: int, end_s: float) -> None:
    """Sent or heard by this node; widened where needed to a mark that can be seen."""
    mine = [t for t in run.trace.transfers if node in (t.source, t.dest)]
    spans = np.array([(t.start_us / 1e6, t.arrival_us / 1e6) for t in mine]).reshape(-1, 2)
    spans = spans[spans[:, 0] < end_s]
    spans[:, 1] = np.maximum(spans[:, 1], spans[:, 0] + end_s / 500)
    _bars(ax, spans, lane + _LINKS[0], _LINKS[1], LANE["transfer"], zorder=3)


def _battery(ax: Axes, run: Plan, node: int, lane: int, levels_wh: list[float]) -> None:
    """The level, from the lowest to the highest that any node of the fleet had."""
    account = run.trace.accounts[node]
    if account.battery_us:
        times_s = np.array(account.battery_us) / 1e6
        filled = np.interp(account.battery_wh, [min(levels_wh), max(levels_wh)], [0.0, 1.0])
        level = lane + _BATTERY[0] + _BATTERY[1] * filled
        ax.fill_between(times_s, lane + _BATTERY[0], level, color=LANE["battery"], alpha=0.25, lw=0, zorder=2)
        ax.plot(times_s, level, color=LANE["battery"], lw=1.0, zorder=2)


def _merges(ax: Axes, run: Plan, lane_of: dict[int, int], end_s: float) -> None:
    """A vertical line over the lanes that take part, and a dot on the lane of every node that contributed."""
    lines, dots = [], []
    for merge in run.trace.of_kind(Merge):
        t_s = merge.end_us / 1e6
        gave = {c.node for c in merge.contributions if c.weight > 0}
        lanes = [lane_of[n] for n in gave | set(merge.holders) if n in lane_of]
        if lanes and t_s <= end_s:
            lines.append([(t_s, min(lanes)), (t_s, max(lanes) + 1)])
            dots += [(t_s, lane_of[n] + _WORK[0] + _WORK[1] / 2) for n in sorted(gave) if n in lane_of]
    ax.add_collection(LineCollection(lines, colors=INK, linewidths=0.8, zorder=4))
    at = np.array(dots).reshape(-1, 2)
    ax.scatter(at[:, 0], at[:, 1], s=17, color="white", edgecolors=INK, linewidths=1.0, zorder=5, clip_on=False)


def _totals(ax: Axes, run: Plan, node: int, lane: int) -> None:
    """Percent of the whole run, exact from the accounts, at the right end of the lane."""
    account = run.trace.accounts[node]
    parts = {kind: getattr(account, f"{kind}_us") for kind in kinds(run.trace)}
    for i, (kind, part) in enumerate(parts.items()):
        share = f"{100 * part / sum(parts.values()):.0f}%"
        ax.text(
            _TOTALS + _COLUMN * i, lane + _WORK[0] + _WORK[1] / 2, share,
            transform=ax.get_yaxis_transform(), color=LANE[f"{kind}_text"], fontsize=8, va="center", ha="center",
        )  # fmt: skip


def _legend(fig: Figure, run: Plan) -> None:
    labels = {kind: kind.replace("_", " ") for kind in kinds(run.trace)}
    labels |= {"umbra": "shadow", "links": "open links"}
    if (run.contacts.kind == LinkKind.GROUND).any():
        labels["ground_links"] = "to the ground"
    handles: list[Patch | Line2D] = [
        Patch(color=LANE[k], label=text) for k, text in [*labels.items(), ("transfer", "transfer")]
    ]
    if any(a.battery_us for a in run.trace.accounts):
        handles.append(Line2D([], [], color=LANE["battery"], label="battery"))
    merge = Line2D([], [], color=INK, lw=0.8, marker="o", label="merge and who contributed")
    merge.set(markerfacecolor="white", markersize=4.5)
    fig.legend(
        handles=[*handles, merge], loc="outside lower center", ncols=9, fontsize=8, columnspacing=1.4, handlelength=1.3
    )
