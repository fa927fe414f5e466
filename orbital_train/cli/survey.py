"""What the sky allows, as a value and as files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from orbital_train.orbit.fleet import Fleet
from orbital_train.windows.links import Opportunities
from orbital_train.windows.opportunity_file import read_opportunities, write_opportunities
from orbital_train.windows.plan import ContactPlan, Illumination

CONTACTS = "contacts.parquet"
_LIGHT, _OPPORTUNITIES = "illumination.parquet", "opportunities.parquet"
_ARRAY_LIGHT = "array_light.parquet"
_FACTS = "survey.json"


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What the sky allows: it depends on orbits, light and links, and not on who trains."""

    contacts: ContactPlan
    light: Illumination  # sunlit fraction
    array_light: Illumination  # times the cosine of incidence, where arrays do not track the Sun
    satellites: int
    period_s: float  # of the slowest satellite; 0 in the ideal world
    ideal: bool
    notes: tuple[str, ...] = ()  # what one should know before believing it
    fleet: Fleet | None = None  # not in files: None where the survey comes from one
    opportunities: Opportunities | None = None  # of links, before terminals; none where contacts were not computed


def write_windows(sky: Survey, folder: Path) -> None:
    """Write contacts, light, the light on arrays that do not track the Sun, and link opportunities."""
    sky.contacts.write(folder / CONTACTS)
    sky.light.write(folder / _LIGHT)
    if sky.array_light is not sky.light:
        sky.array_light.write(folder / _ARRAY_LIGHT)
    if sky.opportunities is not None:
        write_opportunities(folder / _OPPORTUNITIES, [sky.opportunities])


def write_survey(sky: Survey, folder: Path) -> None:
    """Write all of a survey; exact."""
    write_windows(sky, folder)
    facts = {"satellites": sky.satellites, "period_s": sky.period_s, "ideal": sky.ideal, "notes": sky.notes}
    (folder / _FACTS).write_text(json.dumps(facts), encoding="utf-8")


def read_survey(folder: Path) -> Survey:
    """Read what :func:`write_survey` wrote."""
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    facts["notes"] = tuple(facts["notes"])
    found, on_arrays = folder / _OPPORTUNITIES, folder / _ARRAY_LIGHT
    light = Illumination.read(folder / _LIGHT)
    return Survey(
        contacts=ContactPlan.read(folder / CONTACTS),
        light=light,
        array_light=Illumination.read(on_arrays) if on_arrays.exists() else light,
        opportunities=read_opportunities(found) if found.exists() else None,
        **facts,
    )
