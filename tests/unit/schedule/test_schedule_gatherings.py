"""What happens to outer gradients that are gathered, by hand: a second a message, ten a step, no light time.

Nodes 1, 2 and 3 reach the site 0 in a chain: 3 to 2 to 1 to 0, unless a test says otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from orbital_train.schedule.bookings import Bookings
from orbital_train.schedule.faults import FaultPlan, Outage
from orbital_train.schedule.hops import first_hop
from orbital_train.schedule.known import Cancel, Discard, Gather, Gathered, Hold, Key, MergeNow, Send
from orbital_train.schedule.measures import measure
from orbital_train.schedule.network import Hop, Network
from orbital_train.schedule.ops.merging import Combine, Merge, Snapshot
from orbital_train.schedule.ops.nodes import Lose
from orbital_train.schedule.policies.link_aware import LinkAware
from orbital_train.schedule.power import PowerSpec
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.transfers import Transfer
from orbital_train.schedule.validate import validate
from tests.unit.schedule.scenarios import POWER, WORKLOAD, ops, scenario, sent
from tests.unit.schedule.scripted import Scripted

S = 1_000_000
KEY: Key = (7,)
END_S = 1000.0


def chain(*, budget_steps: int = 10_000, power: PowerSpec | None = None) -> Scenario:
    windows = [(0, 1, 0.0, END_S), (1, 2, 0.0, END_S), (2, 3, 0.0, END_S)]
    return scenario(
        4, windows=windows, horizon_s=END_S, rate_bps=32e6, owlt_s=0.0, power=power, budget_steps=budget_steps
    )


def leg(source: int, dest: int, start_s: float, bits: int = 32_000_000) -> Hop:
    hop = first_hop(Network(chain().contacts).out[source][dest], Bookings(), round(start_s * S), bits)
    assert hop is not None
    assert (hop.start_us, hop.arrival_us) == (round(start_s * S), round(start_s * S) + bits // 32)
    return hop


def gather(snapshots: dict[int, float], *legs: Hop, key: Key = KEY, site: int = 0) -> Gather:
    return Gather(key, 0, site, tuple((node, round(at_s * S)) for node, at_s in snapshots.items()), legs)


def merge(*keys: Key) -> MergeNow:
    return MergeNow(0, keys or (KEY,))


def run(policy: Scripted, fleet: Scenario | None = None) -> Trace:
    """The trace, checked."""
    fleet = fleet or chain()
    trace = simulate(fleet, policy)
    validate(trace, fleet)
    return trace


def contributions(trace: Trace, number: int = 0) -> list[tuple[int, int, int]]:
    """(node, steps, staleness) in a merge."""
    return [(c.node, c.steps, c.staleness) for c in ops(trace, Merge)[number].contributions]


def brought(trace: Trace) -> list[Transfer]:
    """What brings outer gradients, not results."""
    return [transfer for transfer in trace.transfers if not transfer.value.startswith("result")]


def consumed_wh(trace: Trace) -> list[float]:
    return [account.consumed_wh for account in trace.accounts]


# -- sums ---


@pytest.mark.parametrize(
    ("weights", "summed", "merged"),
    [("tokens", (10.0, 11.0), (12 / 33, 1 / 33)), ("uniform", (1.0, 1.0), (1 / 3,) * 2)],
)
def test_what_meets_at_a_node_goes_on_as_a_sum(
    weights: Literal["tokens", "uniform"], summed: tuple[float, ...], merged: tuple[float, ...]
) -> None:
    """Node 2 leaves after 10 steps, node 1 after 11 with both, and the site adds its own 12."""
    plan = gather({0: 120.0, 1: 115.0, 2: 100.0}, leg(2, 1, 100.0), leg(1, 0, 115.0))
    trace = run(Scripted(at_s={0.0: [plan]}, on={Gathered(KEY): [merge()]}, weights=weights))
    (sum_of_two,) = ops(trace, Combine)
    assert (sum_of_two.site, sum_of_two.number, sum_of_two.start_us, sum_of_two.codec) == (1, 0, 115 * S, "fp32")
    taken = {op.node: op.value for op in ops(trace, Snapshot)}
    assert (sum_of_two.inputs, sum_of_two.weights) == ((taken[2], taken[1]), summed)
    assert [(t.source, t.dest, t.start_us, t.value) for t in brought(trace)] == [
        (2, 1, 100 * S, taken[2]), (1, 0, 115 * S, sum_of_two.value),
    ]  # fmt: skip
    (made,) = ops(trace, Merge)
    assert (made.site, made.start_us) == (0, 120 * S)
    assert contributions(trace) == [(0, 12, 0), (1, 11, 0), (2, 10, 0)]
    assert made.inputs == (taken[0], sum_of_two.value)
    assert made.input_weights == pytest.approx(merged)


@pytest.mark.parametrize(
    ("weights", "effective"), [("tokens", (10 + 11 + 12) ** 2 / (10**2 + 11**2 + 12**2)), ("uniform", 3.0)]
)
@pytest.mark.parametrize(("down", "up"), [((), 4), ((3,), 3)])
def test_a_merge_is_as_much_of_a_step_as_its_contributions_are_of_those_that_are_up(
    weights: Literal["tokens", "uniform"], effective: float, down: tuple[int, ...], up: int
) -> None:
    """Three of four nodes contribute; the fourth still brings its progress, or is known to be down."""
    plan = gather({0: 120.0, 1: 115.0, 2: 100.0}, leg(2, 1, 100.0), leg(1, 0, 115.0))
    faults = FaultPlan(
        outages=tuple(
            Outage(node=node, start_us=50 * S, end_us=None, loses_state=False, cause="outage") for node in down
        )
    )
    policy = Scripted(at_s={0.0: [plan]}, on={Gathered(KEY): [merge()]}, weights=weights)
    (made,) = ops(run(policy, replace(chain(), faults=faults)), Merge)
    assert made.share == pytest.approx(effective / up)


@pytest.mark.parametrize("booked_bits", [16_000_000, 32_000_000, 48_000_000])
def test_a_message_of_another_size_than_was_planned_is_booked_anew(booked_bits: int) -> None:
    """An outer gradient of bfloat16 takes half a second, the wide sum of two a whole one, whatever was booked."""
    fleet = replace(chain(), workload=replace(WORKLOAD, codec="bf16", partial_sums="wide"))
    legs = leg(2, 1, 100.0, 16_000_000), leg(1, 0, 115.0, booked_bits)
    plan = gather({0: 120.0, 1: 115.0, 2: 100.0}, *legs)
    trace = run(Scripted(at_s={0.0: [plan]}, on={Gathered(KEY): [merge()]}), fleet)
    assert [(t.source, t.start_us / S, t.arrival_us / S, t.bits) for t in brought(trace)] == [
        (2, 100.0, 100.5, 16_000_000), (1, 115.0, 116.0, 32_000_000),
    ]  # fmt: skip
    assert [op.codec for op in ops(trace, Combine)] == ["fp32"]
    assert contributions(trace) == [(0, 12, 0), (1, 11, 0), (2, 10, 0)]


@pytest.mark.parametrize("partial_sums", ["encoded", "wide"])
def test_bytes_are_those_of_what_is_sent(partial_sums: Literal["encoded", "wide"]) -> None:
    """On the chain to its end: one, a sum of two, a sum of three; and three times the result."""
    workload = replace(WORKLOAD, codec="bf16", partial_sums=partial_sums)
    fleet = replace(chain(budget_steps=44), workload=workload)
    trace = simulate(fleet, LinkAware(min_inner_steps=10, home=(0,)))
    validate(trace, fleet)
    first = ops(trace, Merge)[0]
    gathered = [t for t in brought(trace) if t.start_us < first.end_us]
    wide = 2 if partial_sums == "wide" else 1
    assert [t.bits // 16_000_000 for t in gathered] == [1, wide, wide]
    assert measure(trace).link_bytes == sum(t.bits for t in trace.transfers) / 8


def test_what_is_in_an_outer_gradient_is_saved() -> None:
    """Node 1 fails in its eleventh step, two seconds after its outer gradient of ten was taken; it loses that step."""
    outage = Outage(node=1, start_us=107 * S, end_us=207 * S, loses_state=False, cause="reset")
    fleet = replace(chain(), faults=FaultPlan(outages=(outage,)))
    trace = run(Scripted(at_s={105.0: [Send(KEY, 1, 0, 0)]}, on={Gathered(KEY): [merge()]}), fleet)
    assert [op.steps for op in ops(trace, Lose)] == [0]
    assert contributions(trace) == [(1, 10, 0)]


def test_sums_are_added_to_sums() -> None:
    """Weights stand with the outer gradients once: a sum is added as it is."""
    legs = (leg(3, 2, 100.0), leg(2, 1, 115.0), leg(1, 0, 125.0))
    plan = gather({1: 125.0, 2: 115.0, 3: 100.0}, *legs)
    trace = run(Scripted(at_s={0.0: [plan]}, on={Gathered(KEY): [merge()]}))
    first, second = ops(trace, Combine)
    assert (first.site, first.weights) == (2, (10.0, 11.0))
    assert (second.site, second.inputs[0], second.weights) == (1, first.value, (1.0, 12.0))
    (made,) = ops(trace, Merge)
    assert (made.inputs, made.input_weights) == ((second.value,), pytest.approx((1 / 33,)))
    assert [c.weight for c in made.contributions] == pytest.approx([12 / 33, 11 / 33, 10 / 33])


def test_who_only_passes_on_adds_nothing() -> None:
    plan = gather({3: 100.0}, leg(3, 2, 100.0), leg(2, 1, 101.0), leg(1, 0, 102.0))
    trace = run(Scripted(at_s={0.0: [plan]}, on={Gathered(KEY): [merge()]}))
    assert ops(trace, Combine) == []
    assert {t.value for t in brought(trace)} == {ops(trace, Snapshot)[0].value}
    assert ops(trace, Merge)[0].start_us == 103 * S


def test_what_was_not_trained_for_has_no_weight_in_a_sum() -> None:
    plan = gather({1: 115.0, 2: 100.0}, leg(2, 1, 100.0), leg(1, 0, 115.0))
    trace = run(Scripted(at_s={0.0: [Hold(2), plan]}, on={Gathered(KEY): [merge()]}, weights="uniform"))
    assert ops(trace, Combine)[0].weights == (0.0, 1.0)
    assert [(c.node, c.steps, c.weight) for c in ops(trace, Merge)[0].contributions] == [(1, 11, 1.0), (2, 0, 0.0)]


def test_a_merge_of_nothing_that_was_trained_for_has_no_inputs() -> None:
    plan = gather({1: 115.0}, leg(1, 0, 115.0))
    trace = run(Scripted(at_s={0.0: [Hold(1), plan]}, on={Gathered(KEY): [merge()]}))
    assert ops(trace, Merge)[0].inputs == ()
    assert trace.merged_steps == 0


# -- what comes late ---


def test_what_comes_after_a_leg_has_left_goes_by_the_next_alone() -> None:
    legs = (leg(1, 0, 100.0), leg(2, 1, 105.0), leg(1, 0, 120.0))
    trace = run(Scripted(at_s={0.0: [gather({1: 100.0, 2: 105.0}, *legs)]}, on={Gathered(KEY): [merge()]}))
    assert ops(trace, Combine) == []
    of_1, of_2 = (op.value for op in ops(trace, Snapshot))
    assert [(t.source, t.start_us, t.value) for t in brought(trace)] == [
        (1, 100 * S, of_1), (2, 105 * S, of_2), (1, 120 * S, of_2),
    ]  # fmt: skip
    assert ops(trace, Merge)[0].start_us == 121 * S
    assert contributions(trace) == [(1, 10, 0), (2, 10, 0)]


def test_what_comes_late_goes_along_in_the_next_legs_sum() -> None:
    legs = (leg(3, 2, 90.0), leg(1, 0, 100.0), leg(2, 1, 105.0), leg(1, 0, 120.0))
    plan = gather({1: 100.0, 2: 100.0, 3: 90.0}, *legs)
    trace = run(Scripted(at_s={0.0: [plan]}, on={Gathered(KEY): [merge()]}))
    (late,) = ops(trace, Combine)
    assert (late.site, late.weights) == (2, (9.0, 10.0))
    assert [t.source for t in sent(trace, late.value)] == [2, 1]
    assert contributions(trace) == [(1, 10, 0), (2, 10, 0), (3, 9, 0)]


def test_what_arrives_just_when_a_leg_leaves_goes_along() -> None:
    plan = gather({1: 101.0, 2: 100.0}, leg(2, 1, 100.0), leg(1, 0, 101.0))
    trace = run(Scripted(at_s={0.0: [plan]}, on={Gathered(KEY): [merge()]}))
    assert len(ops(trace, Combine)) == 1
    assert ops(trace, Merge)[0].start_us == 102 * S


def test_a_leg_with_nothing_to_carry_is_given_back() -> None:
    """The leg of node 1 is free for its next message from when it turns out to be empty."""
    plan, fleet = gather({0: 50.0}, leg(1, 0, 100.0)), chain(power=POWER)
    nothing = run(Scripted(at_s={0.0: [plan]}), fleet)
    assert nothing.transfers == ()
    assert consumed_wh(nothing) == pytest.approx(consumed_wh(run(Scripted(), fleet)), abs=1e-9)
    before = run(Scripted(at_s={0.0: [plan], 99.5: [Send((1,), 1, 0, 0)]}))
    assert [(t.start_us, t.end_us) for t in before.transfers] == [(99_500_000, 100 * S), (101 * S, 101_500_000)]
    after = run(Scripted(at_s={0.0: [plan], 100.0: [Send((1,), 1, 0, 0)]}))
    assert [(t.start_us, t.end_us) for t in after.transfers] == [(100 * S, 101 * S)]


# -- giving up ---


def test_a_cancelled_plan_frees_its_bookings_and_its_energy() -> None:
    """Another message of node 1 wants to leave half a second before the booked one."""
    plan, fleet = gather({1: 100.0}, leg(1, 0, 100.0)), chain(power=POWER)
    send = Send((1,), 1, 0, 0)
    cancelled = run(Scripted(at_s={0.0: [plan], 50.0: [Cancel(KEY)], 99.5: [send]}), fleet)
    assert [(t.start_us, t.end_us) for t in cancelled.transfers] == [(99_500_000, 100_500_000)]
    sent_alone = consumed_wh(run(Scripted(at_s={99.5: [send]}), fleet))
    assert consumed_wh(cancelled) == pytest.approx(sent_alone, abs=1e-9)
    assert sent_alone[1] == pytest.approx(sent_alone[2] + 50.0 / 3600.0)
    assert len(ops(cancelled, Snapshot)) == 1


def test_a_booked_leg_is_in_the_way_until_the_plan_is_cancelled() -> None:
    """Node 2's message goes by the same link, half before the booked leg and half after it."""
    plan = gather({1: 100.0}, leg(1, 0, 100.0))
    way = {98.5: [Send((2,), 2, 0, 0)]}
    booked = run(Scripted(at_s={0.0: [plan], **way}))
    assert [(t.start_us, t.end_us) for t in booked.transfers if t.source == 1 and t.value.startswith("snap/2")] == [
        (99_500_000, 100 * S), (101 * S, 101_500_000),
    ]  # fmt: skip
    free = run(Scripted(at_s={0.0: [plan], 98.0: [Cancel(KEY)], **way}))
    assert [(t.start_us, t.end_us) for t in free.transfers if t.source == 1] == [(99_500_000, 100_500_000)]


