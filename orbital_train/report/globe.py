"""The fleet around the Earth at one moment, seen from far away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from orbital_train.report.camera import Camera, looking_at
from orbital_train.report.earth import globe
from orbital_train.report.sky import Sky
from orbital_train.report.style import INK, SPACE
from orbital_train.windows.plan import FloatArray, IntArray

MOST_NAMES = 16
_SEGMENTS = 24  # pieces of a link, each either seen or hidden
_MANY = 250  # links from which what is hidden is faded more, and drawn in fewer pieces


@dataclass(frozen=True, kw_only=True)
class Marks:
    """How the N satellites and their links are drawn, the same in every panel."""

    sunlit: NDArray[np.bool_]  # (N,)
    links: IntArray  # (L, 2) nodes, satellites before ground sites
    names: tuple[str, ...]  # of all nodes
    apart: bool  # whether the satellites can be told apart beside the Earth; else they are one dot

    @property
    def colours(self) -> list[str]:
        """A colour for every satellite."""
        return [SPACE["sunlit" if lit else "shadow"] for lit in self.sunlit]

    @property
    def link_colours(self) -> list[str]:
        """A colour for every link."""
        ground = (self.links >= self.sunlit.size).max(axis=1, initial=False)
        return [SPACE["ground_link" if g else "link"] for g in ground]

    @property
    def size(self) -> float:
        """Area of a satellite's dot, in square points."""
        return float(np.clip(900.0 / self.sunlit.size, 5.0, 62.0)) if self.apart else 62.0

    @property
    def link_width(self) -> float:
        """In points."""
        return float(np.clip(14.0 / np.sqrt(max(1, len(self.links))), 0.35, 1.7))


def draw_globe(ax: Axes, sky: Sky, marks: Marks) -> None:
    """The Earth, orbits as curves, links as lines, satellites as dots; what the Earth hides is faded."""
    camera = _camera(sky)
    ax.imshow(globe(camera, sky.sun, sky.sidereal_rad), extent=(-1, 1, -1, 1), origin="lower", zorder=2)
    many = len(sky.orbits_m) > 8
    _lines(ax, camera, sky.orbits_m, [SPACE["orbit"]] * len(sky.orbits_m), 0.6 if many else 1.1, 0.16 if many else 0.4)
    nodes_m = np.concatenate([sky.satellites_m, sky.sites_m])
    reach = 1.08 * max(1.0, *(float(np.abs(camera.project(r_m)[0]).max()) for r_m in (nodes_m, sky.orbits_m)))
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    ax.set_axis_off()
    few = len(marks.links) < _MANY
    share = np.linspace(0.0, 1.0, (_SEGMENTS if few else _SEGMENTS // 3) + 1)[:, None]
    ends_m = nodes_m[marks.links]
    chords_m = ends_m[:, None, 0] * (1 - share) + ends_m[:, None, 1] * share
    _lines(ax, camera, chords_m, marks.link_colours, marks.link_width, 0.3 if few else 0.08)
    _dots(ax, camera, sky, marks)


def _camera(sky: Sky) -> Camera:
    normals = np.cross(sky.satellites_m, sky.velocities_mps)
    return looking_at(sky.sun, normals / np.linalg.norm(normals, axis=-1, keepdims=True))


def _lines(ax: Axes, camera: Camera, lines_m: FloatArray, colours: list[str], width: float, faded: float) -> None:
    """Polylines (P, K, 3), piece by piece."""
    if not len(lines_m):
        return
    at, _ = camera.project(lines_m)
    pieces = np.stack([at[:, :-1], at[:, 1:]], axis=2).reshape(-1, 2, 2)
    hidden = camera.hidden((lines_m[:, :-1] + lines_m[:, 1:]) / 2).ravel()
    colour = np.repeat(np.array(colours), lines_m.shape[1] - 1)
    for rows, alpha, zorder in ((hidden, faded, 3), (~hidden, 1.0, 4)):
        ax.add_collection(
            LineCollection(list(pieces[rows]), colors=colour[rows], linewidths=width, alpha=alpha, zorder=zorder)
        )


def _dots(ax: Axes, camera: Camera, sky: Sky, marks: Marks) -> None:
    at, _ = camera.project(sky.satellites_m)
    hidden, colour = camera.hidden(sky.satellites_m), np.array(marks.colours)
    edge = 0.8 if marks.size > 12 else 0.25
    for rows, alpha, zorder in ((hidden, 0.3 if len(at) < 200 else 0.12, 3), (~hidden, 1.0, 6)):
        ax.scatter(
            at[rows, 0], at[rows, 1], s=marks.size, c=colour[rows], linewidths=edge, edgecolors="white", alpha=alpha,
            zorder=zorder,
        )  # fmt: skip
    if len(sky.sites_m):
        sites, _ = camera.project(sky.sites_m)
        seen = ~camera.hidden(sky.sites_m * 1.001)
        ax.scatter(sites[seen, 0], sites[seen, 1], s=46, marker="^", c=SPACE["site"], edgecolors="white", zorder=5)
    if len(at) <= MOST_NAMES:
        _names(ax, at, hidden, marks.names)


def _names(ax: Axes, at: FloatArray, hidden: NDArray[np.bool_], names: tuple[str, ...]) -> None:
    """Beside the dots, away from the Earth's middle; a name that would lie on another is left out."""
    room = np.array([0.16, 0.06]) * ax.get_xlim()[1]
    halo = [withStroke(linewidth=2.2, foreground="white", alpha=0.85)]
    placed: list[FloatArray] = []
    for i in np.argsort(hidden, kind="stable").tolist():
        out = at[i] / max(1e-9, float(np.hypot(*at[i])))
        if all(np.abs((at[i] - other) / room).max() > 1.0 for other in placed):
            placed.append(at[i])
            ax.annotate(
                names[i], at[i], out * [20, 13], textcoords="offset points", fontsize=8, ha="center", va="center",
                color=INK, alpha=0.45 if hidden[i] else 1.0, path_effects=halo, zorder=7,
            )  # fmt: skip
