"""Seeded draws of a fault plan.

Every node or link has a stream of random numbers of its own for each kind of fault, which depends on the seed and on
its name or names only: another node, another kind of fault or a longer horizon changes none of the others' draws. Rates
are constant in time and the same for all nodes, but for bit flips, which may depend on where a node is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from orbital_train.schedule.faults import BitFlip, FaultPlan, FlipTarget, LinkOutage, Outage, SlowDown
from orbital_train.schedule.pair_times import PairTimes
from orbital_train.schedule.radiation import Radiation
from orbital_train.schedule.spells import Spells
from orbital_train.windows.plan import ContactPlan, FloatArray

YEAR_S = 365.25 * 86400.0
# Of a satellite; a scenario above these is a stress test. Particles reset a chip's host once in about three years
# (Suncatcher, arXiv 2511.19468); ten a year leave room for all other causes. The limit for losses is an assumption.
PHYSICAL_OUTAGES_PER_YEAR = 10.0
PHYSICAL_LOSSES_PER_YEAR = 0.1
# Nine silent corruptions a year and chip (the same source), and room for ten chips.
PHYSICAL_UPSETS_PER_YEAR = 100.0

_FLIPS = 64  # drawn at once; fixed, so that a longer scenario continues a shorter one


@dataclass(frozen=True, kw_only=True)
class FaultSpec:
    """How often what fails; nothing unless told. Good times are those in which a node is up, or a link not out."""

    seed: int = 0
    outages: Spells | None = None  # of each node
    state_loss_fraction: float = 0.0  # of these outages
    mean_life_s: float = math.inf  # of a node, until it is lost for ever
    late_fraction: float = 0.0  # probability that a node joins late
    late_within_s: float = 0.0  # it joins at any time until then
    link_outages: Spells | None = None  # of each two nodes that are ever linked
    missed_acquisition_fraction: float = 0.0  # of all acquisitions, those that follow a missed one too
    slow_downs: Spells | None = None  # of each node
    slow_down_factor: float = 1.0
    clouds: Mapping[str, Spells] = field(default_factory=dict)  # by the name of the ground site
    cloud_seed: int = 0
    flips_per_s: Mapping[FlipTarget, float] = field(default_factory=dict)  # of each node

    @property
    def flips_per_year(self) -> float:
        """Of all bits of a node that can be hit at all times, where nothing weighs them."""
        return YEAR_S * sum(rate for target, rate in self.flips_per_s.items() if target != "message")

    @property
    def outages_per_year(self) -> float:
        """Of a node, in a year of being up."""
        return YEAR_S / self.outages.mean_good_s if self.outages else 0.0

    @property
    def losses_per_year(self) -> float:
        """Of a node, while it lives."""
        return YEAR_S / self.mean_life_s

    @property
    def stress(self) -> bool:
        """Whether nodes fail more often than they do in orbit: a stress test, to be called one."""
        often = self.outages_per_year > PHYSICAL_OUTAGES_PER_YEAR
        return often or self.losses_per_year > PHYSICAL_LOSSES_PER_YEAR

    @property
    def flips_stress(self) -> bool:
        """The same of bits that are flipped."""
        return self.flips_per_year > PHYSICAL_UPSETS_PER_YEAR


class _Kind(IntEnum):
    """Names of the streams: a new kind gets a new number."""

    OUTAGE = 0
    STATE_LOSS = 1
    LOSS = 2
    LATE = 3
    LINK = 4
    ACQUISITION = 5
    SLOW = 6
    FLIP = 7


def draw_faults(
    spec: FaultSpec, contacts: ContactPlan, satellites: int, radiation: Radiation | None = None
) -> FaultPlan:
    """The faults of a scenario up to the end of its contact plan.

    Args:
        spec: what fails how often.
        contacts: the contact plan; links that are never made do not fail.
        satellites: the first so many nodes of the plan; ground sites have no faults but clouds.
        radiation: what weighs bit flips; None: nothing does.
    """
    names, horizon_s = contacts.node_names[:satellites], contacts.horizon_s
    return FaultPlan(
        outages=tuple(o for i, name in enumerate(names) for o in _outages(spec, i, name, horizon_s)),
        link_outages=tuple(_of_links(spec, contacts)),
        slow_downs=tuple(s for i, name in enumerate(names) for s in _slow_downs(spec, i, name, horizon_s)),
        bit_flips=tuple(f for i, name in enumerate(names) for f in _flips(spec, i, name, horizon_s, radiation)),
    )


def _stream(seed: int, kind: _Kind, *names: str) -> np.random.Generator:
    key = [256]  # no byte of a name
    for name in names:
        key += [*name.encode(), 256]
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(kind, *key)))


def whole_us(start_s: float, end_s: float) -> dict[str, int]:
    """A stretch of time rounded outwards to whole microseconds, at least one."""
    start_us = math.floor(start_s * 1e6)
    return {"start_us": start_us, "end_us": max(math.ceil(end_s * 1e6), start_us + 1)}


def _spells_us(spells: Spells, generator: np.random.Generator, horizon_s: float) -> Iterator[dict[str, int]]:
    start_s, end_s = spells.draw(generator, horizon_s)
    return map(whole_us, start_s.tolist(), end_s.tolist())


def _outages(spec: FaultSpec, node: int, name: str, horizon_s: float) -> Iterator[Outage]:
    if spec.outages:
        loses = _stream(spec.seed, _Kind.STATE_LOSS, name)
        for times in _spells_us(spec.outages, _stream(spec.seed, _Kind.OUTAGE, name), horizon_s):
            lost = loses.random() < spec.state_loss_fraction
            yield Outage(node=node, **times, loses_state=lost, cause="reset")
    if spec.mean_life_s < math.inf:
        life_s = _stream(spec.seed, _Kind.LOSS, name).exponential(spec.mean_life_s)
        if life_s < horizon_s:
            yield Outage(node=node, start_us=math.floor(life_s * 1e6), end_us=None, loses_state=True, cause="loss")
    if spec.late_fraction > 0:
        late, part = _stream(spec.seed, _Kind.LATE, name).random(2)
        if late < spec.late_fraction:
            yield Outage(node=node, **whole_us(0.0, part * spec.late_within_s), loses_state=True, cause="late")


def _slow_downs(spec: FaultSpec, node: int, name: str, horizon_s: float) -> Iterator[SlowDown]:
    if spec.slow_downs:
        for times in _spells_us(spec.slow_downs, _stream(spec.seed, _Kind.SLOW, name), horizon_s):
            yield SlowDown(node=node, **times, factor=spec.slow_down_factor)


def _flips(spec: FaultSpec, node: int, name: str, horizon_s: float, radiation: Radiation | None) -> Iterator[BitFlip]:
    """A Poisson process of each target, in a time that runs faster where there is more radiation."""
    edge_s, dose_s = (np.array([0.0, horizon_s]),) * 2 if radiation is None else radiation.dose_s(node, horizon_s)
    for target, rate in spec.flips_per_s.items():
        generator, drawn_s = _stream(spec.seed, _Kind.FLIP, name, target), 0.0
        while rate > 0 and drawn_s < dose_s[-1]:
            at_dose_s = drawn_s + np.cumsum(generator.exponential(1.0 / rate, _FLIPS))
            places, bits = generator.random(_FLIPS).tolist(), generator.integers(0, 32, _FLIPS).tolist()
            at_us = np.floor(np.interp(at_dose_s, dose_s, edge_s) * 1e6).astype(np.int64).tolist()
            drawn_s = float(at_dose_s[-1])
            for k in range(int(np.searchsorted(at_dose_s, dose_s[-1]))):
                yield BitFlip(node=node, at_us=at_us[k], target=target, place=places[k], bit=bits[k])


def _of_links(spec: FaultSpec, contacts: ContactPlan) -> Iterator[LinkOutage]:
    if spec.link_outages or spec.missed_acquisition_fraction > 0 or spec.clouds:
        links = PairTimes(contacts)
        yield from _link_outages(spec, links, contacts.horizon_s)
        yield from _missed_acquisitions(spec, links)
        yield from _clouds(spec, links, contacts.horizon_s)


def _link_outages(spec: FaultSpec, links: PairTimes, horizon_s: float) -> Iterator[LinkOutage]:
    """Those during contacts; a link that fails has to be acquired again."""
    if spec.link_outages is None:
        return
    for a, b in links.pairs():
        generator = _stream(spec.seed, _Kind.LINK, links.names[a], links.names[b])
        start_s, end_s = spec.link_outages.draw(generator, horizon_s)
        end_s = end_s + links.acquisition_s(a, b)
        hit = links.linked(a, b, start_s, end_s)
        for times in map(whole_us, start_s[hit].tolist(), end_s[hit].tolist()):
            yield LinkOutage(a=a, b=b, **times, cause="link")


def _missed_acquisitions(spec: FaultSpec, links: PairTimes) -> Iterator[LinkOutage]:
    """A link begins later by the time of one acquisition for every one that was missed, or never."""
    for a, b in links.pairs():
        start_s, end_s, acquisition_s = links.acquired(a, b)
        generator = _stream(spec.seed, _Kind.ACQUISITION, links.names[a], links.names[b])
        missed = generator.geometric(1.0 - spec.missed_acquisition_fraction, start_s.size) - 1
        up_s: FloatArray = np.minimum(start_s + missed * acquisition_s, end_s)
        late = up_s > start_s
        for times in map(whole_us, start_s[late].tolist(), up_s[late].tolist()):
            yield LinkOutage(a=a, b=b, **times, cause="acquisition")


def _clouds(spec: FaultSpec, links: PairTimes, horizon_s: float) -> Iterator[LinkOutage]:
    """Clouds over sites that are there; afterwards the links that were waiting are acquired again."""
    for name in sorted(spec.clouds.keys() & set(links.names)):
        site = links.names.index(name)
        generator = np.random.default_rng([spec.cloud_seed, *name.encode()])
        start_s, end_s = spec.clouds[name].draw(generator, horizon_s)
        end_s = end_s + links.acquisition_s(site)
        for times in map(whole_us, start_s.tolist(), end_s.tolist()):
            yield LinkOutage(a=site, b=None, **times, cause="cloud")
