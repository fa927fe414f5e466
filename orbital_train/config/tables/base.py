"""What all tables of a recipe have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict

LIST = Strict(False)  # TOML's arrays are lists; what stands in them is as strict as all else

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFraction = Annotated[float, Field(gt=0.0, le=1.0)]

# Upper bounds are far above all that has been proposed: they catch slips of the decimal point and of the unit.
Small = Annotated[int, Field(ge=1, le=10_000)]
Width = Annotated[int, Field(ge=1, le=1_000_000)]
Steps = Annotated[int, Field(ge=1, le=10**12)]
Gbps = Annotated[float, Field(gt=0.0, le=1_000_000.0)]
LearningRate = Annotated[float, Field(gt=0.0, le=1_000.0)]


class Table(BaseModel):
    """A table of the recipe. A value of another type is refused, not converted; a whole number may be a float."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)
