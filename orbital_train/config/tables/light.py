"""``[light]``: the shadow of the Earth."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orbital_train.config.tables.base import Table


class Light(Table):
    """The shadow of the Earth."""

    shadow_margin_km: Annotated[float, Field(ge=0.0, lt=100.0)] = 0.0
    """Height up to which the atmosphere is taken to be opaque."""
