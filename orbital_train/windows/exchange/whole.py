"""Contacts in the whole numbers of the text formats, rounded so that they promise nothing that a plan does not hold."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from orbital_train.errors import InputWarning
from orbital_train.windows.plan import CONTACT_PLAN, ContactPlan, FloatArray, IntArray


@dataclass(frozen=True, kw_only=True)
class WholeContacts:
    """Contacts in columns of shape (C,), in the order of the plan."""

    source: IntArray  # node number, from 1
    dest: IntArray
    start_s: IntArray
    end_s: IntArray
    rate: IntArray  # in the format's own unit
    owlt_s: IntArray


def whole_contacts(plan: ContactPlan, rate: FloatArray) -> WholeContacts:
    """Round contacts inwards: start up, end and rate down, light time up.

    Args:
        plan: the contact plan.
        rate: of every contact in the format's unit, shape (C,), up to 2^53.

    Returns:
        The contacts that are still there; an InputWarning counts those that are not.
    """
    start_s, end_s, whole = np.ceil(plan.start_s), np.floor(plan.end_s), np.floor(rate)
    kept = (end_s > start_s) & (whole > 0)
    lost = len(plan) - int(kept.sum())
    if lost:
        problem = f"{lost} of {len(plan)} contacts hold no whole second or no whole unit of rate, and are left out"
        warnings.warn(f"{CONTACT_PLAN}: {problem}", InputWarning, stacklevel=2)
    return WholeContacts(
        source=plan.source[kept] + 1,
        dest=plan.dest[kept] + 1,
        start_s=start_s[kept].astype(np.int64),
        end_s=end_s[kept].astype(np.int64),
        rate=whole[kept].astype(np.int64),
        owlt_s=np.ceil(plan.owlt_s[kept]).astype(np.int64),
    )


def first_overlap(
    source: IntArray, dest: IntArray, start_s: IntArray | FloatArray, end_s: IntArray | FloatArray
) -> tuple[int, int] | None:
    """Rows of two contacts from one node to the same other that overlap in time, the earlier one first."""
    order = np.lexsort((start_s, dest, source))
    one, two = order[:-1], order[1:]
    overlap = (source[one] == source[two]) & (dest[one] == dest[two]) & (start_s[two] < end_s[one])
    if not overlap.any():
        return None
    k = int(overlap.argmax())
    return int(one[k]), int(two[k])
