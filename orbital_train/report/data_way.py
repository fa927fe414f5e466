"""The way of the data through the program, as a picture: ``python -m orbital_train.report.data_way OUT.png``."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from orbital_train.report.style import BLUE, GREEN, INK, MUTED, VERMILLION, figure, png

_WIDTH_IN, _HEIGHT_IN = 14.2, 3.3
_BOX_IN, _GAP_IN, _TALL_IN = 1.32, 0.44, 1.5
_MIDDLE_IN = 1.78


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One box: a package that computes, or a file (``colour`` None) that one step leaves for the next."""

    title: str
    lines: str
    colour: str | None = None
    copies: int = 1  # drawn behind each other


@dataclass(frozen=True, kw_only=True)
class Group:
    """A band behind consecutive stages."""

    title: str
    first: int
    last: int
    colour: str


STAGES = (
    Stage(title="recipe", lines="recipe.toml\none system,\nchecked first"),
    Stage(title="orbit", lines="where every\nnode and the\nSun is", colour=BLUE),
    Stage(title="windows", lines="when there\nis light and\na link", colour=BLUE),
    Stage(title="schedule", lines="power, policy:\nwho trains,\nsends, merges", colour=BLUE),
    Stage(title="trace", lines="every operation\nand transfer,\nin order"),
    Stage(title="train", lines="the same steps\nand merges\nfor real", colour=VERMILLION, copies=3),
    Stage(title="run directory", lines="metrics,\ncheckpoints,\nplan, trace"),
    Stage(title="report", lines="tables, plots,\none HTML file", colour=GREEN),
)
GROUPS = (
    Group(title="simulate the time", first=1, last=3, colour=BLUE),
    Group(title="execute the work", first=5, last=5, colour=VERMILLION),
    Group(title="look at it", first=7, last=7, colour=GREEN),
)
FOOTNOTES = (
    (1, 3, "no PyTorch needed: the same recipe, the same trace"),
    (5, 5, "PyTorch on Ray workers:\nany number, the same bits"),
)


def data_way() -> bytes:
    """The picture: PNG."""
    with figure(_WIDTH_IN, _HEIGHT_IN) as fig:
        fig.set_layout_engine("none")
        ax = fig.add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, _WIDTH_IN), ylim=(0, _HEIGHT_IN))
        ax.axis("off")
        for group in GROUPS:
            _band(ax, group)
        for i, stage in enumerate(STAGES):
            _stage(ax, stage, _left_in(i))
            if i:
                _arrow(ax, _left_in(i) - _GAP_IN, _left_in(i) - 0.13 * (stage.copies - 1) / 2)
        for first, last, text in FOOTNOTES:
            middle_in = (_left_in(first) + _left_in(last) + _BOX_IN) / 2
            ax.text(middle_in, 0.70, text, color=MUTED, fontsize=9.5, ha="center", va="top", style="italic")
        return png(fig, dpi=160)


def _left_in(stage: int) -> float:
    whole_in = len(STAGES) * _BOX_IN + (len(STAGES) - 1) * _GAP_IN
    return (_WIDTH_IN - whole_in) / 2 + stage * (_BOX_IN + _GAP_IN)


def _box(ax: Axes, left_in: float, bottom_in: float, size_in: tuple[float, float], **look: object) -> None:
    shape = "round,pad=0,rounding_size=0.10"
    ax.add_patch(FancyBboxPatch((left_in, bottom_in), *size_in, boxstyle=shape, **look))  # type: ignore[arg-type]


def _band(ax: Axes, group: Group) -> None:
    left_in, right_in = _left_in(group.first) - 0.19, _left_in(group.last) + _BOX_IN + 0.19
    bottom_in = _MIDDLE_IN - _TALL_IN / 2 - 0.2
    size_in = (right_in - left_in, _TALL_IN + 0.75)
    _box(ax, left_in, bottom_in, size_in, facecolor=group.colour, alpha=0.10, linewidth=0)
    at = ((left_in + right_in) / 2, bottom_in + size_in[1] - 0.28)
    ax.text(*at, group.title, color=group.colour, fontsize=11, fontweight="bold", ha="center", va="center")


def _stage(ax: Axes, stage: Stage, left_in: float) -> None:
    face, edge, title, text = (stage.colour, "white", "white", "white") if stage.colour else ("white", INK, INK, MUTED)
    bottom_in = _MIDDLE_IN - _TALL_IN / 2
    for copy in reversed(range(stage.copies)):
        shift_in = 0.06 * copy
        at = (left_in - shift_in, bottom_in + shift_in)
        _box(ax, *at, (_BOX_IN, _TALL_IN), facecolor=face, edgecolor=edge, linewidth=1.1)
    middle_in = left_in + _BOX_IN / 2
    top_in = bottom_in + _TALL_IN
    ax.text(
        middle_in, top_in - 0.28, stage.title, color=title, fontsize=11.5, fontweight="bold", ha="center", va="center"
    )
    ax.text(middle_in, top_in - 0.56, stage.lines, color=text, fontsize=9.5, ha="center", va="top", linespacing=1.45)


def _arrow(ax: Axes, from_in: float, to_in: float) -> None:
    ends = ((from_in + 0.05, _MIDDLE_IN), (to_in - 0.05, _MIDDLE_IN))
    ax.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=13, color=INK, lw=1.4, shrinkA=0, shrinkB=0))


def main() -> None:
    """Write the picture to the path given on the command line."""
    parser = argparse.ArgumentParser(description="Draw the way of the data through the program.")
    parser.add_argument("out", type=Path, metavar="OUT.png")
    parser.parse_args().out.write_bytes(data_way())


if __name__ == "__main__":
    main()
