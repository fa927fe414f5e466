"""Windows of large fleets that were found before, from the cache of surveys.

What is kept is the file of contacts as it was written, and the measures of eclipses. Contacts are counted again from
their file, which takes no time beside finding them.
"""

from __future__ import annotations

import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np

from orbital_train.cli.sky_stream import stream_contacts, stream_eclipses
from orbital_train.cli.survey import CONTACTS
from orbital_train.cli.survey_cache import made_or_kept
from orbital_train.config.recipe import SkyRecipe
from orbital_train.orbit.fleet import Fleet
from orbital_train.report.stages import Stages
from orbital_train.windows.columns import Types, read_columns, write_columns
from orbital_train.windows.measures import Eclipses
from orbital_train.windows.tally import Tally, tally_file

_ECLIPSES = "eclipses"
_FILE = "eclipses.parquet"
_COLUMNS: Types = {field.name: np.float64 for field in fields(Eclipses)}


def streamed_or_cached(recipe: SkyRecipe, fleet: Fleet, path: Path, note: Stages) -> tuple[Tally, Eclipses]:
    """Write the contacts of a fleet to a file, and measure them and the eclipses; from the cache the second time.

    Raises:
        InputError: SGP4 loses a satellite (key ``fleet.path``).
    """

    def make() -> Eclipses:
        stream_contacts(recipe, fleet, path, note)
        return stream_eclipses(recipe, fleet, note)

    def write(dark: Eclipses, folder: Path) -> None:
        shutil.copyfile(path, folder / CONTACTS)
        write_columns(folder / _FILE, _ECLIPSES, vars(dark), _COLUMNS)

    def read(folder: Path) -> Eclipses:
        shutil.copyfile(folder / CONTACTS, path)
        return Eclipses(**read_columns(folder / _FILE, _ECLIPSES, _COLUMNS)[0])

    dark, _ = made_or_kept(recipe, "streamed", make, read=read, write=write)
    note("counting contacts")
    return tally_file(path, len(fleet), recipe.time.horizon_h * 3600.0), dark
