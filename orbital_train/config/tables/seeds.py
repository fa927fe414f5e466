"""``[seeds]``: what chance depends on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orbital_train.config.tables.base import Table


class Seeds(Table):
    """Kept apart, so that arms of a comparison can be paired."""

    init: Annotated[int, Field(ge=0, lt=2**32)] = 0
    data: Annotated[int, Field(ge=0, lt=2**32)] = 0
    clouds: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the clouds over optical sites; all arms and repetitions share them."""
    faults: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the faults; all arms and repetitions share them."""
    pairs: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the pairs that ``gossip`` forms."""
