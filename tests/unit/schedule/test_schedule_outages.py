"""What happens to the model, and to what is on its way, where nodes and links fail."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from orbital_train.schedule import known
from orbital_train.schedule.faults import FaultPlan, LinkOutage, Outage
from orbital_train.schedule.losses import merged_steps_of
from orbital_train.schedule.ops.merging import Merge, Snapshot
from orbital_train.schedule.ops.nodes import Lose, Restore, Step
from orbital_train.schedule.policies.asynchronous import Asynchronous
from orbital_train.schedule.policies.fixed_period import FixedPeriod
from orbital_train.schedule.policies.gossip import Gossip
from orbital_train.schedule.policies.link_aware import LinkAware
from orbital_train.schedule.policies.quorum import Quorum
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.validate import validate
from tests.unit.schedule.scenarios import POWER, scenario
from tests.unit.schedule.scripted import Scripted

S = 1_000_000


def outage(node: int, start_s: int, end_s: int | None, *, loses_state: bool) -> FaultPlan:
    end_us = None if end_s is None else end_s * S
    what = Outage(node=node, start_us=start_s * S, end_us=end_us, loses_state=loses_state, cause="radiation")
    return FaultPlan(outages=(what,))


# -- homes, which alone hold the global model ---


def test_a_home_that_has_lost_the_model_goes_on_from_the_newest_version_that_anybody_was_sent() -> None:
    """All is merged at node 0, and each of the others has the version that holds its own last contribution."""
    fleet = replace(scenario(4, budget_steps=1200), faults=outage(0, 900, 1000, loses_state=True))
    trace = simulate(fleet, Asynchronous(inner_steps=20, home=(0,)))
    validate(trace, fleet)
    (restored,) = (op for op in trace.of_kind(Restore) if op.node == 0)
    before = [m for m in trace.of_kind(Merge) if m.end_us < 900 * S]
    last_of = {m.contributions[0].node: m.to_version for m in before}
    assert restored.versions == (max(v for node, v in last_of.items() if node != 0),)
    first = next(m for m in trace.of_kind(Merge) if m.end_us > restored.end_us)
    assert first.from_version == restored.versions[0]
    assert trace.merged_steps > 1100


def test_a_home_goes_on_from_a_version_that_was_on_its_way_when_it_failed() -> None:
    """Nodes in a line: what they are sent is at a node in between for a while, whose own version is another."""
    windows = [(0, 1, 0.0, 20_000.0), (1, 2, 0.0, 20_000.0), (2, 3, 0.0, 20_000.0)]
    fleet = scenario(4, windows=windows, budget_steps=1200, rate_bps=8e6)
    for at_s in (811, 815, 816, 817):
        failing = replace(fleet, faults=outage(0, at_s, at_s + 100, loses_state=True))
        trace = simulate(failing, Asynchronous(inner_steps=20, home=(0,)))
        validate(trace, failing)
        assert trace.merged_steps > 1100, at_s


def test_what_nobody_else_was_sent_of_a_lost_home_is_gone() -> None:
    """The home fails while the first version is on its way to the others, who offer again what was in it."""
    windows = [(0, i, 0.0, 20_000.0) for i in (1, 2, 3)]
    fleet = scenario(4, windows=windows, budget_steps=900, rate_bps=1e6)
    policy = Quorum(inner_steps=20, quorum=4, site=0, home=(0,))
    first = next(simulate(fleet, policy).of_kind(Merge))
    failing = replace(fleet, faults=outage(0, first.end_us // S + 5, 1000, loses_state=True))
    trace = simulate(failing, policy)
    validate(trace, failing)
    merges = list(trace.of_kind(Merge))
    assert (merges[0].to_version, merges[0].end_us) == (1, first.end_us)
    assert (merges[1].from_version, merges[1].to_version) == (0, 2)
    again = {c.node: c.steps for c in merges[1].contributions}
    assert all(again[node] > 20 for node in (1, 2, 3))


def test_a_ground_site_keeps_the_model_whatever_happens_to_it() -> None:
    windows = [(i, 3, 0.0, 20_000.0) for i in (0, 1, 2)]
    fleet = scenario(4, windows=windows, training_nodes=(0, 1, 2), budget_steps=900)
    fleet = replace(fleet, faults=outage(3, 900, 1000, loses_state=True))
    trace = simulate(fleet, Asynchronous(inner_steps=20, home=(3,)))
    validate(trace, fleet)
    merges = list(trace.of_kind(Merge))
    assert [m.from_version for m in merges] == list(range(len(merges)))
    assert trace.merged_steps == 900


def test_a_ground_site_at_which_all_meet_may_fail_and_come_back() -> None:
    windows = [(i, 3, 0.0, 20_000.0) for i in (0, 1, 2)] + [(0, 1, 0.0, 20_000.0), (1, 2, 0.0, 20_000.0)]
    fleet = scenario(4, windows=windows, training_nodes=(0, 1, 2), budget_steps=900)
    fleet = replace(fleet, faults=outage(3, 900, 2000, loses_state=False))
    trace = simulate(fleet, FixedPeriod(inner_steps=20, site=3))
    validate(trace, fleet)
    assert 3 not in {m.site for m in trace.of_kind(Merge) if 900 * S < m.end_us < 2000 * S}
    assert sum(900 * S < m.end_us < 2000 * S for m in trace.of_kind(Merge)) > 2
    assert trace.merged_steps == 900


# -- what is on its way ---


def test_a_contribution_that_is_lost_while_a_relay_sends_it_on_is_offered_again() -> None:
    """A message takes 32 s a hop; node 1 fails while it passes on node 0's first one."""
    windows = [(0, 1, 0.0, 20_000.0), (1, 2, 0.0, 20_000.0)]
    fleet = scenario(3, windows=windows, training_nodes=(0, 1), budget_steps=600, rate_bps=1e6)
    fleet = replace(fleet, faults=outage(1, 250, 600, loses_state=False))
    trace = simulate(fleet, Asynchronous(inner_steps=20, home=(2,)))
    validate(trace, fleet)
    assert any(t.lost and t.value.startswith("snap/0/") and t.source == 1 for t in trace.transfers)
    first, second = [op for op in trace.of_kind(Snapshot) if op.node == 0][:2]
    assert second.steps > first.steps
    (lost,) = trace.of_kind(Lose)
    assert trace.merged_steps == 600 - lost.steps, "all but what node 1 had in no store"


