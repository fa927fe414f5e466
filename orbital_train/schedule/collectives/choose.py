"""The best of all collectives over the contacts that there are."""

from __future__ import annotations

from orbital_train.schedule.collectives.pairwise import pairwise
from orbital_train.schedule.collectives.plan import Collective, Wanted
from orbital_train.schedule.collectives.ring import ring
from orbital_train.schedule.collectives.tree import tree


def best(wanted: Wanted, in_parts: bool) -> Collective | None:
    """The plan by which the last node has everything first; of equal ones that of fewer hops. None if there is none.

    Args:
        wanted: what is asked for.
        in_parts: whether the message may be cut, each part to be added up elsewhere: then every node has to be one
            that holds the global model, since none has the whole sum before the others.
    """
    found = tree(wanted)
    if in_parts:
        for planner in (ring, pairwise):
            other = planner(wanted, found.last_us if found is not None else wanted.network.horizon_us)
            found = min((plan for plan in (found, other) if plan is not None), key=Collective.rank, default=None)
    return found
