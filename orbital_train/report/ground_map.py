"""The fleet above the ground at one moment, and a close-up of a fleet that flies in formation."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from orbital_train.report.earth import world_map
from orbital_train.report.globe import Marks
from orbital_train.report.sky import Sky
from orbital_train.report.style import INK, MUTED, SPACE
from orbital_train.windows.plan import FloatArray

FORMATION_M, FORMATION_MPS = 200e3, 300.0  # satellites that are all this alike fly in formation
MOST_TAILS = 150
_MOST_SITES = 8
_PIECES = 24


def is_formation(sky: Sky) -> bool:
    """Whether several satellites fly together, so close that a picture of the Earth shows one dot."""
    near = _spread(sky.satellites_m) < FORMATION_M and _spread(sky.velocities_mps) < FORMATION_MPS
    return len(sky.satellites_m) > 1 and near


def _spread(vectors: FloatArray) -> float:
    return float(np.linalg.norm(vectors - vectors.mean(axis=0), axis=-1).max())


def draw_map(ax: Axes, sky: Sky, marks: Marks) -> None:
    """Day and night, where the satellites are and were in the last minutes, their links, and the ground sites."""
    ax.imshow(
        world_map(sky.sun, sky.sidereal_rad), extent=(-180, 180, -90, 90), origin="lower", aspect="auto", zorder=0
    )
    if len(sky.tails_deg) <= MOST_TAILS:
        pieces = _unbroken(sky.tails_deg)
        ax.add_collection(LineCollection(list(pieces), colors="white", linewidths=1.6, alpha=0.75, zorder=1))
    ax.add_collection(_links(sky, marks))
    here = sky.tails_deg[:, -1]
    ax.scatter(
        here[:, 0], here[:, 1], s=0.7 * marks.size, c=marks.colours, edgecolors="white",
        linewidths=0.7 if marks.size > 12 else 0.2, zorder=3,
    )  # fmt: skip
    _sites(ax, sky, marks)
    ax.set(xlim=(-180, 180), ylim=(-90, 90))
    ax.set_xticks(range(-120, 180, 60), ["120° W", "60° W", "0°", "60° E", "120° E"])
    ax.set_yticks((-60, 0, 60), ["60° S", "0°", "60° N"])
    ax.tick_params(length=0, labelsize=7.5)
    ax.spines[["left", "bottom"]].set_visible(False)


def _sites(ax: Axes, sky: Sky, marks: Marks) -> None:
    places = _below(sky.sites_m, sky.sidereal_rad)
    ax.scatter(places[:, 0], places[:, 1], s=42, marker="^", c=SPACE["site"], edgecolors="white", zorder=4)
    halo = [withStroke(linewidth=2.2, foreground="white", alpha=0.85)]
    if len(places) <= _MOST_SITES:
        for place, name in zip(places, marks.names[len(sky.satellites_m) :], strict=True):
            ax.annotate(
                name, place, (0, -6), textcoords="offset points", fontsize=8, ha="center", va="top", color=INK,
                path_effects=halo, zorder=5, annotation_clip=False,
            )  # fmt: skip


def _below(r_m: FloatArray, sidereal_rad: float) -> FloatArray:
    """Longitude and latitude [deg] below places (..., 3): (..., 2)."""
    turn_deg = np.degrees(np.arctan2(r_m[..., 1], r_m[..., 0]) - sidereal_rad)
    latitude_deg = np.degrees(np.arctan2(r_m[..., 2], np.hypot(r_m[..., 0], r_m[..., 1])))
    return np.stack([(turn_deg + 180.0) % 360.0 - 180.0, latitude_deg], axis=-1)


def _links(sky: Sky, marks: Marks) -> LineCollection:
    nodes_m = np.concatenate([sky.satellites_m, sky.sites_m])
    ends_m, share = nodes_m[marks.links], np.linspace(0.0, 1.0, _PIECES + 1)[:, None]
    lines = _below(ends_m[:, None, 0] * (1 - share) + ends_m[:, None, 1] * share, sky.sidereal_rad)
    colours = np.repeat(np.array(marks.link_colours), _PIECES)[_is_unbroken(lines)]
    width = 0.8 * marks.link_width
    return LineCollection(list(_unbroken(lines)), colors=colours.tolist(), linewidths=width, alpha=0.85, zorder=2)


def _is_unbroken(lines_deg: FloatArray) -> NDArray[np.bool_]:
    """Which pieces do not jump over the map's edge, (P · (K - 1),)."""
    return np.asarray((np.abs(np.diff(lines_deg[..., 0], axis=1)) < 180.0).ravel())


def _unbroken(lines_deg: FloatArray) -> FloatArray:
    pieces = np.stack([lines_deg[:, :-1], lines_deg[:, 1:]], axis=2).reshape(-1, 2, 2)
    return np.asarray(pieces[_is_unbroken(lines_deg)])


def draw_formation(ax: Axes, sky: Sky, marks: Marks) -> None:
    """The fleet about its middle, in its orbital plane: along the flight and up."""
    middle_m, flight = sky.satellites_m.mean(axis=0), sky.velocities_mps.mean(axis=0)
    up = middle_m / np.linalg.norm(middle_m)
    along = flight - (flight @ up) * up
    along /= np.linalg.norm(along)
    place_m = (sky.satellites_m - middle_m) @ np.stack([along, up], axis=-1)
    size_m, unit = (1.0, "m") if np.abs(place_m).max() < 5e3 else (1e3, "km")
    place = place_m / size_m
    between = marks.links[(marks.links < len(place)).all(axis=1)]
    ax.add_collection(LineCollection(list(place[between]), colors=SPACE["link"], linewidths=1.0, alpha=0.7, zorder=1))
    ax.scatter(place[:, 0], place[:, 1], s=34, c=marks.colours, edgecolors="white", linewidths=0.7, zorder=2)
    ax.set_xlabel(f"along the flight ({unit})")
    ax.set_ylabel(f"up ({unit})")
    ax.set_aspect("equal", adjustable="datalim")
    ax.margins(0.08)
    ax.grid(True)
    ax.tick_params(colors=MUTED)
