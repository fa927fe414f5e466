"""Groups of nodes, and models of groups in a simulation."""

from dataclasses import replace

import pytest

from orbital_train.schedule.faults import FaultPlan, Outage
from orbital_train.schedule.groups import groups_of
from orbital_train.schedule.measures import measure
from orbital_train.schedule.network import Network
from orbital_train.schedule.ops.merging import GroupSnapshot, Merge, Rebase
from orbital_train.schedule.ops.nodes import Adopt, Restore
from orbital_train.schedule.places import TraceError
from orbital_train.schedule.policies.hierarchical import Hierarchical
from orbital_train.schedule.scenario import Scenario
from orbital_train.schedule.simulate import simulate
from orbital_train.schedule.trace import Trace
from orbital_train.schedule.validate import validate
from orbital_train.schedule.values import GLOBAL
from tests.unit.schedule.scenarios import Window, contacts, light, one_way, ops, scenario, sent

HORIZON_S = 20_000.0
S = 1_000_000
POLICY = Hierarchical(inner_steps=10, between_steps=40)


def two_pairs(**changes: object) -> Scenario:
    """Nodes 0 and 1, 2 and 3 are always linked; 1 and 2 for a sixth of the time."""
    windows: list[Window] = [(0, 1, 0.0, HORIZON_S), (2, 3, 0.0, HORIZON_S)]
    windows += [(1, 2, start_s, start_s + 100.0) for start_s in range(300, 20_000 - 100, 600)]
    plan = contacts(4, windows, HORIZON_S, 1e7, 0.02)
    return replace(
        scenario(4, budget_steps=2000), contacts=plan, light=light(4, HORIZON_S), power=None, **changes
    )  # fmt: skip


def groups(
    windows: list[Window], nodes: int = 4, trained: tuple[int, ...] | None = None
) -> tuple[tuple[int, ...], ...]:
    return groups_of(Network(contacts(nodes, windows, 1000.0, 1e6, 0.0)), trained or tuple(range(nodes)))


@pytest.mark.parametrize(
    ("windows", "found"),
    [
        ([(0, 1, 0.0, 1000.0), (2, 3, 0.0, 1000.0), (1, 2, 0.0, 499.0)], ((0, 1), (2, 3))),
        ([(0, 1, 0.0, 1000.0), (2, 3, 0.0, 1000.0), (1, 2, 0.0, 501.0)], ((0, 1, 2, 3),)),
        ([(0, 3, 0.0, 10.0), (1, 2, 0.0, 10.0)], ((0, 3), (1, 2))),
        ([(1, 3, 0.0, 500.0)], ((0,), (1, 3), (2,))),
    ],
)
def test_groups_are_what_strong_links_join(windows: list[Window], found: tuple[tuple[int, ...], ...]):
    assert groups(windows) == found


def test_relays_join_no_groups():
    assert groups([(0, 2, 0.0, 1000.0), (1, 2, 0.0, 1000.0)], nodes=3, trained=(0, 1)) == ((0,), (1,))


def test_a_link_of_one_direction_joins_nothing():
    plan = one_way([(0, 1, 0.0, 1000.0), (1, 2, 1.0, 1000.0), (2, 1, 2.0, 1000.0)], nodes=3)
    assert groups_of(Network(plan), (0, 1, 2)) == ((0,), (1, 2))


def test_groups_merge_often_within_and_seldom_between():
    fleet = two_pairs()
    trace = simulate(fleet, POLICY)
    validate(trace, fleet)
    merges = ops(trace, Merge)
    within, between = ([m for m in merges if (m.scope == GLOBAL) == whole] for whole in (False, True))
    assert {m.holders for m in within} == {(0, 1), (2, 3)}
    assert len(between) >= 4
    assert len(within) > 5 * len(between)
    assert trace.merged_steps == fleet.budget_steps
    assert sum(c.steps for m in between for c in m.contributions) == fleet.budget_steps
    assert measure(trace).mean_inner_steps == pytest.approx(10.0, rel=0.3)
    across = [t for op in ops(trace, GroupSnapshot) for t in sent(trace, op.value) if {t.source, t.dest} == {1, 2}]
    assert sum(t.bits for t in across) == len({t.value for t in across}) * trace.message_bits  # one message a group


def test_a_group_takes_the_result_when_it_merges_next():
    """When nothing more is merged within, it does when it has to contribute once more."""
    trace = simulate(two_pairs(), POLICY)
    rebases, merged = ops(trace, Rebase), {m.from_version: m for m in ops(trace, Merge)}
    for op in rebases:
        if op.to_version in merged:
            assert merged[op.to_version].scope == f"group/{op.group}"
            assert merged[op.to_version].start_us == op.start_us
        else:
            assert any(offer.version == op.to_version for offer in ops(trace, GroupSnapshot))
    assert sum(op.to_version in merged for op in rebases) >= len(rebases) - 2


def test_who_lost_its_state_is_sent_its_groups_model_and_a_whole_group_the_global_one():
    one = Outage(node=3, start_us=900 * S, end_us=1000 * S, loses_state=True, cause="reset")
    fleet = two_pairs(faults=FaultPlan(outages=(one,)))
    trace = simulate(fleet, POLICY)
    validate(trace, fleet)
    (restored,) = ops(trace, Restore)
    assert restored.source == 2
    both = tuple(Outage(node=i, start_us=900 * S, end_us=1000 * S, loses_state=True, cause="reset") for i in (2, 3))
    fleet = two_pairs(faults=FaultPlan(outages=both))
    trace = simulate(fleet, POLICY)
    validate(trace, fleet)
    first, second = ops(trace, Restore)
    assert (first.source, first.node) == (1, 2)
    assert (second.source, second.node) == (2, 3)
    assert first.versions[0] in {0} | {m.to_version for m in ops(trace, Merge) if m.scope == GLOBAL}


def changed(trace: Trace, old: object, **fields: object) -> Trace:
    return replace(trace, ops=tuple(replace(op, **fields) if op is old else op for op in trace.ops))  # type: ignore


def test_what_is_not_sound_is_found():
    fleet = two_pairs()
    trace = simulate(fleet, POLICY)
    offer, rebase = ops(trace, GroupSnapshot)[-1], ops(trace, Rebase)[-1]
    merge = [m for m in ops(trace, Merge) if m.scope != GLOBAL][-1]
    sent_last = f"result/0@{ops(trace, Adopt)[-1].version}"
    for broken, told in [
        (changed(trace, offer, steps=offer.steps + 1), "steps"),
        (replace(trace, transfers=tuple(t for t in trace.transfers if t.value != sent_last)), "cannot have version"),
        (changed(trace, rebase, since_version=rebase.from_version), "keeps what is not its own"),
        (changed(trace, rebase, global_version=rebase.from_version), "takes no global version"),
        (changed(trace, merge, holders=(0,)), "not of its group"),
    ]:
        with pytest.raises(TraceError, match=told):
            validate(broken, fleet)
