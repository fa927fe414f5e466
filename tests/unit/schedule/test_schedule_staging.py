"""Data and the first model go up, the final model comes down."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orbital_train.schedule.faults import FaultPlan, LinkOutage, Outage
from orbital_train.schedule.ops.merging import Merge
from orbital_train.schedule.ops.nodes import Step
from orbital_train.schedule.ops.run import Deliver, Stage
from orbital_train.schedule.policies.fixed_period import FixedPeriod
from orbital_train.schedule.policies.link_aware import LinkAware
from orbital_train.schedule.scenario import Scenario, StagingSpec
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.validate import TraceError, validate
from tests.unit.schedule.scenarios import POWER, scenario

S = 1_000_000
POLICIES = [LinkAware(min_inner_steps=10), FixedPeriod(inner_steps=10, site=0)]


def fleet(**changes: object) -> Scenario:
    """Three nodes in a row and a site at its end: 1.6 s for a model of 16 Mbit, 10 ms of light time, 2 s of data."""
    windows = [(0, 1, 0.0, 20_000.0), (1, 2, 0.0, 20_000.0), (2, 3, 100.0, 20_000.0)]
    made = scenario(4, windows=windows, training_nodes=(0, 1, 2), budget_steps=300)
    staging = StagingSpec(sources=(3,), data_bits=20_000_000, deliver_to=(3,))
    return replace(made, staging=staging, **changes)  # type: ignore[arg-type]


def begun_us(trace: Trace) -> dict[int, int]:
    return {op.node: op.end_us for op in trace.of_kind(Stage)}


@pytest.mark.parametrize("policy", POLICIES, ids=["link_aware", "fixed_period"])
def test_a_node_begins_when_it_has_model_and_data(policy) -> None:
    trace = simulate(fleet(), policy)
    validate(trace, fleet())
    # Node 2: the model from 100 s to 101.61, then its data to 103.61. Then the data of nodes 1 and 0, hop by hop.
    assert begun_us(trace) == {2: 103_610_000, 1: 107_620_000, 0: 111_630_000}
    first = {op.node: op.start_us for op in reversed(list(trace.of_kind(Step)))}
    assert first == begun_us(trace)
    assert trace.merged_steps == 300


@pytest.mark.parametrize("policy", POLICIES, ids=["link_aware", "fixed_period"])
def test_the_run_ends_when_the_final_model_is_down(policy) -> None:
    trace = simulate(fleet(), policy)
    (down,) = trace.of_kind(Deliver)
    assert (down.site, down.versions, down.end_us) == (3, trace.versions, trace.end_us)
    last = [t for t in trace.transfers if t.value.startswith("final/")]
    assert last[-1].dest == 3
    assert last[-1].arrival_us == trace.end_us
    assert sum(t.bits for t in last if t.dest == 3) == 16_000_000


def test_what_is_on_its_way_goes_on_while_the_final_model_comes_down() -> None:
    """Node 3 has the last sum first; the others are still sent it, and spend no energy but on what they are seen to."""
    windows = [(i, i + 1, 0.0, 20_000.0) for i in range(3)]
    made = scenario(4, windows=windows, training_nodes=(0, 2, 3), budget_steps=51)
    made = replace(made, staging=StagingSpec(sources=(1,), data_bits=0, deliver_to=(1,)))
    trace = simulate(made, FixedPeriod(inner_steps=21, site=0))
    validate(trace, made)
    (merge,), (down,) = trace.of_kind(Merge), trace.of_kind(Deliver)
    assert down.source == merge.site
    for node in (0, 2, 3):
        sending_us = sum(t.end_us - t.start_us for t in trace.transfers if t.source == node)
        account = trace.accounts[node]
        used_wh = POWER.idle_w * trace.end_us + POWER.train_w * account.training_us + POWER.transmit_w * sending_us
        assert account.consumed_wh == pytest.approx(used_wh / 3.6e9)


def test_what_is_lost_on_its_way_up_is_sent_again() -> None:
    out = LinkOutage(a=1, b=2, start_us=0, end_us=400 * S, cause="link")
    trace = simulate(fleet(faults=FaultPlan(link_outages=(out,))), POLICIES[0])
    validate(trace, fleet(faults=FaultPlan(link_outages=(out,))))
    begun = begun_us(trace)
    assert begun[2] == 103_610_000
    assert 400 * S < begun[1] <= begun[0] < 800 * S
    assert any(t.lost and t.value == "stage/model" for t in trace.transfers)


@pytest.mark.parametrize("loses_state", [False, True])
@pytest.mark.parametrize("start_s", [50, 104])
@pytest.mark.parametrize("policy", POLICIES, ids=["link_aware", "fixed_period"])
def test_a_node_that_fails_before_it_has_all_is_sent_all_of_it_again(policy, start_s: int, loses_state: bool) -> None:
    """Node 1 is down before or while its data come; it begins when all has come once more, not when it is back."""
    out = Outage(node=1, start_us=start_s * S, end_us=700 * S, loses_state=loses_state, cause="listed")
    failing = fleet(faults=FaultPlan(outages=(out,)))
    trace = simulate(failing, policy)
    validate(trace, failing)
    assert begun_us(trace)[1] > 703 * S
    assert trace.merged_steps > 290  # but for what was trained while missed versions came


def test_a_site_that_is_down_at_the_end_gets_nothing() -> None:
    out = Outage(node=3, start_us=1000 * S, end_us=None, loses_state=False, cause="listed")
    trace = simulate(fleet(faults=FaultPlan(outages=(out,))), POLICIES[0])
    assert list(trace.of_kind(Deliver)) == []


def test_the_validator_sees_a_node_that_begins_too_early() -> None:
    trace = simulate(fleet(), POLICIES[0])
    early = tuple(
        replace(op, end_us=op.end_us - 1) if isinstance(op, Stage) and op.node == 1 else op for op in trace.ops
    )
    with pytest.raises(TraceError, match="stage/data/1 is not at node 1 in time"):
        validate(replace(trace, ops=early), fleet())
