"""What ``plan`` says about the light of a whole year, of which a scenario sees a day or two."""

from __future__ import annotations

from datetime import date

import numpy as np

from orbital_train.config import build
from orbital_train.config.recipe import Recipe, SkyRecipe
from orbital_train.config.tables.fleet import ElementFile
from orbital_train.orbit.ephemeris import Sgp4Ephemeris
from orbital_train.orbit.fleet import build_fleet
from orbital_train.orbit.mean_elements import nodal_period_s
from orbital_train.windows.light import occulter_of
from orbital_train.windows.seasons import EclipseYear, eclipse_year

FEW_SEASONS = 3  # more are not listed one by one


def season_lines(recipe: SkyRecipe) -> list[str]:
    """Eclipses of the first satellite over the year from the start.

    Nothing for element sets, which drag makes unknown in a year, and nothing for a fleet in constant sunlight.
    """
    ideal = isinstance(recipe, Recipe) and recipe.schedule.policy == "fully_connected"
    if isinstance(recipe.fleet, ElementFile) or ideal:
        return []
    start = recipe.time.start
    fleet = build_fleet(build.fleet_spec(recipe), start)
    first = Sgp4Ephemeris(fleet.names[:1], fleet.satrecs[:1], start)
    year = eclipse_year(first, nodal_period_s(fleet.satrecs[0]), start, occulter_of(build.light_spec(recipe)))
    beta_deg = float(np.degrees(year.beta_rad[0]))
    return [f"{fleet.names[0]} over a year: {_year_words(year)}; beta is {beta_deg:.1f} deg at the start"]


def _year_words(year: EclipseYear) -> str:
    if not year.days:
        return "no eclipses"
    when = "every day" if year.days == year.umbra_s.size - 1 else f"on {year.days} days"
    if len(year.seasons) <= FEW_SEASONS and year.days < year.umbra_s.size - 1:
        when += " (" + ", ".join(f"{_day(first)} to {_day(last)}" for first, last in year.seasons) + ")"
    return f"eclipses {when}, {year.share:.1%} of the time in umbra, longest {year.longest_s / 60.0:.1f} min"


def _day(day: date) -> str:
    return f"{day.day} {day:%b %Y}"
