"""Ground sites: what each one's links are, and when it can serve which satellite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from orbital_train.orbit.ephemeris import GroundSite
from orbital_train.orbit.grid import StateGrid
from orbital_train.orbit.sun import SunPositions
from orbital_train.windows.ground import ground_windows
from orbital_train.windows.intervals import subtract
from orbital_train.windows.plan import IntArray
from orbital_train.windows.search import Windows
from orbital_train.windows.sun_exclusion import pass_glare

GROUND_MASK_DEG = {"optical": 20.0, "radio": 10.0}  # usual lowest elevations


@dataclass(frozen=True, kw_only=True)
class SiteLinkSpec:
    """The links of one ground site."""

    medium: Literal["optical", "radio"] = "optical"  # lasers are blinded by the Sun
    mask_deg: float  # lowest elevation
    down_bps: float  # from a satellite to the site
    up_bps: float


def site_windows(
    grid: StateGrid,
    sites: tuple[GroundSite, ...],
    own: Sequence[SiteLinkSpec],
    first_site: int,
    pairs: IntArray,
    *,
    glare: tuple[SunPositions, float] | None,
) -> Windows:
    """When satellites are above the mask of a site, and the Sun does not blind its laser.

    Args:
        grid: sampled states of satellites, then sites.
        sites: the sites.
        own: what the links of each are.
        first_site: node of the first site.
        pairs: every satellite with every site, shape (P, 2), sorted.
        glare: the Sun, and the degrees around it in which an optical site's receiver hears nothing.

    Returns:
        Windows whose tracks are rows of ``pairs``.
    """
    site = pairs[:, 1] - first_site
    seen = ground_windows(grid, sites, first_site, np.array([one.mask_deg for one in own]))
    optical = np.array([one.medium == "optical" for one in own], dtype=np.bool_)
    if glare and optical.any():
        passes = _only(seen, optical[site[seen.track]])
        seen = subtract(seen, pass_glare(grid, pairs, passes, *glare))
    return seen


def _only(windows: Windows, rows: NDArray[np.bool_]) -> Windows:
    return Windows(windows.track[rows], windows.start_s[rows], windows.end_s[rows])
