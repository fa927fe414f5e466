"""The three line plots: validation loss against merged tokens, simulated time, and bytes sent."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from orbital_train.report.curves import Against, Curve, curve
from orbital_train.report.results import REFERENCE
from orbital_train.report.runs import Comparison
from orbital_train.report.style import ARM_COLOURS, REFERENCE_COLOUR, figure, png, time_axis

AGAINST: tuple[Against, ...] = ("tokens", "time", "bytes")
TITLES = {
    "tokens": "Loss against tokens",
    "time": "Loss against simulated time",
    "bytes": "Loss against bytes sent",
}
_DASHES = ("-", "--", "-.", ":")


def arm_colours(comparison: Comparison) -> dict[str, str]:
    """A colour for every arm; the fully connected baseline is always the same dark one."""
    colours = iter(ARM_COLOURS * len(comparison.arms))
    names = [arm.name for arm in comparison.arms]
    return {n: REFERENCE_COLOUR if n.split(": ")[-1] == REFERENCE else next(colours) for n in names}


def loss_plot(comparison: Comparison, against: Against) -> bytes:
    """One line per arm, the mean over its seeds, with a band from the lowest to the highest seed: PNG.

    Arms without a point, against bytes those that sent none, are left out; at least one arm must have one.
    """
    colours = arm_colours(comparison)
    curves = {arm.name: points for arm in comparison.arms if len((points := curve(arm, against)).x)}
    with figure(4.4, 3.7) as fig:
        ax = fig.subplots()
        for i, (name, points) in enumerate(curves.items()):
            line = ax.plot(points.x, points.mean, color=colours[name], lw=1.8, ls=_DASHES[i % 4], label=name)[0]
            line.set_marker("o" if len(points.x) < 12 else "")
            line.set_markersize(3.5)
            ax.fill_between(points.x, points.low, points.high, color=colours[name], alpha=0.16, lw=0)
        ax.set_title(TITLES[against])
        ax.set_ylabel("validation loss (nats)")
        ax.grid(True)
        _x_axis(ax, against, max(c.x[-1] for c in curves.values()))
        _y_range(ax, list(curves.values()))
        if len(curves) > 1:
            fig.legend(loc="outside lower center", ncols=2, fontsize=8, handlelength=2.6)
        return png(fig)


def _x_axis(ax: Axes, against: Against, last: float) -> None:
    if against == "tokens":
        ax.set_xlabel("tokens merged (trained model)")
        ax.xaxis.set_major_formatter(EngFormatter(sep=" "))
    elif against == "time":
        time_axis(ax, last)
    else:
        ax.set_xscale("log")
        low, high = ax.get_xlim()
        ax.xaxis.set_major_locator(LogLocator(subs=(1,) if high > 30 * low else (1, 2, 5)))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel("bytes sent (flown model, all hops)")
        ax.xaxis.set_major_formatter(EngFormatter(unit="B"))


def _y_range(ax: Axes, curves: list[Curve]) -> None:
    """Leave out what is far above the rest: the loss of the untrained model and of runs that diverged."""
    later = [slice(1, None) if len(c.x) > 2 else slice(None) for c in curves]
    values = np.concatenate([np.append(c.low[part], c.high[part]) for c, part in zip(curves, later, strict=True)])
    values = values[np.isfinite(values)]
    if values.size:
        low, high = float(values.min()), float(np.percentile(values, 97))
        margin = 0.06 * (high - low) or 0.1
        ax.set_ylim(low - margin, high + margin)
