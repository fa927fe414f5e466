"""Numbers for people: three significant digits, SI prefixes, and the unit always beside the number."""

from __future__ import annotations

import math

_COUNT_STEPS = ((1e12, " tn"), (1e9, " bn"), (1e6, " M"), (1e3, " k"))
_BYTE_STEPS = ((1e15, " PB"), (1e12, " TB"), (1e9, " GB"), (1e6, " MB"), (1e3, " kB"))
_DURATION_STEPS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))
NONE = "–"


def significant(x: float, digits: int = 3) -> str:
    """``x`` with this many significant digits, never in exponent form: ``1.70``, ``12.3``, ``412``."""
    if not math.isfinite(x):
        return "not finite"
    if x == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(x)))
    rounded = round(x, decimals)
    decimals = digits - 1 - math.floor(math.log10(abs(rounded)))  # 9.996 becomes 10.0, not 10.00
    return f"{rounded:.{max(decimals, 0)}f}"


def _scaled(x: float, steps: tuple[tuple[float, str], ...], plain: str) -> str:
    for size, unit in steps:
        if abs(x) >= 0.9995 * size:  # what would round up to 1000 of the smaller unit
            return significant(x / size) + unit
    return (str(int(x)) if x == int(x) else significant(x)) + plain


def count(n: float) -> str:
    """A number of things: ``512``, ``12.8 M``, ``8.03 bn`` (10⁹), ``1.2 tn`` (10¹²)."""
    return _scaled(n, _COUNT_STEPS, "")


def plural(count: int, what: str) -> str:
    """A number of things with their name: ``1 link``, ``2,048 links``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def data_bytes(n: float) -> str:
    """A volume of data in decimal units: ``512 B``, ``3.20 GB``."""
    return _scaled(n, _BYTE_STEPS, " B")


def duration(t_s: float) -> str:
    """A length of time: ``0.25 s``, ``35.0 min``, ``14.2 h``, ``3.4 d``."""
    for (size_s, unit), from_s in zip(_DURATION_STEPS, (172_800.0, 5_400.0, 90.0), strict=True):
        if t_s >= from_s:
            return f"{significant(t_s / size_s)} {unit}"
    return f"{significant(t_s)} s"


def time_unit(span_s: float) -> tuple[float, str]:
    """The unit for a time axis of this length: its size in seconds, and its name."""
    for (size_s, unit), from_s in zip(_DURATION_STEPS, (345_600.0, 5_400.0, 90.0), strict=True):
        if span_s >= from_s:
            return size_s, unit
    return 1.0, "s"


def percent(fraction: float) -> str:
    """A share: ``61.3 %``."""
    return f"{100 * fraction:.1f} %"


def signed_percent(fraction: float) -> str:
    """A change: ``+3.1 %`` or ``−0.4 %``."""
    return f"{100 * fraction:+.1f} %".replace("-", "−")


def loss(x: float) -> str:
    """A loss in nats: three decimals, or ``not finite``."""
    return f"{x:.3f}" if math.isfinite(x) else "not finite"


def times(ratio: float) -> str:
    """A factor: ``412×``, ``1.30×``."""
    return significant(ratio) + "×"


def fewer(ratio: float) -> str:
    """A ratio to a baseline, said the way round that has the larger number: ``412× fewer`` or ``1.30× as many``."""
    if ratio == 0:
        return "none"
    return f"{times(1 / ratio)} fewer" if ratio < 1 else f"{times(ratio)} as many"
