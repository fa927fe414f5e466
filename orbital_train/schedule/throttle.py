"""Training under a power cap: the accelerator lowers its clock, and steps take longer."""

from __future__ import annotations

from orbital_train.errors import InputError


def refuse_low_cap(cap_w: float, static_w: float) -> None:
    """Refuse a cap that leaves nothing above the static part of the training load (key ``power.train_cap_w``)."""
    if cap_w <= static_w:
        problem = f"must be above the static part of training, train_w x train_static_fraction = {static_w:g} W"
        raise InputError("power.train_cap_w", cap_w, problem)


def step_time_factor(*, full_w: float, static_w: float, drawn_w: float) -> float:
    """How many times as long a step takes when training may draw less than it would.

    An assumption, not a measurement. At a clock of f times the full one the accelerator draws

        P(f) = static_w + (full_w - static_w) f³,

    since switching power goes with clock times voltage squared, and voltage with the clock (the textbook law of dynamic
    voltage and frequency scaling: Mudge 2001, IEEE Computer 34(4)). A step takes 1 / f times as long, as work that is
    bound by arithmetic does; work that waits for memory loses less.

    Args:
        full_w: what training draws at the full clock.
        static_w: the part of it that does not fall with the clock.
        drawn_w: what it may draw, above ``static_w``.
    """
    return 1.0 if drawn_w >= full_w else float(((full_w - static_w) / (drawn_w - static_w)) ** (1.0 / 3.0))
