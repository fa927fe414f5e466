"""The picture of orbits and links: the fleet around the Earth and above the ground, and who is linked to whom."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from orbital_train.report import fmt
from orbital_train.report.globe import Marks, draw_globe
from orbital_train.report.ground_map import MOST_TAILS, draw_formation, draw_map, is_formation
from orbital_train.report.link_chart import MOST_IN_MATRIX, draw_degree, draw_matrix
from orbital_train.report.sky import Sky
from orbital_train.report.style import MUTED, SPACE, figure, png
from orbital_train.windows.measures import fraction_at, open_at
from orbital_train.windows.plan import ContactPlan, Illumination, LinkKind


def orbits_plot(contacts: ContactPlan, light: Illumination, sky: Sky, title: str) -> bytes:
    """The picture: PNG."""
    with figure(13.0, 7.6) as fig:
        draw_orbits(fig, contacts, light, sky, title)
        return png(fig)


def draw_orbits(fig: Figure, contacts: ContactPlan, light: Illumination, sky: Sky, title: str) -> None:
    """Three panels: the globe; the ground, or the formation; the links over the whole plan."""
    satellites, names = len(sky.satellites_m), contacts.node_names
    sunlit = fraction_at(light, sky.t_s)[:satellites] > 0.5
    pairs = open_at(contacts, sky.t_s)
    pairs = pairs[pairs[:, 0] < satellites]  # cables between sites lie in the ground
    marks = Marks(sunlit=sunlit, links=pairs, names=names, apart=not is_formation(sky))
    grid = fig.add_gridspec(2, 2, width_ratios=(1.28, 1.0), height_ratios=(1.0, 1.12))
    around, above, links = (fig.add_subplot(grid[at]) for at in ((slice(None), 0), (0, 1), (1, 1)))
    draw_globe(around, sky, marks)
    ideal = ", ideal links and light" if (contacts.kind == LinkKind.IDEAL).any() else ""
    heading = f"{title}: {sky.moment}, {fmt.duration(sky.t_s)} after the start" + ideal
    fig.suptitle(heading, x=0.008, ha="left", fontsize=12, fontweight="bold")
    if not marks.apart:
        draw_formation(above, sky, marks)
        above.set_title("The formation, close up")
    else:
        draw_map(above, sky, marks)
        above.set_title("Above the ground" + (", with the last 15 minutes" if satellites <= MOST_TAILS else ""))
    span = fmt.duration(contacts.horizon_s)
    if not len(contacts):
        links.set_axis_off()
        links.text(0.5, 0.5, "no links", ha="center", va="center", color=MUTED, transform=links.transAxes)
    elif len(names) <= MOST_IN_MATRIX:
        draw_matrix(links, contacts)
        links.set_title(f"Share of {span} that each pair is linked")
    else:
        draw_degree(links, contacts, satellites)
        links.set_title("Open links of a satellite")
    _legend(fig, sky, marks)


def _legend(fig: Figure, sky: Sky, marks: Marks) -> None:
    def dot(kind: str, label: str, marker: str = "o") -> Line2D:
        return Line2D([], [], color=SPACE[kind], label=label, lw=0, marker=marker, ms=7, mec="white")

    lit = int(marks.sunlit.sum())
    handles = [dot("sunlit", f"sunlit ({lit:,})"), dot("shadow", f"in shadow ({marks.sunlit.size - lit:,})")]
    if len(sky.sites_m):
        handles.append(dot("site", "ground site", "^"))
    ground = marks.link_colours.count(SPACE["ground_link"])
    counted = {"link": ("open link", len(marks.links) - ground), "ground_link": ("open link to the ground", ground)}
    handles += [
        Line2D([], [], color=SPACE[kind], lw=1.8, label=f"{text} ({number:,})")
        for kind, (text, number) in counted.items()
        if number
    ]
    handles.append(Line2D([], [], color=SPACE["orbit"], lw=1.1, label="orbit; faint: behind the Earth"))
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8.5, columnspacing=1.8)
