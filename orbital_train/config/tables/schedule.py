"""``[schedule]``: when to synchronise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from orbital_train.config.policies import POLICIES
from orbital_train.config.tables.base import PositiveFraction, Steps, Table

if TYPE_CHECKING:
    PolicyName = str
else:
    PolicyName = Literal[tuple(POLICIES)]


class Schedule(Table):
    """When to synchronise. Which keys matter depends on the policy."""

    policy: PolicyName
    budget_steps: Steps
    """Inner steps of the whole fleet together; then the run drains and ends."""
    evaluations: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """Validations of the global model, evenly spaced in merged steps, beside the first and the last."""
    inner_steps: Steps = 30
    """H of a node between two contributions. ``link_aware``, and within groups ``hierarchical``: the fewest steps of a
    contribution. ``streaming`` and ``gossip``: between two of the same fragment. ``asynchronous``: of the fastest
    node."""
    between_steps: Steps | None = None
    """``hierarchical``: between two contributions of a group to the global model, of each of its nodes on average; five
    times ``inner_steps`` if not given."""
    fragments: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """``link_aware``, ``streaming`` and ``gossip``: parts of the model that are synchronised by themselves, each an
    equal share of the message. 1 if not given, but for ``streaming`` 4 (no more than ``inner_steps``)."""
    weights: Literal["tokens", "uniform"] = "tokens"
    """What a contribution counts. Every node takes the same tokens in a step, so that weights by tokens^2 / steps, as
    proposed for ``quorum``, are those by tokens."""
    home: str | None = None
    """Node or site at which contributions meet; without, the first of the ground sites that hold the model, or else the
    first satellite. ``asynchronous``: it alone, instead of all such ground sites. ``link_aware``, ``fixed_period``,
    blocking, and ``hierarchical`` choose for themselves; ``gossip`` has none."""
    holders: Literal["fleet", "ground_sites"] | None = None
    """Who holds the global model. ``fleet``: all satellites; each is sent every merge's average, and as a version is
    made of the one before, none may be missed. ``ground_sites``: they alone (of ``streaming`` and ``quorum``, one of
    them), and satellites are sent the newest parameters: right where a satellite hears nothing for hours. If not given:
    ground sites where satellites meet only there (``links.topology``), else the fleet. ``fixed_period``,
    ``local_then_average`` and ``hierarchical``: always the fleet. ``gossip``: there is none. ``asynchronous``: never
    all of it, but its ``home``."""
    form: Literal["blocking", "skipping"] = "blocking"
    """``fixed_period``: wait for every node, or for ``timeout_s``."""
    timeout_s: Annotated[float, Field(ge=0.0, le=31_557_600.0)] = 600.0
    """``fixed_period`` that skips, and ``streaming``: from a round's first contribution to its merge, at most."""
    overlap_steps: Annotated[int, Field(ge=0, le=1_000_000)] = 5
    """``streaming``: tau; a result is adopted so many inner steps after its snapshot, or later if it comes later."""
    alpha: PositiveFraction = 0.5
    """``streaming``: weight of a result that is adopted; the node's own parameters weigh the rest."""
    quorum: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """``quorum``: K, contributions that a merge waits for; half of the fleet, rounded up, if not given."""
    grace: Annotated[float, Field(ge=0.0, le=1_000.0)] = 0.5
    """``quorum``: how long a merge waits for more, as a share of the usual time from the first to the K-th."""
    adoption: Literal["keep", "replace"] = "keep"
    """``link_aware``: train on while a merge is under way and keep that progress, or wait."""
    max_staleness: Steps = 8
    """``link_aware`` and, within groups, ``hierarchical``: versions that a node may be behind before a round waits for
    it. The next two keys are for both too."""
    drift_steps: Annotated[float, Field(gt=0.0, le=1e12)] = 500.0
    """``link_aware``: inner steps after which further ones count half."""
    lookahead_h: Annotated[float, Field(gt=0.0, le=87_660.0)] = 6.0
    """``link_aware``: how far ahead a round is planned."""

    @field_validator("fragments")
    @classmethod
    def _one_a_turn(cls, fragments: int | None, info: ValidationInfo) -> int | None:
        most = info.data.get("inner_steps")
        if info.data.get("policy") == "streaming" and fragments and most and fragments > most:
            raise ValueError(
                f"must be at most inner_steps = {most}: a node sends one every inner_steps / fragments steps"
            )
        return fragments
