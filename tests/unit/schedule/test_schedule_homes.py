"""A global model that some nodes hold: who is sent what of it, by hand. A second a message, half for parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from orbital_train.schedule.known import Decision, MergeNow, Send
from orbital_train.schedule.ops.merging import Merge
from orbital_train.schedule.ops.nodes import Adopt
from orbital_train.schedule.policies.link_aware import LinkAware
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.validate import TraceError, validate
from tests.unit.schedule.scenarios import WORKLOAD, Window, ops, ring, rolling_night, scenario
from tests.unit.schedule.scripted import Scripted

S = 1_000_000
END_S = 1000.0
STAR = [(0, 1, 0.0, END_S), (0, 2, 0.0, END_S), (2, 3, 0.0, END_S)]


def fleet(windows: Sequence[Window] = STAR, training_nodes: tuple[int, ...] | None = None) -> Scenario:
    return scenario(
        4, windows=windows, horizon_s=END_S, rate_bps=32e6, owlt_s=0.0, power=None, budget_steps=10_000,
        training_nodes=training_nodes,
    )  # fmt: skip


def rounds(*rows: tuple[float, tuple[int, ...], tuple[int, ...]]) -> dict[float, list[Decision]]:
    """Rows of (when, whose outer gradients are sent to the first home, who is sent the parameters 5 s later)."""
    at_s: dict[float, list[Decision]] = {}
    for when_s, nodes, to in rows:
        at_s[when_s] = [Send((node,), node, 0, 0) for node in nodes]
        at_s[when_s + 5.0] = [MergeNow(0, tuple((node,) for node in nodes), to)]
    return at_s


def run(policy: object, scene: Scenario) -> Trace:
    """The trace, checked."""
    trace = simulate(scene, policy)  # type: ignore[arg-type]
    validate(trace, scene)
    return trace


def carried(trace: Trace, kind: str) -> list[tuple[str, int, int, float]]:
    """(value, source, dest, arrival) of what is sent of one kind."""
    return [(t.value, t.source, t.dest, t.arrival_us / S) for t in trace.transfers if t.value.startswith(kind)]


def adoptions(trace: Trace, node: int) -> list[tuple[int, int, str | None, float]]:
    """(base, version, codec, when) of a node's adoptions."""
    return [(a.base_version, a.version, a.codec, a.start_us / S) for a in ops(trace, Adopt) if a.node == node]


def test_parameters_are_sent_only_to_those_named() -> None:
    trace = run(Scripted(home=(0,), at_s=rounds((100.0, (1, 2), (1,)))), fleet())
    assert carried(trace, "result") == []
    assert carried(trace, "state") == [("state/0@1", 0, 1, 105.5)]
    assert [t.bits for t in trace.transfers if t.value == "state/0@1"] == [16_000_000]
    assert ops(trace, Merge)[0].holders == (0,)
    assert adoptions(trace, 0) == [(0, 1, None, 110.0)]
    assert adoptions(trace, 1) == [(0, 1, "bf16", 110.0)]
    assert adoptions(trace, 2) == adoptions(trace, 3) == []


def test_parameters_go_by_way_of_nodes_that_are_not_named() -> None:
    trace = run(Scripted(home=(0,), at_s=rounds((100.0, (3,), (3,)))), fleet())
    assert carried(trace, "state") == [("state/0@1", 0, 2, 105.5), ("state/0@1", 2, 3, 106.0)]
    assert adoptions(trace, 2) == []


def test_holders_get_the_average_and_have_the_version_exactly() -> None:
    """Whoever holds the model is not sent its parameters, also where it is named."""
    trace = run(Scripted(home=(0, 2), at_s=rounds((100.0, (1, 2), (1, 2)))), fleet())
    assert carried(trace, "result") == [("result/0@1", 0, 2, 106.0)]
    assert carried(trace, "state") == [("state/0@1", 0, 1, 105.5)]
    assert adoptions(trace, 2) == [(0, 1, None, 110.0)]
    assert ops(trace, Merge)[0].holders == (0, 2)


