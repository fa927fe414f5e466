"""The look of all figures: colours that colour-blind readers tell apart, one typeface, and exact PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from orbital_train.report import fmt

# Okabe and Ito, "Color Universal Design" (2008).
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE = "#56B4E9", "#CC79A7"
INK, MUTED, HAIRLINE = "#1B1F27", "#667085", "#DDE1E8"

ARM_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)
REFERENCE_COLOUR = INK  # of the fully connected baseline

# What is drawn in the timelines.
LANE = {
    "sunlit": "#FFF9E3",
    "penumbra": "#E6E6E6",
    "umbra": "#D3D8E2",
    "training": BLUE,
    "waiting": ORANGE,
    "no_energy": "#4A515E",
    "down": VERMILLION,
    "restoring": PURPLE,
    "training_text": BLUE,
    "waiting_text": "#9A6A00",  # darker than the bar: orange text on white is hard to read
    "no_energy_text": "#4A515E",
    "down_text": VERMILLION,
    "restoring_text": "#9C4E7C",
    "links": "#A9D5F2",
    "ground_links": "#6CC5A9",
    "transfer": "#A64D82",
    "battery": "#1F7A5C",
    "sun_line": "#FFD54A",
}

# What is drawn in the pictures of orbits and links.
SPACE = {
    "sunlit": "#F5B301",
    "shadow": "#2B3350",
    "orbit": "#8A94A6",
    "link": BLUE,
    "ground_link": GREEN,
    "site": VERMILLION,
}

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same bytes everywhere
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": HAIRLINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "hatch.linewidth": 0.5,
}


@contextmanager
def figure(width_in: float, height_in: float) -> Iterator[Figure]:
    """A figure in the house style, without pyplot's global state."""
    with mpl.rc_context(_RC):
        yield Figure(figsize=(width_in, height_in), layout="constrained")


def png(fig: Figure, dpi: int = 150) -> bytes:
    """The figure as PNG; the same figure gives the same bytes (no software name, no date)."""
    buffer = io.BytesIO()
    FigureCanvasAgg(fig)
    fig.savefig(buffer, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def time_axis(ax: Axes, end_s: float) -> None:
    """Round ticks and the unit's name for a time axis that is drawn in seconds."""
    size_s, unit = fmt.time_unit(end_s)
    raw = end_s / size_s / 9
    power = 10.0 ** np.floor(np.log10(raw))
    step = min((m * power for m in (1, 2, 5, 10)), key=lambda s: abs(np.log(s / raw)))
    ticks = np.arange(0, end_s / size_s * (1 + 1e-9), step)
    ax.set_xticks(ticks * size_s, [f"{t:g}" for t in ticks])
    ax.set_xlabel(f"simulated time ({unit})")
