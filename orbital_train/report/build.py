"""The report: one self-contained HTML file, and its plots as PNG files beside it."""

from __future__ import annotations

import base64
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import orbital_train
from orbital_train.report.curves import curve
from orbital_train.report.headline import headline, notes, provenance, waiting_arm
from orbital_train.report.lanes import lanes_plot
from orbital_train.report.plots import AGAINST, TITLES, arm_colours, loss_plot
from orbital_train.report.results import result_rows, seed_table
from orbital_train.report.runs import Comparison, read_comparison
from orbital_train.report.strip import fleet_strip
from orbital_train.report.tuning import grids
from orbital_train.report.untrained import untrained_table
from orbital_train.report.upsets import upset_lines, upset_table
from orbital_train.report.view import readable_view

_STRIP_CAPTION = (
    "The whole run: the share of the fleet that trains, waits (it has energy, but was told to wait for a link, a "
    "merge or the end) or has no energy to train, and the share that sees the Sun. Which breaks were waits and which "
    "were for want of energy is inferred, as in the timelines."
)
_LANES_CAPTION = (
    "Grey is shadow. The bar is the node's work, and the numbers at its end are its shares of the whole run: training, "
    "waiting, no energy. Below it the links that are open (the higher, the more), what was sent or heard over them, "
    "and the battery, from the lowest to the highest level in the fleet. A line is a merge, a dot a contribution to "
    "it. The shares are exact. Which breaks were waits and which were for want of energy is inferred, from the battery "
    "level at which they begin and these shares: the run records how long each of the two lasted, but not when."
)
_WAITING_CAPTION = (
    "The same nodes over the same time, for the arm that waits most. Here, too, which breaks were waits is inferred."
)


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One picture: its file name without the ending, its title, its caption, and the PNG."""

    file: str
    title: str
    caption: str
    png: bytes

    @property
    def base64(self) -> str:
        """The PNG as it stands in the HTML."""
        return base64.b64encode(self.png).decode("ascii")


def build_report(paths: Sequence[Path], out: Path) -> Path:
    """Read these run directories, or one comparison directory, and write the report about them.

    Returns:
        The path of ``out/report.html``; the plots are in ``out/plots``.

    Raises:
        InputError: ``RUN_DIR`` is not such a directory, or a file in it is missing or broken.
    """
    return write_report(read_comparison(paths), out)


def write_report(comparison: Comparison, out: Path) -> Path:
    """Write ``out/report.html`` and ``out/plots/*.png``: the same comparison, the same bytes."""
    loss_plots, timelines = _loss_plots(comparison), _timelines(comparison)
    (out / "plots").mkdir(parents=True, exist_ok=True)
    for plot in (*loss_plots, *timelines):
        (out / "plots" / f"{plot.file}.png").write_bytes(plot.png)
    report = out / "report.html"
    report.write_text(_html(comparison, loss_plots, timelines), encoding="utf-8")
    return report


def _loss_plots(comparison: Comparison) -> tuple[Plot, ...]:
    return tuple(
        Plot(file=f"loss-{against}", title=TITLES[against], caption="", png=loss_plot(comparison, against))
        for against in AGAINST
        if any(len(curve(arm, against).x) for arm in comparison.arms)  # one node sends no bytes at all
    )


def _timelines(comparison: Comparison) -> tuple[Plot, ...]:
    """The strip of the fleet, the main arm's nodes, and the same for the arm that waits most, if there is one."""
    main, waiting = comparison.arms[0], waiting_arm(comparison)
    view = readable_view(main.runs[0])
    shown = [("timeline", main, f"{view.words} {_LANES_CAPTION}")]
    if waiting is not None:
        shown.append(("timeline-waiting", waiting, _WAITING_CAPTION))
    runs = [(arm.name, arm.runs[0]) for _, arm, _ in shown]
    strip = Plot(file="fleet", title="The fleet over the whole run", caption=_STRIP_CAPTION, png=fleet_strip(runs))
    lanes = [
        Plot(
            file=file,
            title=f"Timeline of {arm.name}",
            caption=caption,
            png=lanes_plot(arm.runs[0], f"{arm.name}, seed {arm.runs[0].summary.seed}", view),
        )
        for file, arm, caption in shown
    ]
    return strip, *lanes


def _html(comparison: Comparison, loss_plots: Sequence[Plot], timelines: Sequence[Plot]) -> str:
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template("template.html").render(
        comparison=comparison,
        headline=headline(comparison),
        provenance=provenance(comparison),
        results=result_rows(comparison),
        colours=arm_colours(comparison),
        notes=notes(comparison),
        loss_plots=loss_plots,
        timelines=timelines,
        seeds=max(len(arm.runs) for arm in comparison.arms),
        tuning=grids(comparison),
        untrained_table=untrained_table(comparison),
        upset_table=upset_table(comparison),
        upset_lines=upset_lines(comparison),
        seed_table=seed_table(comparison),
        versions=(
            f"orbital_train {orbital_train.__version__}, Python {platform.python_version()}, "
            f"numpy {np.__version__}, matplotlib {matplotlib.__version__}"
        ),
    )
