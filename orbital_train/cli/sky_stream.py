"""The windows of fleets too large for one grid of states: found block by block, so that memory stays bounded.

Links are written as they end, and counted from their file; eclipses are measured by blocks of satellites, not kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from orbital_train.cli.planning import in_the_recipes_words
from orbital_train.config import build
from orbital_train.config.recipe import SkyRecipe
from orbital_train.errors import InputError
from orbital_train.orbit.ephemeris import Sgp4Ephemeris
from orbital_train.orbit.fleet import Fleet
from orbital_train.orbit.sun import sun_path
from orbital_train.report.stages import Stages
from orbital_train.windows.eclipse_blocks import eclipses_of_blocks, joined_eclipses
from orbital_train.windows.link_checks import refuse_bad_links
from orbital_train.windows.links import STEP_S
from orbital_train.windows.measures import Eclipses
from orbital_train.windows.nearest import NearestLinks, nearest_links
from orbital_train.windows.nearest_plan import nearest_conditions, nearest_spec
from orbital_train.windows.writer import write_contacts

MOST_ON_GRID = 5_000
"""Satellites up to which a fleet is planned on one grid of states."""

_BLOCK_STATES = 1 << 19  # of satellites whose eclipses are looked for together


def check_streamable(recipe: SkyRecipe, satellites: int, exports: tuple[str, ...]) -> None:
    """Large fleets have links between the nearest satellites at one rate, and nothing else.

    Raises:
        InputError: the recipe or the command line asks for something else (its key), or the links cannot be (keys
            ``links.*``).
    """
    links = recipe.links
    only = f"is for at most {MOST_ON_GRID:,} satellites, and these are {satellites:,}"
    refused: dict[str, object] = {
        "links.plan": links.plan,
        "links.topology": links.topology if links.topology != "nearest" else None,
        "links.rate_table": f"{len(links.rate_table)} rows" if links.rate_table else None,
        "links.photons": "a table" if links.photons else None,
        "ground_sites": ", ".join(site.name for site in recipe.ground_sites) or None,
        "--export": ", ".join(exports) or None,
    }
    for key, value in refused.items():
        if value is not None:
            raise InputError(key, value, f"{only}; {_INSTEAD.get(key, 'leave it out')}")
    with in_the_recipes_words():
        refuse_bad_links(build.link_spec(recipe))


_INSTEAD = {
    "links.topology": "accepted is 'nearest'",
    "links.rate_table": "give links.rate_gbps alone",
    "links.photons": "give links.rate_gbps alone",
}


def stream_contacts(recipe: SkyRecipe, fleet: Fleet, path: Path, note: Stages) -> None:
    """Find the links of a fleet, and write them as a contact plan.

    Raises:
        InputError: SGP4 loses a satellite (key ``fleet.path``).
    """
    start, horizon_s = recipe.time.start, recipe.time.horizon_h * 3600.0
    spec = build.link_spec(recipe)
    note("finding links")
    conditions = nearest_conditions(spec, sun_path(start, horizon_s))
    satellites = Sgp4Ephemeris(fleet.names, fleet.satrecs, start)
    found = _followed(nearest_links(satellites, conditions, nearest_spec(spec), horizon_s), horizon_s, note)
    write_contacts(path, found, node_names=fleet.names, horizon_s=horizon_s, rate_bps=spec.rate_bps)


def stream_eclipses(recipe: SkyRecipe, fleet: Fleet, note: Stages) -> Eclipses:
    """Measure the eclipses of a fleet.

    Raises:
        InputError: SGP4 loses a satellite (key ``fleet.path``).
    """
    horizon_s = recipe.time.horizon_h * 3600.0
    note("finding eclipses")
    parts, found = [], 0
    blocks = _blocks(recipe, fleet, max(1, int(_BLOCK_STATES * STEP_S / horizon_s)))
    for part in eclipses_of_blocks(blocks, recipe.time.start, horizon_s, build.light_spec(recipe)):
        parts.append(part)
        found += part.umbra.size
        note.done(found / len(fleet))
    return joined_eclipses(parts)


def _blocks(recipe: SkyRecipe, fleet: Fleet, size: int) -> Iterator[Sgp4Ephemeris]:
    for first in range(0, len(fleet), size):
        some = slice(first, first + size)
        yield Sgp4Ephemeris(fleet.names[some], fleet.satrecs[some], recipe.time.start)


def _followed(parts: Iterable[NearestLinks], horizon_s: float, note: Stages) -> Iterator[NearestLinks]:
    """The same parts; links have been found as far as the last of them ended."""
    reached_s = 0.0
    for part in parts:
        yield part
        reached_s = float(np.max(part.end_s, initial=reached_s))
        note.done(reached_s / horizon_s)