def test_a_key_is_free_again_once_its_plan_is_given_up() -> None:
    """What was planned under it before no longer happens."""
    plan, again = gather({1: 100.0}, leg(1, 0, 100.0)), gather({2: 100.0}, leg(2, 1, 100.0), leg(1, 0, 110.0))
    policy = Scripted(at_s={0.0: [plan], 50.0: [Cancel(KEY), again]}, on={Gathered(KEY): [merge()]})
    assert contributions(run(policy)) == [(2, 10, 0)]


def test_what_is_on_its_way_cannot_be_cancelled() -> None:
    plan = gather({1: 100.0, 2: 90.0}, leg(2, 1, 90.0), leg(1, 0, 100.0))
    with pytest.raises(AssertionError, match="on its way"):
        simulate(chain(), Scripted(at_s={0.0: [plan], 95.0: [Cancel(KEY)]}))


def test_what_is_refused_at_the_site_is_progress_that_the_next_one_holds_again() -> None:
    policy = Scripted(
        at_s={100.0: [Send(KEY, 1, 0, 0)], 150.0: [Send(KEY, 1, 0, 0)]}, on={Gathered(KEY): [Discard(KEY)]}
    )
    trace = run(policy)
    assert [op.steps for op in ops(trace, Snapshot)] == [10, 15]
    assert trace.merged_steps == 0


