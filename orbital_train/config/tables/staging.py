"""``[staging]``: what is brought up before the training, and down after it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orbital_train.config.tables.base import LIST, Table


class StagingTable(Table):
    """What is brought up to the satellites before they train, and down afterwards, over the links of the plan."""

    sources: Annotated[tuple[str, ...], LIST, Field(min_length=1)]
    """Ground sites or satellites that have the first model and all data at the start."""
    data_gb: Annotated[float, Field(ge=0.0, le=1e9)] = 0.0
    """Training data of each satellite."""
    deliver_to: Annotated[tuple[str, ...], LIST] = ()
    """Ground sites of which one is to get the final model; if none is given it stays in orbit."""