def test_what_takes_no_time_is_not_sent_again_and_again_over_a_link_that_is_out() -> None:
    """On an ideal link the loss is missed at the moment of sending, when the link must not be tried once more."""
    fleet = scenario(2, windows=[(0, 1, 0.0, 20_000.0)], budget_steps=200, rate_bps=math.inf, owlt_s=0.0)
    out = LinkOutage(a=0, b=1, start_us=150 * S, end_us=300 * S, cause="link")
    fleet = replace(fleet, faults=FaultPlan(link_outages=(out,)))
    trace = simulate(fleet, FixedPeriod(inner_steps=20, site=0))
    validate(trace, fleet)
    assert [t.start_us // S for t in trace.transfers if t.lost] == [200, 260]  # then two minutes later
    assert trace.merged_steps == 200


def test_a_node_that_is_down_transmits_no_more() -> None:
    """It fails 10 s into a message of 32 s, when it waits already: then its idle load is all."""
    fleet = scenario(2, windows=[(0, 1, 0.0, 20_000.0)], budget_steps=400, rate_bps=1e6)
    fleet = replace(fleet, faults=outage(1, 210, None, loses_state=False))
    trace = simulate(fleet, FixedPeriod(inner_steps=20, site=0))
    validate(trace, fleet)
    (cut,) = [t for t in trace.transfers if t.source == 1]
    assert (cut.start_us, cut.end_us, cut.lost) == (200 * S, 210 * S, True)
    loads_ws = POWER.idle_w * trace.end_us / S + POWER.train_w * 200 + POWER.transmit_w * 10
    assert trace.accounts[1].consumed_wh == pytest.approx(loads_ws / 3600.0)


# -- who knows ---


def test_a_node_is_known_by_what_it_sends() -> None:
    """Node 0 fails for a second and is back before anybody hears of it; its one step was lost, so that it has nothing
    to offer when the budget is trained. That is known once it has said so."""
    fleet = scenario(2, windows=[(0, 1, 5000.0, 20_000.0)], budget_steps=2)
    fleet = replace(fleet, faults=outage(0, 5, 6, loses_state=False))
    trace = simulate(fleet, FixedPeriod(inner_steps=1, site=0, form="skipping"))
    validate(trace, fleet)
    assert len(list(trace.of_kind(Merge))) <= 3


def test_a_failure_that_nobody_was_there_to_see_is_noticed_by_the_first_neighbour_that_is_back() -> None:
    """Nodes in a line: both neighbours of node 2 are down when it fails. The script ends the run when it is heard."""
    windows = [(0, 1, 0.0, 20_000.0), (1, 2, 0.0, 20_000.0), (2, 3, 0.0, 20_000.0)]
    faults = FaultPlan(
        outages=tuple(
            Outage(node=node, start_us=start_s * S, end_us=end_s * S, loses_state=False, cause="reset")
            for node, start_s, end_s in ((1, 50, 200), (2, 100, 900), (3, 50, 300))
        )
    )
    fleet = replace(scenario(4, windows=windows, budget_steps=100_000, owlt_s=0.5), faults=faults)
    trace = simulate(fleet, Scripted(on={known.NodeDown(2): [known.Finish()]}))
    assert trace.end_us == pytest.approx(201.5 * S, abs=1)  # a second of silence, and the way to node 0


@pytest.mark.parametrize("loses_state", [False, True])
def test_versions_that_were_made_before_it_is_known_that_a_node_is_back_are_sent_to_it(loses_state: bool) -> None:
    """Node 2 is back at 900 s, and linked again at once; others hear of it 100 s later."""
    windows = [(0, 1, 0.0, 20_000.0), (2, 1, 0.0, 20_000.0)]
    fleet = scenario(3, windows=windows, budget_steps=900, owlt_s=20.0)
    fleet = replace(fleet, faults=outage(2, 300, 900, loses_state=loses_state))
    trace = simulate(fleet, LinkAware(min_inner_steps=2))
    validate(trace, fleet)
    lost = sum(op.steps for op in trace.of_kind(Lose))
    assert trace.merged_steps >= 900 - lost - 32


@pytest.mark.parametrize("policy", [LinkAware(min_inner_steps=10), Gossip(inner_steps=10)])
def test_merged_steps_of_all_nodes_are_those_of_the_run(policy: LinkAware | Gossip) -> None:
    """Node 2 is lost for ever early on, and node 1 loses its state."""
    faults = outage(2, 200, None, loses_state=True).with_fault(*outage(1, 300, 400, loses_state=True).outages)
    fleet = replace(scenario(4, budget_steps=600), faults=faults)
    trace = simulate(fleet, policy)
    merged = merged_steps_of(trace)
    assert sum(merged.values()) == trace.merged_steps
    assert 0 < merged[2] <= trace.accounts[2].steps < merged[3]


def test_a_node_that_fails_again_before_it_was_sent_the_model_still_needs_it() -> None:
    """Its store is kept the second time, but there is nothing in it."""
    fleet = scenario(2, windows=[(0, 1, 400.0, 20_000.0)], budget_steps=300)
    plan = outage(1, 100, 200, loses_state=True)
    again = Outage(node=1, start_us=300 * S, end_us=350 * S, loses_state=False, cause="radiation")
    fleet = replace(fleet, faults=plan.with_fault(again))
    trace = simulate(fleet, LinkAware(min_inner_steps=10))
    validate(trace, fleet)
    (restored,) = trace.of_kind(Restore)
    assert restored.source == 0
    assert restored.end_us > 400 * S
    assert trace.merged_steps > 250


def test_steps_before_a_node_begins_anew_keep_their_learning_rate() -> None:
    """Node 0 alone makes versions; node 1 is sent the last as a whole model. Then node 0 is lost, and with it what made
    these versions of one another: node 2, out of touch so far, can only take the whole model of node 1."""
    windows = [(0, 1, 0.0, 20_000.0), (1, 2, 0.0, 150.0), (1, 2, 1500.0, 20_000.0)]
    fleet = scenario(3, windows=windows, budget_steps=600)
    faults = outage(1, 160, 600, loses_state=True).with_fault(outage(0, 615, None, loses_state=True).outages[0])
    fleet = replace(fleet, faults=faults)
    trace = simulate(fleet, FixedPeriod(inner_steps=20, site=0, form="skipping", timeout_s=10.0))
    validate(trace, fleet)
    assert [(op.node, op.source) for op in trace.of_kind(Restore)] == [(1, 0), (2, 1)]
    assert all(op.lr_progress >= 0.0 for op in trace.of_kind(Step))