def test_what_is_refused_on_its_way_goes_no_farther_and_may_be_offered_again() -> None:
    """At 100.5 s node 3's is on a link, node 2's waits for it, and node 1's was not taken yet."""
    plan = gather({1: 110.0, 2: 90.0, 3: 100.0}, leg(3, 2, 100.0), leg(2, 1, 105.0), leg(1, 0, 110.0))
    again = gather({1: 210.0, 2: 202.0, 3: 200.0}, leg(3, 2, 200.0), leg(2, 1, 202.0), leg(1, 0, 210.0))
    trace = run(
        Scripted(at_s={0.0: [plan], 100.5: [Discard(KEY)], 120.0: [again]}, on={Gathered(KEY): [merge()]}),
    )
    assert [(op.node, op.start_us) for op in ops(trace, Snapshot) if op.start_us < 120 * S] == [
        (2, 90 * S),
        (3, 100 * S),
    ]
    assert [(t.source, t.start_us) for t in trace.transfers if t.start_us < 120 * S] == [(3, 100 * S)]
    assert contributions(trace) == [(1, 21, 0), (2, 20, 0), (3, 20, 0)]


def test_what_was_refused_may_be_offered_again_as_it_is() -> None:
    """Node 1 has not trained since: it is the same outer gradient, which goes the same way twice."""
    again = [Send((2,), 1, 0, 0)]
    policy = Scripted(
        at_s={100.0: [Hold(1), Send(KEY, 1, 0, 0)], 110.0: again},
        on={Gathered(KEY): [Discard(KEY)], Gathered((2,)): [merge((2,))]},
    )
    trace = run(policy)
    (only,) = ops(trace, Snapshot)
    assert [t.start_us for t in sent(trace, only.value)] == [100 * S, 110 * S]
    assert contributions(trace) == [(1, 10, 0)]


