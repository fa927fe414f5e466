"""The sync policies by name, and how ``[schedule]`` becomes one: a new policy is one line of ``POLICIES``."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from orbital_train.errors import InputError, InputWarning
from orbital_train.schedule.known import Policy
from orbital_train.schedule.policies.asynchronous import Asynchronous
from orbital_train.schedule.policies.fixed_period import FixedPeriod
from orbital_train.schedule.policies.gossip import Gossip
from orbital_train.schedule.policies.hierarchical import Hierarchical
from orbital_train.schedule.policies.link_aware import LinkAware
from orbital_train.schedule.policies.quorum import Quorum
from orbital_train.schedule.policies.streaming import Streaming

if TYPE_CHECKING:  # which names are accepted there is read from here
    from orbital_train.config.tables.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a policy is built from, with names of nodes resolved."""

    schedule: Schedule
    satellites: int
    home: int | None  # the node of ``schedule.home``
    holding: tuple[int, ...]  # ground sites that hold the global model; none: the fleet does
    joined: bool  # ground sites are joined by lines on the ground
    pairs_seed: int  # of the pairs that ``gossip`` forms
    apart: bool  # every contribution is needed by itself, and none may be added up on the way

    @property
    def site(self) -> int:
        """At which contributions meet."""
        return (self.holding or (0,))[0] if self.home is None else self.home

    @property
    def holder(self) -> tuple[int, ...]:
        """The one site that holds the global model, or none."""
        return (self.site,) if self.holding else ()


class Entry(NamedTuple):
    """A policy; ``forms`` are values of ``schedule.form`` that are worth telling apart."""

    build: Callable[[Setting], Policy[Any]] | None  # None: not event-driven, :mod:`orbital_train.schedule.synchronous`
    fragments: int | None = None  # of the model if the recipe says nothing; None: it is always synchronised whole
    forms: tuple[str, ...] = ()
    sums: bool = False  # contributions are added up on their way, whether they are needed by themselves or not
    one_by_one: bool = False  # a merge holds one contribution
    sites: str | None = None  # why ``schedule.home`` and ``schedule.holders`` are ignored; None: they are not


def _link_aware(setting: Setting) -> LinkAware:
    schedule = setting.schedule
    return LinkAware(
        min_inner_steps=schedule.inner_steps,
        max_staleness=schedule.max_staleness,
        drift_steps=schedule.drift_steps,
        lookahead_s=schedule.lookahead_h * 3600.0,
        adopt=schedule.adoption,
        weights=schedule.weights,
        home=setting.holding,
    )


def _fixed_period(setting: Setting) -> FixedPeriod:
    schedule = setting.schedule
    return FixedPeriod(
        inner_steps=schedule.inner_steps,
        site=setting.home or 0,
        form=schedule.form,
        timeout_s=schedule.timeout_s,
        apart=setting.apart,
        weights=schedule.weights,
    )


def _streaming(setting: Setting) -> Streaming:
    schedule = setting.schedule
    return Streaming(
        inner_steps=schedule.inner_steps,
        site=setting.site,
        timeout_s=schedule.timeout_s,
        overlap_steps=schedule.overlap_steps,
        alpha=schedule.alpha,
        weights=schedule.weights,
        home=setting.holder,
    )


def _asynchronous(setting: Setting) -> Asynchronous:
    schedule = setting.schedule
    everywhere = setting.holding if setting.joined and setting.home is None else ()
    return Asynchronous(inner_steps=schedule.inner_steps, home=everywhere or (setting.site,), weights=schedule.weights)


def _quorum(setting: Setting) -> Quorum:
    schedule, satellites = setting.schedule, setting.satellites
    if schedule.quorum is not None and schedule.quorum > satellites:
        problem = f"must be at most the {satellites} satellites of the fleet"
        raise InputError("schedule.quorum", schedule.quorum, problem)
    return Quorum(
        inner_steps=schedule.inner_steps,
        quorum=-(-satellites // 2) if schedule.quorum is None else schedule.quorum,
        site=setting.site,
        grace=schedule.grace,
        weights=schedule.weights,
        home=setting.holder,
    )


def _gossip(setting: Setting) -> Gossip:
    schedule = setting.schedule
    return Gossip(inner_steps=schedule.inner_steps, seed=setting.pairs_seed, weights=schedule.weights)


def _hierarchical(setting: Setting) -> Hierarchical:
    schedule = setting.schedule
    return Hierarchical(
        inner_steps=schedule.inner_steps,
        between_steps=schedule.between_steps or 5 * schedule.inner_steps,
        max_staleness=schedule.max_staleness,
        drift_steps=schedule.drift_steps,
        lookahead_s=schedule.lookahead_h * 3600.0,
        weights=schedule.weights,
    )


def _local_then_average(setting: Setting) -> FixedPeriod:
    site, weights = setting.home or 0, setting.schedule.weights
    return FixedPeriod(inner_steps=None, site=site, apart=setting.apart, weights=weights, name="local_then_average")


POLICIES = {
    "link_aware": Entry(_link_aware, fragments=1, sums=True),
    "fixed_period": Entry(_fixed_period, forms=("blocking", "skipping")),
    "streaming": Entry(_streaming, fragments=4),
    "asynchronous": Entry(_asynchronous, one_by_one=True),
    "quorum": Entry(_quorum),
    "gossip": Entry(_gossip, fragments=1, sites="every node has a model of its own, and there is no global one"),
    "hierarchical": Entry(
        _hierarchical, sums=True, sites="all nodes hold the global model, and it chooses where groups meet"
    ),
    "local_then_average": Entry(_local_then_average),
    "fully_connected": Entry(None),
}


def warn_of_ignored(schedule: Schedule) -> None:
    """Warn of sites that are given to a policy without any, by an InputWarning: other policies of a sweep have them."""
    reason = POLICIES[schedule.policy].sites
    for key, value in (("home", schedule.home), ("holders", schedule.holders)):
        if reason is not None and value is not None:
            problem = f"{schedule.policy} ignores it: {reason}"
            warnings.warn(f"schedule.{key} = {value!r}: {problem}", InputWarning, stacklevel=2)


def fragments(schedule: Schedule) -> int:
    """Parts in which the model is synchronised."""
    usual = POLICIES[schedule.policy].fragments
    return 1 if usual is None else schedule.fragments or min(usual, schedule.inner_steps)
