"""The whole fleet over the whole run: what share of it trains, waits, has no energy, is out, and sees the Sun."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from orbital_train.report import fmt
from orbital_train.report.activity import activities, coverage, kinds, sunlit_spans
from orbital_train.report.runs import Run
from orbital_train.report.style import INK, LANE, figure, png, time_axis

_BINS = 480


def fleet_strip(runs: Sequence[tuple[str, Run]]) -> bytes:
    """One strip for each named run, on a common time axis: PNG."""
    end_s = max(run.trace.end_us for _, run in runs) / 1e6
    with figure(11.0, 0.95 + 1.2 * len(runs)) as fig:
        axes = fig.subplots(len(runs), 1, sharex=True, squeeze=False)[:, 0]
        for ax, (name, run) in zip(axes, runs, strict=True):
            _strip(ax, run)
            ax.set(
                title=f"{name}, {fmt.duration(run.trace.end_us / 1e6)}",
                xlim=(0, end_s),
                ylim=(0, 1),
                yticks=(0, 0.5, 1),
                yticklabels=("0", "", "100 %"),
            )
            ax.tick_params(axis="x", length=0)
        time_axis(axes[-1], end_s)
        shown = max((kinds(run.trace) for _, run in runs), key=len)
        handles = [Patch(color=LANE[k], label=k.replace("_", " ")) for k in shown]
        sun = Line2D([], [], color=LANE["sun_line"], lw=1.8, label="sunlit")
        fig.legend(handles=[*handles, sun], loc="outside lower center", ncols=6, fontsize=8, handlelength=1.3)
        return png(fig)


def _strip(ax: Axes, run: Run) -> None:
    edge_s = np.linspace(0, run.trace.end_us / 1e6, _BINS + 1)
    nodes, work = run.trace.fleet_nodes, activities(run.trace, run.faults)
    bottom = np.zeros(_BINS)
    for kind in kinds(run.trace):
        top = bottom + coverage([getattr(work[n], kind) for n in nodes], edge_s) / len(nodes)
        ax.stairs(top, edge_s, baseline=bottom, fill=True, color=LANE[kind], lw=0)
        bottom = top
    sunlit = coverage([sunlit_spans(run.light, n) for n in nodes], edge_s) / len(nodes)
    middle_s = (edge_s[:-1] + edge_s[1:]) / 2
    ax.plot(middle_s, sunlit, color=INK, lw=2.6, alpha=0.55)
    ax.plot(middle_s, sunlit, color=LANE["sun_line"], lw=1.5)