# -- merging ---


def test_several_gatherings_are_merged_at_their_one_site() -> None:
    both = [merge((1,), (2,))]
    policy = Scripted(
        at_s={100.0: [Send((1,), 1, 0, 0)], 103.0: [Send((2,), 2, 0, 0)]}, on={Gathered((2,)): both},
    )  # fmt: skip
    trace = run(policy)
    assert ops(trace, Merge)[0].start_us == 105 * S
    assert contributions(trace) == [(1, 10, 0), (2, 10, 0)]
    assert trace.merged_steps == 20


def test_a_sum_and_an_outer_gradient_are_merged_with_their_own_weights() -> None:
    plan = gather({2: 100.0, 3: 90.0}, leg(3, 2, 90.0), leg(2, 1, 100.0), leg(1, 0, 101.0))
    policy = Scripted(
        at_s={0.0: [plan], 120.0: [Send((1,), 1, 0, 0)]}, on={Gathered((1,)): [merge((1,), KEY)]},
    )  # fmt: skip
    made = ops(run(policy), Merge)[0]
    assert [(c.node, round(c.weight * 31)) for c in made.contributions] == [(1, 12), (2, 10), (3, 9)]
    assert [value.split("/")[0] for value in made.inputs] == ["snap", "sum"]
    assert made.input_weights == pytest.approx((12 / 31, 1 / 31))


