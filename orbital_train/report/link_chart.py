"""Who is linked to whom, and for how much of the time."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator

from orbital_train.report import fmt
from orbital_train.report.style import BLUE, INK, MUTED, SKY, time_axis
from orbital_train.windows.measures import open_links_at, pair_shares
from orbital_train.windows.plan import ContactPlan

MOST_IN_MATRIX = 100
_MOST_LABELS, _MOST_NUMBERS = 26, 12
_MOMENTS = 400
_SHARES = LinearSegmentedColormap.from_list("shares", ["#F4F7FB", "#9CCBEA", BLUE, "#06304F"])


def draw_matrix(ax: Axes, plan: ContactPlan) -> None:
    """Share of the time that each pair is linked; links are open both ways, so that it is symmetric."""
    nodes, shares = len(plan.node_names), pair_shares(plan)
    most = float(shares.max())
    shown = np.ma.masked_where(np.eye(nodes, dtype=bool), shares)
    image = ax.imshow(shown, cmap=_SHARES, vmin=0.0, vmax=most, interpolation="nearest")
    if nodes <= _MOST_LABELS:
        ax.set_xticks(range(nodes), plan.node_names, rotation=90)
        ax.set_yticks(range(nodes), plan.node_names)
    if nodes <= _MOST_NUMBERS:
        for source, dest in np.argwhere(shares > 0).tolist():
            share = float(shares[source, dest])
            colour = "white" if share > 0.45 * most else INK
            ax.text(dest, source, fmt.significant(100 * share, 2), fontsize=6.5, ha="center", va="center", color=colour)
    ax.set_anchor("W")
    ax.tick_params(length=0, labelsize=7.5)
    ax.spines[["left", "bottom"]].set_visible(False)
    bar = ax.figure.colorbar(image, cax=ax.inset_axes((1.04, 0.06, 0.045, 0.88)), ticks=(0.0, most))
    bar.ax.set_yticklabels(["0", f"{fmt.significant(100 * most, 2)} %"])
    bar.ax.tick_params(length=0, labelsize=7.5)
    bar.outline.set_visible(False)


def draw_degree(ax: Axes, plan: ContactPlan, satellites: int) -> None:
    """Open links of a satellite over time: the median, the middle 80 %, and the lowest and highest."""
    t_s = np.linspace(0.0, plan.horizon_s, _MOMENTS, endpoint=False)
    count = open_links_at(plan, t_s)[:satellites]
    lowest, low, middle, high, highest = np.quantile(count, (0.0, 0.1, 0.5, 0.9, 1.0), axis=0)
    ax.fill_between(t_s, lowest, highest, step="post", color=SKY, alpha=0.25, lw=0, label="all satellites")
    ax.fill_between(t_s, low, high, step="post", color=SKY, alpha=0.6, lw=0, label="middle 80 %")
    ax.step(t_s, middle, where="post", color=BLUE, lw=1.2, label="median")
    ax.plot(t_s, count.mean(axis=0), color=INK, lw=0.9, ls="--", label="mean")
    ax.set(xlim=(0, plan.horizon_s), ylim=(0, max(1.0, float(highest.max()) * 1.05)))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(True)
    ax.tick_params(colors=MUTED)
    time_axis(ax, plan.horizon_s)
    ax.legend(loc="lower right", fontsize=7.5, ncols=4, frameon=True, framealpha=0.85, edgecolor="white")
