"""The recipe: every key that a user may write, with its meaning, unit, default and bounds.

Frozen, unknown keys forbidden. Units are part of the names. What a key means is said once, in ``tables/``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orbital_train.config.tables.base import LIST, Table
from orbital_train.config.tables.cluster import Cluster
from orbital_train.config.tables.compare import Compare
from orbital_train.config.tables.data import Data
from orbital_train.config.tables.faults import Faults
from orbital_train.config.tables.fleet import Fleet
from orbital_train.config.tables.light import Light
from orbital_train.config.tables.links import Links
from orbital_train.config.tables.models import GPTTable, Model
from orbital_train.config.tables.optimizers import Inner, Outer
from orbital_train.config.tables.power import Power
from orbital_train.config.tables.schedule import Schedule
from orbital_train.config.tables.seeds import Seeds
from orbital_train.config.tables.sites import Site
from orbital_train.config.tables.staging import StagingTable
from orbital_train.config.tables.time import Time
from orbital_train.config.tables.upsets import Screening
from orbital_train.config.tables.workload import WorkloadTable


class SkyRecipe(Table):
    """A fleet and its sky. A recipe with none of the other tables: its windows are planned, and nothing more."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    description: str
    """One line."""
    assumptions: Annotated[tuple[str, ...], LIST] = ()
    """What is not public or not measured, in the report word for word."""
    time: Time
    fleet: Fleet
    ground_sites: Annotated[tuple[Site, ...], LIST] = ()
    ground_site_file: str | None = None
    """More of them: a CSV file, relative to the recipe's folder, whose columns are the keys of ``ground_sites``.
    It is read with the recipe; a recipe that is written out has its rows among ``ground_sites``."""
    light: Light = Light()
    links: Links = Links()
    seeds: Seeds = Seeds()


class Recipe(SkyRecipe):
    """A whole recipe: what flies, and what it trains."""

    power: Power
    workload: WorkloadTable
    schedule: Schedule
    faults: Faults = Faults()
    staging: StagingTable | None = None
    model: Model = GPTTable()
    data: Data
    inner: Inner = Inner()
    outer: Outer = Outer()
    screening: Screening = Screening()
    cluster: Cluster = Cluster()
    compare: Compare = Compare()