def test_what_has_not_come_when_a_part_is_merged_is_refused_and_offered_again() -> None:
    plan = gather({1: 100.0, 2: 140.0}, leg(1, 0, 100.0), leg(2, 1, 140.0), leg(1, 0, 210.0))
    again = {300.0: [Send((2,), 2, 0, 0)]}
    trace = run(Scripted(at_s={0.0: [plan], 150.0: [merge()], **again}, on={Gathered((2,)): [merge((2,))]}))
    assert [contributions(trace, k) for k in (0, 1)] == [[(1, 10, 0)], [(2, 30, 0)]]


def test_whether_all_has_come_is_known_to_the_policy() -> None:
    plan = gather({1: 100.0, 2: 200.0}, leg(1, 0, 100.0), leg(2, 1, 200.0), leg(1, 0, 210.0))
    seen: list[tuple[float, bool]] = []

    class Watching(Scripted):
        def decide(self, event, view, memory):  # type: ignore[no-untyped-def]
            seen.append((view.now_us / S, view.gathered(KEY)))
            return super().decide(event, view, memory)

    simulate(chain(), Watching(at_s={0.0: [plan], 150.0: [], 205.0: [], 300.0: [merge()], 301.0: []}))
    assert seen == [(0.0, False), (0.0, False), (150.0, False), (205.0, False), (300.0, True), (301.0, False)]


def test_a_node_has_one_outer_gradient_of_a_fragment_under_way() -> None:
    twice = {100.0: [Send((1,), 1, 0, 0)], 100.5: [Send((2,), 1, 0, 0)]}
    with pytest.raises(AssertionError, match="one outer gradient of a fragment under way"):
        simulate(chain(), Scripted(at_s=twice))


def test_progress_that_was_merged_is_adopted_before_the_node_gives_more() -> None:
    """Version 1 is made at 101 s and is at node 1 a second later; the step in progress then ends at 110 s."""
    at_once = {100.0: [Send((1,), 1, 0, 0)], 109.0: [Send((2,), 1, 0, 0)]}
    with pytest.raises(AssertionError, match="must be adopted first"):
        simulate(chain(), Scripted(at_s=at_once, on={Gathered((1,)): [merge((1,))]}))
    in_time = {100.0: [Send((1,), 1, 0, 0)], 110.0: [Send((2,), 1, 0, 0)]}
    trace = run(Scripted(at_s=in_time, on={Gathered((k,)): [merge((k,))] for k in (1, 2)}))
    assert [contributions(trace, k) for k in (0, 1)] == [[(1, 10, 0)], [(1, 1, 0)]]
