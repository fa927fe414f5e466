"""Plans and opportunities that are written while links are being found."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from orbital_train.orbit.constants import LIGHT_SPEED_MPS
from orbital_train.orbit.ephemeris import Sgp4Ephemeris
from orbital_train.orbit.fleet import WalkerSpec, build_fleet
from orbital_train.orbit.grid import sample
from orbital_train.windows.links import LinkSpec, Opportunities, link_conditions, visible_opportunities
from orbital_train.windows.nearest import NearestLinks, nearest_links
from orbital_train.windows.nearest_plan import nearest_spec
from orbital_train.windows.opportunity_file import read_opportunities, write_opportunities
from orbital_train.windows.plan import ContactPlan, LinkKind
from orbital_train.windows.writer import write_contacts
from tests.sampled import contact_plan, opportunities

START = datetime(2026, 3, 20, tzinfo=UTC)
FLEET = build_fleet(
    WalkerSpec(pattern="delta", satellites=24, planes=4, phasing=1, altitude_m=1200e3, inclination_deg=60.0), START
)
SPEC = LinkSpec(topology="nearest", max_range_m=6e6, rate_bps=1e11, ground_rate_bps=1e9, neighbours=2, terminals=2)


def test_a_streamed_plan_is_the_plan_that_is_made_in_one_go(tmp_path: Path) -> None:
    ephemeris = Sgp4Ephemeris(FLEET.names, FLEET.satrecs, START)
    conditions = tuple(link_conditions(SPEC).values())
    parts = nearest_links(ephemeris, conditions, nearest_spec(SPEC), 6000.0, block_steps=7)
    count = write_contacts(tmp_path / "plan", parts, node_names=FLEET.names, horizon_s=6000.0, rate_bps=SPEC.rate_bps)
    streamed, whole = ContactPlan.read(tmp_path / "plan"), contact_plan(FLEET, ephemeris, (), SPEC, 6000.0)
    assert len(streamed) == len(whole) == count > 100
    assert streamed.node_names == whole.node_names
    for field in fields(ContactPlan)[2:]:
        # A sampled grid has the derivative of SGP4's positions as velocities, a stream SGP4's own: edges move by that.
        apart = {"end_s": 2e-3, "owlt_s": 1e-7}.get(field.name, 0.0)
        ours, theirs = getattr(streamed, field.name), getattr(whole, field.name)
        np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=apart, err_msg=field.name)


def test_contacts_of_links_that_ended_out_of_order(tmp_path: Path) -> None:
    def links(numbers: list[int], end_s: float) -> NearestLinks:
        one = np.ones(len(numbers), dtype=np.int64)
        number = np.array(numbers)
        return NearestLinks(
            link_id=number, a=0 * one, b=number + 1, terminal_a=number, terminal_b=0 * one,
            acquire_start_s=10.0 * number, start_s=10.0 * number + 5.0, end_s=end_s * one, range_m=3e6 * one,
        )  # fmt: skip

    names = ("a", "b", "c", "d")
    parts = [links([1], 50.0), links([0, 2], 90.0)]
    assert write_contacts(tmp_path / "plan", parts, node_names=names, horizon_s=90.0, rate_bps=8.0) == 6
    plan = ContactPlan.read(tmp_path / "plan")
    assert plan.link_id.tolist() == [0, 0, 1, 1, 2, 2]
    assert plan.source.tolist() == [0, 1, 0, 2, 0, 3]
    assert plan.dest.tolist() == [1, 0, 2, 0, 3, 0]
    assert plan.source_terminal.tolist() == [0, 0, 1, 0, 2, 0]
    assert plan.start_s.tolist() == [5.0, 5.0, 15.0, 15.0, 25.0, 25.0]
    assert plan.end_s.tolist() == [90.0, 90.0, 50.0, 50.0, 90.0, 90.0]
    assert plan.owlt_s.tolist() == [3e6 / LIGHT_SPEED_MPS] * 6
    assert set(plan.kind) == {LinkKind.ISL}


@pytest.mark.parametrize("sizes", [[3, 0, 4], [0], []])
def test_opportunities_survive_exactly(tmp_path: Path, sizes: list[int]) -> None:
    rng = np.random.default_rng(1)

    def some(count: int) -> Opportunities:
        a, b, kind = rng.integers(0, 99, (3, count))
        start_s, end_s = rng.random((2, count))
        return Opportunities(a=a, b=b, start_s=start_s, end_s=end_s, kind=kind)

    parts = [some(count) for count in sizes]
    assert write_opportunities(tmp_path / "found", parts) == sum(sizes)
    again = read_opportunities(tmp_path / "found")
    for field in fields(Opportunities):
        before = [value for part in parts for value in getattr(part, field.name).tolist()]
        assert getattr(again, field.name).tolist() == before


def test_streamed_opportunities_of_all_pairs_are_those_that_are_found_in_one_go(tmp_path: Path) -> None:
    spec, ephemeris = replace(SPEC, topology="all_visible"), Sgp4Ephemeris(FLEET.names, FLEET.satrecs, START)
    parts = visible_opportunities(len(FLEET), sample(ephemeris, 6000.0, 60.0), spec)
    assert write_opportunities(tmp_path / "found", parts) > 200
    streamed, whole = read_opportunities(tmp_path / "found"), opportunities(FLEET, ephemeris, (), spec, 6000.0)
    for field in fields(Opportunities):
        assert getattr(streamed, field.name).tolist() == getattr(whole, field.name).tolist()
