"""``[time]``: when the scenario is flown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from orbital_train.config.tables.base import Table

INSTANT = "must be an instant in UTC without quotes, as 2026-03-20T00:00:00Z"


def _in_utc(instant: datetime) -> datetime:
    """An instant without a time zone would mean something else on every machine."""
    if instant.utcoffset() is None or instant.utcoffset() != timedelta(0):
        raise ValueError(INSTANT)
    if not 1957 <= instant.year <= 2050:
        raise ValueError("must be from 1957 to 2050: where the Sun is known")
    return instant.astimezone(UTC)


class Time(Table):
    """When the scenario is flown."""

    start: Annotated[datetime, AfterValidator(_in_utc)]
    horizon_h: Annotated[float, Field(gt=0.0, le=10 * 8_766.0)]
    """How long the contact plan reaches. The run ends earlier when its budget is trained and merged."""