def test_a_node_that_missed_versions_adopts_the_newest_that_it_is_sent() -> None:
    """It is two versions behind, contributes as such, and needs none of those between."""
    trace = run(
        Scripted(home=(0,), at_s=rounds((100.0, (1,), (1,)), (200.0, (1,), (1,)), (300.0, (1, 2), (2,)))), fleet()
    )
    assert [(c.node, c.staleness) for c in ops(trace, Merge)[2].contributions] == [(1, 0), (2, 2)]
    assert adoptions(trace, 2) == [(0, 3, "bf16", 310.0)]
    assert adoptions(trace, 1) == [(0, 1, "bf16", 110.0), (1, 2, "bf16", 210.0)]


def test_of_versions_that_come_within_one_step_only_the_newest_is_adopted() -> None:
    trace = run(Scripted(home=(0,), at_s=rounds((100.0, (1,), (1, 2)), (103.0, (0,), (2,)))), fleet())
    assert [(row[0], row[3]) for row in carried(trace, "state") if row[2] == 2] == [
        ("state/0@1", 105.5), ("state/0@2", 108.5),
    ]  # fmt: skip
    assert adoptions(trace, 2) == [(0, 2, "bf16", 110.0)]


def test_a_home_need_not_train() -> None:
    """Its sites are the homes, and nobody that trains holds the model."""
    trace = run(Scripted(home=(0,), at_s=rounds((100.0, (1, 2), (1, 2)))), fleet(training_nodes=(1, 2, 3)))
    assert ops(trace, Merge)[0].holders == (0,)
    assert [(a.node, a.codec) for a in ops(trace, Adopt)] == [(1, "bf16"), (2, "bf16")]


def test_a_fragments_parameters_are_its_share() -> None:
    scene = replace(fleet(), workload=replace(WORKLOAD, fragments=3))
    trace = run(Scripted(home=(0,), at_s=rounds((100.0, (1,), (1,)))), scene)
    assert [t.bits for t in trace.transfers if t.value == "state/0@1"] == [5_333_334]


def test_an_adoption_by_parameters_that_were_never_sent_is_refused() -> None:
    scene = fleet()
    trace = run(Scripted(home=(0,), at_s=rounds((100.0, (1,), (1, 2)))), scene)
    unsent = tuple(t for t in trace.transfers if (t.value, t.dest) != ("state/0@1", 2))
    with pytest.raises(TraceError, match="state/0@1 is not at node 2 in time"):
        validate(replace(trace, transfers=unsent), scene)
    exact = tuple(replace(op, codec=None) if isinstance(op, Adopt) and op.node == 2 else op for op in trace.ops)
    with pytest.raises(TraceError, match="result/0@1 is not at node 2 in time"):
        validate(replace(trace, ops=exact), scene)


@pytest.mark.parametrize("home", [(0,), (2, 5)])
def test_link_aware_merges_at_homes_and_sends_parameters_to_contributors(home: tuple[int, ...]) -> None:
    windows = [*ring(5, 20_000.0), (5, 0, 0.0, 20_000.0)]
    scene = scenario(
        6, windows=windows, dark=rolling_night(5, 20_000.0), training_nodes=(0, 1, 2, 3, 4), budget_steps=1237
    )
    trace = run(LinkAware(min_inner_steps=20, home=home), scene)
    assert trace.merged_steps == 1237
    made = ops(trace, Merge)
    assert {m.site for m in made} <= set(home)
    assert {m.holders for m in made} == {home}
    contributed = {(c.node, m.to_version) for m in made for c in m.contributions}
    for adoption in ops(trace, Adopt):
        assert (adoption.codec is None) == (adoption.node in home)
        assert adoption.node in home or (adoption.node, adoption.version) in contributed
